//! An archive: headers and entries of trimmed frames in one object, kept for a day so that a log can be rebuilt.
//!
//! All integers are big-endian.
//!
//! | Offset | Size | Content |
//! |---|---|---|
//! | 0 | 4 | ASCII `KSLA` |
//! | 4 | 2 | format version = 1 |
//! | 6 | 8 | generation |
//! | 14 | 8 | from: the first position |
//! | 22 | 8 | to: the position after the last |
//! | 30 | 4 | CRC-32C of bytes 0..30 |
//! | 34 | | of every position from..to, in order: the frame's header and entries as in its own object |

use bytes::{BufMut, Bytes, BytesMut};
use kafscale_store::Body;

use crate::{
    Frame, Position,
    frame::{DecodeError, HEADER_LEN, Place, crc32c, decode_header, encode_header},
};

/// Length of an archive's own header in bytes.
pub const ARCHIVE_HEADER_LEN: usize = 34;

const MAGIC: [u8; 4] = *b"KSLA";
const VERSION: u16 = 1;

/// Why an archive cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// A later release wrote it.
    #[error("the archive was written by a newer version: format {0}, known up to {VERSION}")]
    NewerVersion(u16),
    /// Its header is none, or damaged.
    #[error("the archive's header is damaged")]
    Header,
    /// One of its frames cannot be read.
    #[error("the archive is unreadable at position {position}: {source}")]
    Frame {
        /// Which.
        position: Position,
        /// What is wrong.
        source: DecodeError,
    },
    /// It goes on after its last frame.
    #[error("the archive goes on after its last frame")]
    Trailing,
}

/// The archive of these frames, which stand at dense positions of one generation; `None` if there is none.
pub fn encode(frames: &[Frame]) -> Option<Body> {
    let (first, last) = (frames.first()?.header, frames.last()?.header);
    let mut head = BytesMut::with_capacity(ARCHIVE_HEADER_LEN);
    head.put_slice(&MAGIC);
    head.put_u16(VERSION);
    head.put_u64(first.generation);
    head.put_u64(first.position);
    head.put_u64(last.position + 1);
    let crc = crc32c(&head);
    head.put_u32(crc);
    let mut segments = vec![head.freeze()];
    for frame in frames {
        segments.push(encode_header(&frame.header));
        segments.push(frame.entries.clone());
    }
    Some(Body::new(segments))
}

/// The frames of an archive, all or none.
pub fn decode(bytes: &Bytes, cluster_id: u128) -> Result<Vec<Frame>, ArchiveError> {
    let head: &[u8; ARCHIVE_HEADER_LEN] = bytes.first_chunk().ok_or(ArchiveError::Header)?;
    let number = |at: usize| u64::from_be_bytes(*head[at..].first_chunk().expect("the layout lies inside the header"));
    let version = u16::from_be_bytes([head[4], head[5]]);
    if head[..4] == MAGIC && version > VERSION {
        return Err(ArchiveError::NewerVersion(version));
    }
    if head[..4] != MAGIC || version != VERSION || crc32c(&head[..30]).to_be_bytes() != head[30..] {
        return Err(ArchiveError::Header);
    }
    let (generation, from, to) = (number(6), number(14), number(22));
    let mut rest = bytes.slice(ARCHIVE_HEADER_LEN..);
    let mut frames = Vec::new();
    for position in from..to {
        let place = Place { cluster_id, generation, position };
        let frame = next_frame(&mut rest, &place).map_err(|source| ArchiveError::Frame { position, source })?;
        frames.push(frame);
    }
    if rest.is_empty() { Ok(frames) } else { Err(ArchiveError::Trailing) }
}

fn next_frame(rest: &mut Bytes, place: &Place) -> Result<Frame, DecodeError> {
    let header = decode_header(rest)?;
    header.check_place(place)?;
    let frame = header.with_entries(rest.slice(HEADER_LEN..))?;
    *rest = rest.slice(HEADER_LEN + frame.entries.len()..);
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Progress,
        frame::{self, Header, Kind, WriteId},
    };

    const CLUSTER: u128 = 5;

    fn frame(position: Position, entries: &'static str) -> Frame {
        let header = Header {
            kind: Kind::Entries,
            cluster_id: CLUSTER,
            generation: 3,
            position,
            session: 1,
            write_id: WriteId { incarnation: 2, sequence: position },
            cluster_time_ms: 0,
            settled: position,
            progress: Progress::default(),
            entries_len: 0,
            payload_len: 0,
            entries_hash: 0,
        };
        let mut header = header;
        let entries = Bytes::from_static(entries.as_bytes());
        frame::encode(&mut header, &entries, &Body::from(Bytes::from_static(b"payload"))).unwrap();
        Frame { header, entries }
    }

    fn archive() -> Bytes {
        encode(&[frame(7, "seven"), frame(8, ""), frame(9, "nine")]).unwrap().to_bytes()
    }

    #[test]
    fn golden_bytes() {
        let bytes = archive();
        let hex: String = bytes[..ARCHIVE_HEADER_LEN].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "4b534c41000100000000000000030000000000000007000000000000000a1b7a59b1");
        let seven = frame(7, "seven");
        assert_eq!(bytes[34..34 + HEADER_LEN], encode_header(&seven.header));
        assert_eq!(&bytes[34 + HEADER_LEN..][..5], b"seven");
        assert_eq!(bytes.len(), 34 + 3 * HEADER_LEN + 9);
    }

    #[test]
    fn frames_come_back() {
        let frames = decode(&archive(), CLUSTER).unwrap();
        assert_eq!(frames.iter().map(|frame| &frame.entries[..]).collect::<Vec<_>>(), [&b"seven"[..], b"", b"nine"]);
        assert_eq!(frames[2].header, frame(9, "nine").header);
        assert!(encode(&[]).is_none());
    }

    #[test]
    fn damage_is_refused() {
        let good = archive().to_vec();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(decode(&bad.into(), CLUSTER).is_err(), "byte {at}");
        }
        assert_eq!(decode(&[&good[..], b"x"].concat().into(), CLUSTER).unwrap_err(), ArchiveError::Trailing);
        assert!(decode(&Bytes::copy_from_slice(&good[..good.len() - 1]), CLUSTER).is_err());
        let mut newer = good;
        newer[5] = 2;
        assert_eq!(decode(&newer.into(), CLUSTER).unwrap_err(), ArchiveError::NewerVersion(2));
    }
}
