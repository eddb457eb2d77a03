//! A merged object: records of many partitions in one object, which tells of itself whose they are.
//!
//! All integers are big-endian; texts carry their length as u16.
//!
//! | Offset | Size | Content |
//! |---|---|---|
//! | 0 | 4 | `KSMO` |
//! | 4 | 2 | version = 1 |
//! | 6 | 1 | level |
//! | 7 | 1 | reserved, 0 |
//! | 8 | 16 | cluster id |
//! | 24 | 8 | session |
//! | 32 | 8 | number |
//! | 40 | 8 | nonce |
//! | 48 | n | record batches with their offsets, partition by partition |
//! | 48+n | s | section |
//! | 48+n+s | 4 | length of the section |
//! | 52+n+s | 16 | XXH3-128 of header and section |
//! | 68+n+s | 4 | `OMSK` |
//!
//! The section repeats what the log says of the object, in words that stand for themselves: `u32` number of parts; of each
//! topic id (u128), namespace, topic, partition (u32), handle (u32), first offset (i64), first byte (u32), `u32` number of
//! extents; of each end offset (i64), bytes (u32), max timestamp (i64).

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use crate::{Fields, names::MergedId};

/// Bytes before the batches.
pub const HEADER_LEN: usize = 48;
/// Bytes behind the section.
pub const FOOTER_LEN: usize = 24;
/// An extent of a merged object has at most so many bytes, unless one batch alone has more: what is read at a time.
pub const EXTENT_MAX: u32 = 4 << 20;
/// Offsets of one extent that holds more than one batch: so it has no more records than a segment counts.
pub const EXTENT_OFFSETS_MAX: i64 = i32::MAX as i64;

const MAGIC: &[u8; 4] = b"KSMO";
const END_MAGIC: &[u8; 4] = b"OMSK";
const VERSION: u16 = 1;

/// Whether an extent that begins at offset `base` is closed rather than have so many bytes, and end at `next_offset`.
pub fn is_full(base: i64, bytes: usize, next_offset: i64) -> bool {
    bytes > EXTENT_MAX as usize || next_offset.saturating_sub(base) > EXTENT_OFFSETS_MAX
}

/// Why bytes are no merged object, or not the end of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// They begin or end with something else, or too early.
    #[error("not a merged object")]
    NotMerged,
    /// A later version of the format.
    #[error("merged object has version {0}, this version knows {VERSION}")]
    NewerVersion(u16),
    /// Header and section are not what was written.
    #[error("merged object's section is damaged")]
    Damaged,
}

/// The front of a merged object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The cluster that it belongs to.
    pub cluster: u128,
    /// Its name within the cluster.
    pub id: MergedId,
}

/// One partition's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The topic's id.
    pub topic_id: u128,
    /// Its namespace, as the state has it.
    pub namespace: String,
    /// Its name.
    pub topic: String,
    /// Kafka's partition index.
    pub partition: u32,
    /// The partition's number in the state.
    pub handle: u32,
    /// The first offset that it stands for.
    pub first: i64,
    /// Its first byte in the object.
    pub position: u32,
    /// Its extents, one behind the other.
    pub extents: Vec<Extent>,
}

/// One extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// One past the last offset that it stands for.
    pub end: i64,
    /// Bytes of its batches.
    pub bytes: u32,
    /// The greatest of their max timestamps.
    pub max_timestamp: i64,
}

impl Header {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&[self.id.level, 0]);
        bytes.extend_from_slice(&self.cluster.to_be_bytes());
        for number in [self.id.session, self.id.number, self.id.nonce] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        Bytes::from(bytes)
    }

    /// Reads the first [`HEADER_LEN`] bytes of an object.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let front = bytes.get(..HEADER_LEN).filter(|front| front.starts_with(MAGIC)).ok_or(Error::NotMerged)?;
        let mut fields = Fields(&front[MAGIC.len()..]);
        let version = fields.u16().ok_or(Error::NotMerged)?;
        if version != VERSION {
            return Err(Error::NewerVersion(version));
        }
        let mut read = || {
            let [level, _] = fields.take()?;
            let (cluster, session, number, nonce) = (fields.u128()?, fields.u64()?, fields.u64()?, fields.u64()?);
            Some(Self { cluster, id: MergedId { level, session, number, nonce } })
        };
        read().ok_or(Error::NotMerged)
    }
}

/// What follows the batches: section and footer.
pub fn tail(header: &Header, parts: &[Part]) -> Bytes {
    let mut section = Vec::new();
    section.extend_from_slice(&(parts.len() as u32).to_be_bytes());
    for part in parts {
        section.extend_from_slice(&part.topic_id.to_be_bytes());
        for text in [&part.namespace, &part.topic] {
            // Names have at most 249 bytes.
            section.extend_from_slice(&(text.len() as u16).to_be_bytes());
            section.extend_from_slice(text.as_bytes());
        }
        section.extend_from_slice(&part.partition.to_be_bytes());
        section.extend_from_slice(&part.handle.to_be_bytes());
        section.extend_from_slice(&part.first.to_be_bytes());
        section.extend_from_slice(&part.position.to_be_bytes());
        section.extend_from_slice(&(part.extents.len() as u32).to_be_bytes());
        for extent in &part.extents {
            section.extend_from_slice(&extent.end.to_be_bytes());
            section.extend_from_slice(&extent.bytes.to_be_bytes());
            section.extend_from_slice(&extent.max_timestamp.to_be_bytes());
        }
    }
    let hash = hash(&header.encode(), &section);
    let len = section.len() as u32;
    section.extend_from_slice(&len.to_be_bytes());
    section.extend_from_slice(&hash.to_be_bytes());
    section.extend_from_slice(END_MAGIC);
    Bytes::from(section)
}

fn hash(header: &[u8], section: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(header);
    hash.update(section);
    hash.digest128()
}

/// How many bytes section and footer take together, from the last [`FOOTER_LEN`] bytes of an object.
pub fn tail_len(footer: &[u8]) -> Result<u64, Error> {
    let footer: &[u8; FOOTER_LEN] = footer.last_chunk().ok_or(Error::NotMerged)?;
    let (len, rest) = footer.split_first_chunk().ok_or(Error::NotMerged)?;
    match rest.ends_with(END_MAGIC) {
        true => Ok(u64::from(u32::from_be_bytes(*len)) + FOOTER_LEN as u64),
        false => Err(Error::NotMerged),
    }
}

/// Reads the parts from the front and the end of an object. `tail` has the [`tail_len`] bytes at its end, or more.
pub fn parse_tail(front: &[u8], tail: &[u8]) -> Result<(Header, Vec<Part>), Error> {
    let header = Header::parse(front)?;
    let len = usize::try_from(tail_len(tail)?).map_err(|_| Error::NotMerged)?;
    let tail = tail.len().checked_sub(len).map(|from| &tail[from..]).ok_or(Error::NotMerged)?;
    let (section, footer) = tail.split_at(len - FOOTER_LEN);
    if footer[4..20] != hash(&front[..HEADER_LEN], section).to_be_bytes() {
        return Err(Error::Damaged);
    }
    let mut fields = Fields(section);
    let parts = parse_section(&mut fields).filter(|_| fields.0.is_empty());
    parts.map(|parts| (header, parts)).ok_or(Error::Damaged)
}

/// Counts are believed only as far as there are bytes: nothing is allocated ahead.
fn parse_section(fields: &mut Fields<'_>) -> Option<Vec<Part>> {
    let count = fields.u32()?;
    let mut parts = Vec::new();
    for _ in 0..count {
        let (topic_id, namespace, topic) = (fields.u128()?, fields.text()?, fields.text()?);
        let (partition, handle, first, position) = (fields.u32()?, fields.u32()?, fields.i64()?, fields.u32()?);
        let mut extents = Vec::new();
        for _ in 0..fields.u32()? {
            extents.push(Extent { end: fields.i64()?, bytes: fields.u32()?, max_timestamp: fields.i64()? });
        }
        parts.push(Part { topic_id, namespace, topic, partition, handle, first, position, extents });
    }
    Some(parts)
}
