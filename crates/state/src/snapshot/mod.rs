//! Snapshots: the whole state at one position as bytes.
//!
//! A header, parts, and a footer; a persisted format. Integers of the frame are big-endian, those in bodies varints.
//!
//! ```text
//! header   "KSSN", format version u16, feature level u16
//! part     tag u8, length of the body u32, body, CRC-32C u32 of all three          (many, see `part`)
//! footer   length of everything before u64, XXH3-128 of everything before, "NSSK"
//! ```
//!
//! Header and footer are the same in every format version, so that a version can tell a newer snapshot from a damaged one.
//!
//! [`encode`] works on a clone of the state and yields one part per step, so that the caller writes it between other work:
//! a part is one shard, or a bounded piece of a table. [`decode`] trusts nothing: it says which part is corrupt, and
//! allocates no more than a small multiple of the bytes it was given. A decoded state answers every query and continues
//! the digest like the one that was encoded.

mod dead;
mod group;
mod part;
mod shard;

use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::codec::{Malformed, Reader, Writer};
use crate::{FEATURE_LEVEL_KNOWN, Limits, SLOTS, State};
use part::Part;

const MAGIC: &[u8; 4] = b"KSSN";
const END_MAGIC: &[u8; 4] = b"NSSK";
/// The format version that is written. Version 2 did not know how far partitions are clean, and version 1 had neither
/// segments nor merged and dead objects, nor classic members of KIP-848 groups; both are read as well.
pub const FORMAT_VERSION: u16 = 3;
const HEADER_LEN: usize = 8;
const FOOTER_LEN: usize = 28;
/// Tag and length before a body, CRC behind it.
const PART_OVERHEAD: usize = 9;

/// Why bytes are no usable snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// They begin with something else.
    #[error("not a snapshot")]
    NotASnapshot,
    /// They end too early, or something follows the end.
    #[error("snapshot is truncated: {len} bytes")]
    Truncated {
        /// How many bytes there are.
        len: usize,
    },
    /// A later version of the format.
    #[error("snapshot has format version {found}, this version knows {FORMAT_VERSION}")]
    NewerFormat {
        /// Its format version.
        found: u16,
    },
    /// A feature level that this version does not know.
    #[error("snapshot has feature level {found}, this version knows {FEATURE_LEVEL_KNOWN}")]
    NewerFeatureLevel {
        /// Its feature level.
        found: u16,
    },
    /// A checksum does not fit, or a body is not what the format says.
    #[error("snapshot is corrupt in part {part}: {what}")]
    Corrupt {
        /// Which part, from 0; the footer is the one after the last.
        part: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// The snapshot of a state, one part after the other.
pub struct Encoder {
    state: State,
    parts: std::vec::IntoIter<Part>,
    hash: Xxh3,
    len: u64,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Parts,
    Done,
}

/// Begins a snapshot of the state as it is now.
pub fn encode(state: &State) -> Encoder {
    let parts = Part::plan(state).into_iter();
    Encoder { state: state.clone(), parts, hash: Xxh3::new(), len: 0, stage: Stage::Header }
}

impl Iterator for Encoder {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let bytes = match self.stage {
            Stage::Header => {
                self.stage = Stage::Parts;
                let feature_level = self.state.feature_level.to_be_bytes();
                [&MAGIC[..], &FORMAT_VERSION.to_be_bytes(), &feature_level].concat()
            }
            Stage::Parts => match self.parts.next() {
                Some(part) => encode_part(&self.state, part),
                None => {
                    self.stage = Stage::Done;
                    let hash = self.hash.digest128().to_be_bytes();
                    return Some(Bytes::from([&self.len.to_be_bytes()[..], &hash, END_MAGIC].concat()));
                }
            },
            Stage::Done => return None,
        };
        self.hash.update(&bytes);
        self.len += bytes.len() as u64;
        Some(Bytes::from(bytes))
    }
}

fn encode_part(state: &State, part: Part) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.u8(part.tag());
    writer.bytes.extend_from_slice(&[0; 4]);
    part.encode(state, &mut writer);
    let mut bytes = writer.bytes;
    // A shard holds a 1,024th of a state that fits into memory; a table is cut into pieces.
    let len = u32::try_from(bytes.len() - 5).expect("a part stays far below 4 GiB");
    bytes[1..5].copy_from_slice(&len.to_be_bytes());
    let crc = crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// The state of a snapshot.
pub fn decode(bytes: &[u8]) -> Result<State, SnapshotError> {
    decode_with(bytes, Limits::default())
}

/// The same with other limits; they are no part of a snapshot.
pub fn decode_with(bytes: &[u8], limits: Limits) -> Result<State, SnapshotError> {
    let truncated = SnapshotError::Truncated { len: bytes.len() };
    if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) {
        return Err(SnapshotError::NotASnapshot);
    }
    let header = bytes.get(..HEADER_LEN).ok_or(truncated)?;
    let format = u16::from_be_bytes([header[4], header[5]]);
    let feature_level = u16::from_be_bytes([header[6], header[7]]);
    let body_len = bytes.len().checked_sub(FOOTER_LEN).filter(|len| *len >= HEADER_LEN).ok_or(truncated)?;
    let (body, footer) = bytes.split_at(body_len);
    if footer[..8] != (body_len as u64).to_be_bytes() || &footer[24..] != END_MAGIC {
        return Err(truncated);
    }
    let is_whole = || footer[8..24] == xxh3_128(body).to_be_bytes();
    let is_known_format = (1..=FORMAT_VERSION).contains(&format);
    if !is_known_format || feature_level > FEATURE_LEVEL_KNOWN {
        // A flipped bit is no newer version: the snapshot before this one serves.
        return Err(match is_whole() {
            false => SnapshotError::Corrupt { part: 0, what: "header" },
            true if !is_known_format => SnapshotError::NewerFormat { found: format },
            true => SnapshotError::NewerFeatureLevel { found: feature_level },
        });
    }
    let mut state = State::with_limits(limits);
    state.feature_level = feature_level;
    let parts = decode_parts(&mut state, &body[HEADER_LEN..])?;
    if !is_whole() {
        return Err(SnapshotError::Corrupt { part: parts, what: "hash" });
    }
    Ok(state)
}

fn decode_parts(state: &mut State, mut rest: &[u8]) -> Result<usize, SnapshotError> {
    let mut order = part::Order::default();
    let mut index = 0;
    while !rest.is_empty() {
        let corrupt = |what| SnapshotError::Corrupt { part: index, what };
        let head = rest.first_chunk::<5>().ok_or(corrupt("length"))?;
        let body_len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let len = body_len.checked_add(PART_OVERHEAD).filter(|len| *len <= rest.len()).ok_or(corrupt("length"))?;
        let (part, after) = rest.split_at(len);
        let (content, crc) = part.split_at(len - 4);
        if crc != crc32c(content).to_be_bytes() {
            return Err(corrupt("checksum"));
        }
        let mut reader = Reader::new(&content[5..]);
        let read = order.decode(state, content[0], &mut reader).and_then(|()| reader.finish("end of the part"));
        read.map_err(|Malformed(what)| corrupt(what))?;
        rest = after;
        index += 1;
    }
    match order.shards() == SLOTS {
        true => Ok(index),
        false => Err(SnapshotError::Corrupt { part: index, what: "number of shards" }),
    }
}
