//! The sparse index of a segment, version 1: where some of its batches lie.
//!
//! All integers are big-endian.
//!
//! | Offset | Size | Content |
//! |---|---|---|
//! | 0 | 4 | `IDX` and a zero byte |
//! | 4 | 2 | version = 1 |
//! | 6 | 4 | number of entries |
//! | 10 | 4 | interval in records, 100 |
//! | 14 | 2 | reserved, 0 |
//! | 16 + 12 i | 8 + 4 | a batch's base offset, its first byte in the segment |
//!
//! There is one entry for the first batch, then one for the first batch after each 100 records.

use bytes::Bytes;

use crate::{Fields, kfs};

/// Bytes before the entries.
pub const HEADER_LEN: usize = 16;
/// Bytes of one entry.
pub const ENTRY_LEN: usize = 12;
/// Records between two entries, as we write them.
pub const INTERVAL: u32 = 100;

const MAGIC: &[u8; 4] = b"IDX\0";
const VERSION: u16 = 1;

/// Where a batch lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its base offset.
    pub offset: i64,
    /// Its first byte in the segment.
    pub position: u32,
}

/// Why bytes are no index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// They begin with something else.
    #[error("not an index")]
    NotAnIndex,
    /// A later version of the format.
    #[error("index has version {0}, this version knows {VERSION}")]
    NewerVersion(u16),
    /// Another length than its entries have.
    #[error("index has {len} bytes and says that it has {entries} entries")]
    Length {
        /// How many bytes there are.
        len: u64,
        /// How many entries it counts.
        entries: u32,
    },
    /// An entry that is not behind the one before it, or outside of the segment.
    #[error("entry {0} is out of order")]
    Order(usize),
}

/// Reads an index whole. Entries ascend, and the first names the first byte behind the segment's header.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, Error> {
    if !bytes.starts_with(MAGIC) {
        return Err(Error::NotAnIndex);
    }
    let len = bytes.len() as u64;
    let mut fields = Fields(&bytes[MAGIC.len()..]);
    let version = fields.u16().ok_or(Error::NotAnIndex)?;
    if version != VERSION {
        return Err(Error::NewerVersion(version));
    }
    let read = (|| Some((fields.u32()?, fields.u32()?, fields.u16()?)))();
    let (count, _interval, _reserved) = read.ok_or(Error::Length { len, entries: 0 })?;
    if u64::from(count) * ENTRY_LEN as u64 + HEADER_LEN as u64 != len {
        return Err(Error::Length { len, entries: count });
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(fields.0.len() / ENTRY_LEN);
    while let Some((offset, position)) = fields.i64().zip(fields.u32()) {
        let behind = match entries.last() {
            Some(last) => last.offset < offset && last.position < position,
            None => offset >= 0 && position as usize == kfs::HEADER_LEN,
        };
        if !behind || u64::from(position) > kfs::LEN_MAX {
            return Err(Error::Order(entries.len()));
        }
        entries.push(Entry { offset, position });
    }
    Ok(entries)
}

/// Collects the entries while batches are laid.
#[derive(Debug, Default)]
pub struct Builder {
    entries: Vec<Entry>,
    /// Records since the last entry.
    since: u64,
}

impl Builder {
    /// The next batch.
    pub fn note(&mut self, offset: i64, position: u64, records: u32) {
        if self.entries.is_empty() || self.since >= u64::from(INTERVAL) {
            // The writer of the segment bounds its length.
            self.entries.push(Entry { offset, position: u32::try_from(position).unwrap_or(u32::MAX) });
            self.since = 0;
        }
        self.since += u64::from(records);
    }

    /// The index.
    pub fn finish(self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.entries.len() * ENTRY_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&(self.entries.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&INTERVAL.to_be_bytes());
        bytes.extend_from_slice(&[0; 2]);
        for Entry { offset, position } in &self.entries {
            bytes.extend_from_slice(&offset.to_be_bytes());
            bytes.extend_from_slice(&position.to_be_bytes());
        }
        Bytes::from(bytes)
    }
}
