//! The formats that records live in once they were rewritten: `.kfs` segments with their sparse index, and merged objects.
//!
//! | Module | Format |
//! |---|---|
//! | [`kfs`] | one partition's records as one file that other tools read as well |
//! | [`index`] | where the batches of a segment lie |
//! | [`merged`] | many partitions' records in one object, with a section that tells whose they are |
//! | [`names`] | what these objects are called |
//!
//! In all of them batches carry their offsets, which may have gaps. Writers are pure: equal input, equal bytes. Readers trust
//! nothing, allocate no more than a small multiple of what they were given, and say what is wrong. No I/O here.

pub mod index;
pub mod kfs;
pub mod merged;
pub mod names;

use kafscale_records::{Batch, BatchError, edit};

/// Why bytes are not the batches of a range of offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchesError {
    /// A batch is damaged.
    #[error("batch at byte {at}: {error}")]
    Batch {
        /// Its first byte.
        at: usize,
        /// What is wrong.
        error: BatchError,
    },
    /// A batch overlaps the one before it, or lies outside of the range.
    #[error("the batch at byte {at} holds offsets {first}..={last}, allowed is {from}..{until}")]
    Offsets {
        /// Its first byte.
        at: usize,
        /// Its first offset.
        first: i64,
        /// Its last offset.
        last: i64,
        /// The first offset that is allowed here.
        from: i64,
        /// One past the last one.
        until: i64,
    },
}

/// What batches add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum {
    /// One past the last offset.
    pub next_offset: i64,
    /// Records.
    pub records: u64,
    /// The greatest of their max timestamps; none without a batch.
    pub max_timestamp: Option<i64>,
}

/// Walks through batches that carry their offsets: whole, unharmed, ascending, within `from..until`. `visit` sees each with its
/// first byte.
pub fn check_batches(
    bytes: &[u8],
    from: i64,
    until: i64,
    mut visit: impl FnMut(usize, &Batch<'_>),
) -> Result<Sum, BatchesError> {
    let mut sum = Sum { next_offset: from, records: 0, max_timestamp: None };
    let mut at = 0;
    while at < bytes.len() {
        let wrong = |error| BatchesError::Batch { at, error };
        let batch = Batch::parse(&bytes[at..]).map_err(wrong)?;
        batch.verify_crc().map_err(wrong)?;
        let header = batch.header();
        let (count, last_offset_delta) = (header.record_count, header.last_offset_delta);
        if count < 0 || last_offset_delta < 0 {
            return Err(wrong(BatchError::Count { count, last_offset_delta }));
        }
        let (first, last) = (header.base_offset, header.last_offset());
        if first < sum.next_offset || last >= until {
            return Err(BatchesError::Offsets { at, first, last, from: sum.next_offset, until });
        }
        visit(at, &batch);
        sum.next_offset = last + 1;
        sum.records += u64::from(count.unsigned_abs());
        sum.max_timestamp = sum.max_timestamp.max(Some(header.max_timestamp));
        at += batch.bytes().len();
    }
    Ok(sum)
}

/// Gives batches that do not carry their offsets the dense ones from `base_offset` on; the offset behind the last.
pub fn place_densely(bytes: &mut [u8], base_offset: i64) -> Result<i64, BatchesError> {
    let (mut at, mut offset) = (0, base_offset);
    while at < bytes.len() {
        let wrong = |error| BatchesError::Batch { at, error };
        let batch = Batch::parse(&bytes[at..]).map_err(wrong)?;
        let (len, count) = (batch.bytes().len(), batch.header().record_count);
        let last_offset_delta = batch.header().last_offset_delta;
        if last_offset_delta < 0 {
            return Err(wrong(BatchError::Count { count, last_offset_delta }));
        }
        edit::set_base_offset(&mut bytes[at..], offset);
        offset = offset.saturating_add(i64::from(last_offset_delta) + 1);
        at += len;
    }
    Ok(offset)
}

pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// Takes fixed big-endian integers from the front of bytes whose length was checked, or gives none.
pub(crate) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    pub fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    pub fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_be_bytes)
    }

    pub fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(field)
    }

    pub fn text(&mut self) -> Option<String> {
        let len = usize::from(self.u16()?);
        String::from_utf8(self.bytes(len)?.to_vec()).ok()
    }
}
