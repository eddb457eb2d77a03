//! The `floor` object: below it the log is trimmed.
//!
//! It is replaced before any frame is deleted, so whoever reads it after a create has succeeded learns whether the name was
//! free because it had been trimmed. It only grows within a generation. All integers are big-endian.
//!
//! | Offset | Size | Content |
//! |---|---|---|
//! | 0 | 4 | ASCII `KSLT` |
//! | 4 | 2 | format version = 1 |
//! | 6 | 8 | generation |
//! | 14 | 8 | floor: the first position that is kept |
//! | 22 | 4 | CRC-32C of bytes 0..22 |

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Position, frame::crc32c};

const MAGIC: [u8; 4] = *b"KSLT";
const VERSION: u16 = 1;
const LEN: usize = 26;
/// What is read of the object: a newer version's may be longer.
pub const LEN_MAX: u64 = 1 << 10;

/// The content of the floor object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// The generation that was trimmed.
    pub generation: u64,
    /// The first position that is kept.
    pub position: Position,
}

/// Why the floor object cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FloorError {
    /// A later release wrote it.
    #[error("the floor was written by a newer version: format {0}, known up to {VERSION}")]
    NewerVersion(u16),
    /// It is no floor, or damaged.
    #[error("the floor object is damaged")]
    Damaged,
}

impl Floor {
    /// The floor as a writer of `generation` must take it: an earlier generation's says nothing, a later one's means that
    /// this generation is over.
    pub fn within(self, generation: u64) -> Position {
        match self.generation.cmp(&generation) {
            std::cmp::Ordering::Less => 1,
            std::cmp::Ordering::Equal => self.position,
            std::cmp::Ordering::Greater => Position::MAX,
        }
    }
}

/// The object's bytes.
pub fn encode(floor: Floor) -> Bytes {
    let mut out = BytesMut::with_capacity(LEN);
    out.put_slice(&MAGIC);
    out.put_u16(VERSION);
    out.put_u64(floor.generation);
    out.put_u64(floor.position);
    let crc = crc32c(&out);
    out.put_u32(crc);
    out.freeze()
}

/// Reads the object's bytes.
pub fn decode(bytes: &[u8]) -> Result<Floor, FloorError> {
    let (magic, rest) = bytes.split_first_chunk::<4>().ok_or(FloorError::Damaged)?;
    let (version, _) = rest.split_first_chunk::<2>().ok_or(FloorError::Damaged)?;
    let version = u16::from_be_bytes(*version);
    if *magic == MAGIC && version > VERSION {
        return Err(FloorError::NewerVersion(version));
    }
    let bytes: &[u8; LEN] = bytes.try_into().map_err(|_| FloorError::Damaged)?;
    let (body, crc) = bytes.split_at(LEN - 4);
    if *magic != MAGIC || version != VERSION || crc32c(body).to_be_bytes() != crc {
        return Err(FloorError::Damaged);
    }
    let number = |at: usize| u64::from_be_bytes(*body[at..].first_chunk().expect("the layout lies inside the object"));
    Ok(Floor { generation: number(6), position: number(14) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Floor = Floor { generation: 2, position: 77 };

    #[test]
    fn golden_bytes_read_back() {
        let bytes = encode(FLOOR);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "4b534c5400010000000000000002000000000000004daa8a0a52");
        assert_eq!(decode(&bytes), Ok(FLOOR));
    }

    #[test]
    fn damage_and_newer_versions_are_refused() {
        let good = encode(FLOOR).to_vec();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(decode(&bad).is_err(), "byte {at}");
        }
        let mut newer = good.clone();
        newer[5] = 2;
        assert_eq!(decode(&newer), Err(FloorError::NewerVersion(2)));
        assert_eq!(decode(&good[..25]), Err(FloorError::Damaged));
        assert_eq!(decode(b""), Err(FloorError::Damaged));
    }

    #[test]
    fn other_generations() {
        assert_eq!(FLOOR.within(2), 77);
        assert_eq!(FLOOR.within(3), 1);
        assert_eq!(FLOOR.within(1), Position::MAX);
    }
}
