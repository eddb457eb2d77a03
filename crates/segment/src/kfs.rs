//! A `.kfs` segment, version 1: one partition's record batches in one file.
//!
//! All integers are big-endian.
//!
//! | Offset | Size | Content |
//! |---|---|---|
//! | 0 | 4 | `KAFS` |
//! | 4 | 2 | version = 1 |
//! | 6 | 2 | flags = 0 |
//! | 8 | 8 | base offset |
//! | 16 | 4 | records in the segment |
//! | 20 | 8 | created, Unix milliseconds |
//! | 28 | 4 | reserved, 0 |
//! | 32 | n | record batches (v2) as their producers sent them, each with its offset |
//! | 32+n | 4 | CRC-32C of the batches |
//! | 36+n | 8 | last offset |
//! | 44+n | 4 | `END!` |
//!
//! [`Writer`] is algorithm 1: the batches of the claimed range in order, untouched but for their base offsets.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};

use crate::{BatchesError, Fields, Sum, check_batches, crc32c, index};

/// Bytes before the batches.
pub const HEADER_LEN: usize = 32;
/// Bytes behind them.
pub const FOOTER_LEN: usize = 16;
/// How [`Writer`] turns records into bytes; persisted in claims.
pub const ALGORITHM: u8 = 1;
/// The longest file: positions in its index are signed 32-bit numbers.
pub const LEN_MAX: u64 = i32::MAX as u64;

const MAGIC: &[u8; 4] = b"KAFS";
const END_MAGIC: &[u8; 4] = b"END!";
const VERSION: u16 = 1;

/// Why bytes are no segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// They begin, or end, with something else.
    #[error("not a segment")]
    NotASegment,
    /// Too short for header and footer.
    #[error("segment is truncated: {len} bytes")]
    Truncated {
        /// How many bytes there are.
        len: u64,
    },
    /// A later version of the format.
    #[error("segment has version {0}, this version knows {VERSION}")]
    NewerVersion(u16),
    /// The batches are not those that the footer was written for.
    #[error("segment's checksum is {stated:08x}, its batches have {computed:08x}")]
    Checksum {
        /// In the footer.
        stated: u32,
        /// Of the batches.
        computed: u32,
    },
    /// A batch is damaged or out of order.
    #[error(transparent)]
    Batches(#[from] BatchesError),
    /// Header, footer and batches contradict each other.
    #[error("segment's {field} is {stated}, its batches say {found}")]
    Contradiction {
        /// Which field.
        field: &'static str,
        /// What it says.
        stated: i64,
        /// What the batches say.
        found: i64,
    },
}

/// The front of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Offset of the first batch.
    pub base_offset: i64,
    /// Records in all.
    pub records: u32,
    /// Unix milliseconds.
    pub created_ms: i64,
}

/// The end of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// CRC-32C of the batches.
    pub crc: u32,
    /// Offset of the last record.
    pub last_offset: i64,
}

impl Header {
    /// Reads the first [`HEADER_LEN`] bytes of a segment. Flags and the reserved field are ignored, as all readers do.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let truncated = Error::Truncated { len: bytes.len() as u64 };
        if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) {
            return Err(Error::NotASegment);
        }
        let front = bytes.get(..HEADER_LEN).ok_or(truncated)?;
        let mut fields = Fields(&front[MAGIC.len()..]);
        let read = (|| Some((fields.u16()?, fields.u16()?, fields.i64()?, fields.u32()?, fields.i64()?)))();
        let (version, _flags, base_offset, records, created_ms) = read.ok_or(truncated)?;
        match version {
            VERSION => Ok(Self { base_offset, records, created_ms }),
            _ => Err(Error::NewerVersion(version)),
        }
    }

    fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.records.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.created_ms.to_be_bytes());
        bytes
    }
}

impl Footer {
    /// Reads the last [`FOOTER_LEN`] bytes of a segment.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let truncated = Error::Truncated { len: bytes.len() as u64 };
        let bytes: &[u8; FOOTER_LEN] = bytes.last_chunk().ok_or(truncated)?;
        let mut fields = Fields(bytes);
        let read = (|| Some((fields.u32()?, fields.i64()?, fields.take::<4>()?)))();
        match read.ok_or(truncated)? {
            (crc, last_offset, magic) if magic == *END_MAGIC => Ok(Self { crc, last_offset }),
            _ => Err(Error::NotASegment),
        }
    }

    fn encode(&self) -> [u8; FOOTER_LEN] {
        let mut bytes = [0; FOOTER_LEN];
        bytes[..4].copy_from_slice(&self.crc.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.last_offset.to_be_bytes());
        bytes[12..].copy_from_slice(END_MAGIC);
        bytes
    }
}

/// A whole segment, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its front.
    pub header: Header,
    /// Its batches.
    pub batches: Bytes,
    /// Its end.
    pub footer: Footer,
    /// What the batches add up to.
    pub sum: Sum,
}

/// Reads a whole segment and checks everything in it. A segment without a batch is none.
pub fn parse(bytes: &Bytes) -> Result<Segment, Error> {
    let truncated = Error::Truncated { len: bytes.len() as u64 };
    let header = Header::parse(bytes)?;
    if bytes.len() <= HEADER_LEN + FOOTER_LEN {
        return Err(truncated);
    }
    let footer = Footer::parse(bytes)?;
    let batches = bytes.slice(HEADER_LEN..bytes.len() - FOOTER_LEN);
    let computed = crc32c(&batches);
    if computed != footer.crc {
        return Err(Error::Checksum { stated: footer.crc, computed });
    }
    let mut first = None;
    let sum = check_batches(&batches, 0, i64::MAX, |_, batch| {
        first.get_or_insert(batch.header().base_offset);
    })?;
    agree(&header, &footer, first, &sum)?;
    Ok(Segment { header, batches, footer, sum })
}

/// Whether header and footer say what the batches add up to.
fn agree(header: &Header, footer: &Footer, first: Option<i64>, sum: &Sum) -> Result<(), Error> {
    let first = first.unwrap_or(header.base_offset);
    // Offsets may be missing in front of the first batch, where aborted transactions were.
    if header.base_offset > first {
        return Err(Error::Contradiction { field: "base offset", stated: header.base_offset, found: first });
    }
    let found = sum.next_offset - 1;
    if footer.last_offset < found {
        return Err(Error::Contradiction { field: "last offset", stated: footer.last_offset, found });
    }
    let records = i64::try_from(sum.records).unwrap_or(i64::MAX);
    if i64::from(header.records) != records {
        return Err(Error::Contradiction { field: "number of records", stated: header.records.into(), found: records });
    }
    Ok(())
}

/// Checks a segment as [`parse`] does, where it comes in rows of whole batches and is never in memory at once.
#[derive(Debug)]
pub struct Checker {
    header: Header,
    footer: Footer,
    /// Of the batches.
    batches: Checksum,
    /// Of the file.
    file: Checksum,
    end: Bytes,
    first: Option<i64>,
    sum: Sum,
}

/// What such a segment came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Its front.
    pub header: Header,
    /// Its end.
    pub footer: Footer,
    /// What the batches add up to.
    pub sum: Sum,
    /// CRC-32C of the whole file.
    pub crc: u32,
}

impl Checker {
    /// A segment with this front, of [`HEADER_LEN`] bytes, and this end, of [`FOOTER_LEN`] bytes; less if there is no more.
    pub fn new(front: &[u8], end: &Bytes) -> Result<Self, Error> {
        let header = Header::parse(front)?;
        let footer = Footer::parse(end)?;
        let mut file = Checksum::default();
        file.update(&front[..HEADER_LEN]);
        let (batches, end, first) = (Checksum::default(), end.clone(), None);
        let sum = Sum { next_offset: 0, records: 0, max_timestamp: None };
        Ok(Self { header, footer, batches, file, end, first, sum })
    }

    /// The next batches, whole ones.
    pub fn push(&mut self, row: &[u8]) -> Result<(), Error> {
        self.batches.update(row);
        self.file.update(row);
        let first = &mut self.first;
        let sum = check_batches(row, self.sum.next_offset, i64::MAX, |_, batch| {
            first.get_or_insert(batch.header().base_offset);
        })?;
        let (records, max_timestamp) = (self.sum.records + sum.records, self.sum.max_timestamp.max(sum.max_timestamp));
        self.sum = Sum { records, max_timestamp, ..sum };
        Ok(())
    }

    /// There are no more.
    pub fn finish(mut self) -> Result<Checked, Error> {
        let (stated, computed) = (self.footer.crc, self.batches.finish());
        if computed != stated {
            return Err(Error::Checksum { stated, computed });
        }
        agree(&self.header, &self.footer, self.first, &self.sum)?;
        self.file.update(&self.end);
        let Self { header, footer, sum, file, .. } = self;
        Ok(Checked { header, footer, sum, crc: file.finish() })
    }
}

/// A segment that was written, and its index.
#[derive(Debug, Clone)]
pub struct Written {
    /// The file in pieces.
    pub pieces: Vec<Bytes>,
    /// Its index.
    pub index: Bytes,
    /// Bytes of the file.
    pub len: u32,
    /// CRC-32C of the whole file.
    pub crc: u32,
    /// Records in it.
    pub records: u32,
    /// The greatest of the batches' max timestamps.
    pub max_timestamp: i64,
}

/// Why a segment cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A batch is damaged or out of order.
    #[error(transparent)]
    Batches(#[from] BatchesError),
    /// More bytes or records than the format counts.
    #[error("too large for one segment")]
    TooLarge,
    /// There is not one batch.
    #[error("a segment without a batch")]
    Empty,
}

/// Writes one segment. What comes out depends on nothing but what goes in.
pub struct Writer {
    base_offset: i64,
    end: i64,
    created_ms: i64,
    pieces: Vec<Bytes>,
    index: index::Builder,
    crc: Checksum,
    len: u64,
    sum: Sum,
}

impl Writer {
    /// A segment of the records `first..end`.
    pub fn new(first: i64, end: i64, created_ms: i64) -> Self {
        Self {
            base_offset: first,
            end,
            created_ms,
            // The header comes in front once the records are counted.
            pieces: vec![Bytes::new()],
            index: index::Builder::default(),
            crc: Checksum::default(),
            len: HEADER_LEN as u64,
            sum: Sum { next_offset: first, records: 0, max_timestamp: None },
        }
    }

    /// Appends batches that carry their offsets, and checks them.
    pub fn push(&mut self, batches: Bytes) -> Result<(), WriteError> {
        let (at, index) = (self.len, &mut self.index);
        if at + batches.len() as u64 + FOOTER_LEN as u64 > LEN_MAX {
            return Err(WriteError::TooLarge);
        }
        let sum = check_batches(&batches, self.sum.next_offset, self.end, |within, batch| {
            let header = batch.header();
            index.note(header.base_offset, at + within as u64, header.record_count.unsigned_abs());
        })?;
        self.sum.next_offset = sum.next_offset;
        self.sum.records += sum.records;
        self.sum.max_timestamp = self.sum.max_timestamp.max(sum.max_timestamp);
        self.crc.update(&batches);
        self.len += batches.len() as u64;
        self.pieces.push(batches);
        Ok(())
    }

    /// Closes the segment.
    pub fn finish(mut self) -> Result<Written, WriteError> {
        let max_timestamp = self.sum.max_timestamp.ok_or(WriteError::Empty)?;
        let records = u32::try_from(self.sum.records).ok().filter(|records| i32::try_from(*records).is_ok());
        let records = records.ok_or(WriteError::TooLarge)?;
        let header = Header { base_offset: self.base_offset, records, created_ms: self.created_ms };
        let footer = Footer { crc: self.crc.finish(), last_offset: self.end - 1 };
        self.pieces[0] = Bytes::copy_from_slice(&header.encode());
        self.pieces.push(Bytes::copy_from_slice(&footer.encode()));
        let mut crc = Checksum::default();
        self.pieces.iter().for_each(|piece| crc.update(piece));
        let len = u32::try_from(self.len).map_err(|_| WriteError::TooLarge)? + FOOTER_LEN as u32;
        let index = self.index.finish();
        Ok(Written { pieces: self.pieces, index, len, crc: crc.finish(), records, max_timestamp })
    }
}

/// CRC-32C of a whole file, as claims are published with.
pub fn checksum(file: &[u8]) -> u32 {
    crc32c(file)
}

/// The same of a file that comes in parts.
#[derive(Debug)]
pub struct Checksum(Digest);

impl Default for Checksum {
    fn default() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }
}

impl Checksum {
    /// The next part.
    pub fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// The checksum of all parts.
    pub fn finish(&self) -> u32 {
        self.0.finalize() as u32
    }
}
