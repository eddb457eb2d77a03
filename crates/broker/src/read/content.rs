//! An extent's bytes in memory, ready to be sent.
//!
//! Made once per extent: the bytes are copied into one buffer, so that a small extent does not keep a large frame or object
//! alive, and every batch gets its base offset, unless it lies in an object whose batches carry theirs; those may leave
//! offsets out. Large ones that came alone and need no offsets stay as they are. A sparse list of marks finds the batch of
//! an offset, and the last whole batch within a size, without walking the extent from its start.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use kafscale_records::{Batch, BatchError, Batches, batches, edit};

use super::Extent;

/// One mark per so many bytes.
const MARK_EVERY: usize = 32 << 10;
/// What is smaller is copied even if it came alone: it may be a part of a buffer of the connection that brought it, which has
/// some 400 KiB at most, and would keep all of it alive.
const COPIED_BELOW: usize = 1 << 20;

/// Why bytes are not the extent that the state describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Fewer or more bytes than the extent has.
    #[error("{have} bytes instead of {need}")]
    Length {
        /// What the extent says.
        need: u64,
        /// What is there.
        have: u64,
    },
    /// A batch is damaged.
    #[error("batch at byte {at}: {error}")]
    Batch {
        /// Its first byte within the extent.
        at: usize,
        /// What is wrong.
        error: BatchError,
    },
    /// The batches hold more or fewer offsets than the extent has.
    #[error("the batches end at offset {have} instead of {need}")]
    Offsets {
        /// What the extent says.
        need: i64,
        /// What the batches add up to.
        have: i64,
    },
}

/// A batch boundary within an extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    offset: i64,
    at: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Content {
    end_offset: i64,
    bytes: Bytes,
    marks: Box<[Mark]>,
    was_read: AtomicBool,
    /// Of the cache that holds it, see `cache::pins`; 0 is none.
    pub(super) pin: AtomicU64,
}

/// Whole batches that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The batches.
    pub bytes: Bytes,
    /// One past their last offset.
    pub next_offset: i64,
}

impl Content {
    /// Takes over the bytes of `extent`, in one or more pieces. `verify` compares the checksums, for bytes that left this
    /// process before.
    pub fn new(extent: &Extent, pieces: &[Bytes], verify: bool) -> Result<Self, ContentError> {
        let have: usize = pieces.iter().map(Bytes::len).sum();
        let need = u64::from(extent.len);
        if have as u64 != need {
            return Err(ContentError::Length { need, have: have as u64 });
        }
        let mut bytes = BytesMut::with_capacity(have);
        pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        let mut marks = first_mark(extent);
        if extent.object.has_offsets() {
            check(&bytes, extent, verify, &mut marks)?;
        } else {
            let end = place(&mut bytes, extent.base_offset, verify, &mut marks)?;
            if end != extent.end_offset {
                return Err(ContentError::Offsets { need: extent.end_offset, have: end });
            }
        }
        Ok(Self::of(extent.end_offset, bytes.freeze(), marks))
    }

    /// Takes over bytes that came from the store and hold nothing but `extent`: without a copy, if they can stay as they are.
    pub fn alone(extent: &Extent, bytes: Bytes) -> Result<Self, ContentError> {
        let is_whole = bytes.len() as u64 == u64::from(extent.len);
        if !is_whole || !extent.object.has_offsets() || bytes.len() < COPIED_BELOW {
            return Self::new(extent, &[bytes], true);
        }
        let mut marks = first_mark(extent);
        check(&bytes, extent, true, &mut marks)?;
        Ok(Self::of(extent.end_offset, bytes, marks))
    }

    fn of(end_offset: i64, bytes: Bytes, marks: Vec<Mark>) -> Self {
        let (was_read, pin) = Default::default();
        Self { end_offset, bytes, marks: marks.into_boxed_slice(), was_read, pin }
    }

    /// Bytes that it takes in memory.
    pub fn weight(&self) -> u64 {
        (self.bytes.len() + size_of::<Self>() + size_of_val(&*self.marks)) as u64
    }

    /// Whether a reader began at its first record before; from now on one did.
    pub fn note_read(&self) -> bool {
        self.was_read.swap(true, Ordering::Relaxed)
    }

    /// The batches from the one that holds `offset` on, as many as fit into `room` bytes. If not even the first one fits
    /// there is none, unless it `must` be sent.
    pub fn read(&self, offset: i64, room: usize, must: bool) -> Option<Slice> {
        let (first_at, first) = self.locate(offset)?;
        let mut next_offset = first.header().next_offset();
        let mut end = first_at + first.bytes().len();
        if first.bytes().len() > room {
            let next_offset = self.next_after(end, next_offset);
            return must.then(|| Slice { bytes: self.bytes.slice(first_at..end), next_offset });
        }
        let limit = first_at.saturating_add(room);
        let last_mark = self.marks[self.marks.partition_point(|mark| mark.at <= limit) - 1];
        if last_mark.at > end {
            (end, next_offset) = (last_mark.at, last_mark.offset);
        }
        for batch in self.batches_at(end) {
            if end + batch.bytes().len() > limit {
                break;
            }
            end += batch.bytes().len();
            next_offset = batch.header().next_offset();
        }
        let next_offset = self.next_after(end, next_offset);
        Some(Slice { bytes: self.bytes.slice(first_at..end), next_offset })
    }

    /// Where to go on behind the batch that ends at byte `end`: what is missing behind the last one belongs to the extent.
    fn next_after(&self, end: usize, next_offset: i64) -> i64 {
        if end == self.bytes.len() { self.end_offset } else { next_offset }
    }

    /// Nothing: stands for what was loaded and is kept elsewhere.
    pub fn empty() -> Self {
        Self::of(i64::MIN, Bytes::new(), Vec::new())
    }

    /// All batches, with their offsets.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether it has records at `offset` or behind it.
    pub fn holds_from(&self, offset: i64) -> bool {
        self.locate(offset).is_some()
    }

    /// The batches in order.
    pub fn batches(&self) -> impl Iterator<Item = Batch<'_>> {
        self.batches_at(0)
    }

    fn locate(&self, offset: i64) -> Option<(usize, Batch<'_>)> {
        if offset >= self.end_offset {
            return None;
        }
        let mark = self.marks[self.marks.partition_point(|mark| mark.offset <= offset).saturating_sub(1)];
        let mut at = mark.at;
        for batch in self.batches_at(at) {
            if batch.header().last_offset() >= offset {
                return Some((at, batch));
            }
            at += batch.bytes().len();
        }
        None
    }

    fn batches_at(&self, at: usize) -> impl Iterator<Item = Batch<'_>> {
        let row: Batches<'_> = batches(&self.bytes[at..]);
        row.map(|batch| batch.expect("every batch was parsed when the content was made"))
    }
}

fn first_mark(extent: &Extent) -> Vec<Mark> {
    vec![Mark { offset: extent.base_offset, at: 0 }]
}

/// Checks that batches which carry their offsets ascend within the extent, and collects the marks.
fn check(bytes: &[u8], extent: &Extent, verify: bool, marks: &mut Vec<Mark>) -> Result<(), ContentError> {
    let (mut at, mut from, mut next_mark) = (0, extent.base_offset, MARK_EVERY);
    while at < bytes.len() {
        let wrong = |error| ContentError::Batch { at, error };
        let batch = Batch::parse(&bytes[at..]).map_err(wrong)?;
        if verify {
            batch.verify_crc().map_err(wrong)?;
        }
        let header = batch.header();
        let ascends = header.last_offset_delta >= 0 && header.base_offset >= from;
        if !ascends || header.last_offset() >= extent.end_offset {
            return Err(ContentError::Offsets { need: from, have: header.base_offset });
        }
        if at >= next_mark {
            marks.push(Mark { offset: header.base_offset, at });
            next_mark = at + MARK_EVERY;
        }
        from = header.next_offset();
        at += batch.bytes().len();
    }
    Ok(())
}

/// Writes the base offsets and collects the marks; returns the offset behind the last record.
fn place(bytes: &mut BytesMut, base_offset: i64, verify: bool, marks: &mut Vec<Mark>) -> Result<i64, ContentError> {
    let (mut at, mut offset, mut next_mark) = (0, base_offset, MARK_EVERY);
    while at < bytes.len() {
        let wrong = |error| ContentError::Batch { at, error };
        let batch = Batch::parse(&bytes[at..]).map_err(wrong)?;
        if verify {
            batch.verify_crc().map_err(wrong)?;
        }
        let (size, header) = (batch.bytes().len(), *batch.header());
        if header.last_offset_delta < 0 {
            let (count, last_offset_delta) = (header.record_count, header.last_offset_delta);
            return Err(wrong(BatchError::Count { count, last_offset_delta }));
        }
        if at >= next_mark {
            marks.push(Mark { offset, at });
            next_mark = at + MARK_EVERY;
        }
        edit::set_base_offset(&mut bytes[at..], offset);
        offset = offset.saturating_add(i64::from(header.last_offset_delta) + 1);
        at += size;
    }
    Ok(offset)
}

#[cfg(test)]
mod tests;
