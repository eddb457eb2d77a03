//! Header and entries as bytes, and back: strict, bounded, and without a copy of the payload.
//!
//! A header is read before anything that it announces is fetched or allocated, so its own lengths are bounded here. Every
//! way in which an object can fail to be the frame that was looked for has an error of its own: a wrong checksum is damage,
//! a wrong place is an object that somebody moved or copied, a newer version is a store that this program must not touch.

use bytes::{BufMut, Bytes, BytesMut};
use kafscale_store::Body;

use super::{Frame, HEADER_LEN, Header, Kind, WriteId};
use crate::{Position, Progress};

/// Most bytes of entries in one frame.
pub const ENTRIES_LEN_MAX: usize = 64 << 20;

/// Most bytes of payload in one frame.
pub const PAYLOAD_LEN_MAX: u64 = 1 << 30;

const MAGIC: [u8; 4] = *b"KSLF";
const VERSION: u16 = 1;
const CRC_AT: usize = 140;

/// The place where a frame is looked for; its header must name the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The cluster that the log belongs to.
    pub cluster_id: u128,
    /// The life of the log.
    pub generation: u64,
    /// The position.
    pub position: Position,
}

/// Why bytes are not the frame that was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than a header has.
    #[error("{len} bytes are too few for the header of a frame")]
    HeaderTruncated {
        /// How many there were.
        len: usize,
    },
    /// It does not begin as a frame.
    #[error("this is not a frame: wrong magic")]
    Magic,
    /// A later release wrote it.
    #[error("written by a newer version: frame format {version}, known up to {VERSION}")]
    NewerVersion {
        /// The version that it names.
        version: u16,
    },
    /// The header is damaged.
    #[error("wrong checksum of the frame's header")]
    Checksum,
    /// The header's checksum is right, but a field has a value that this version never writes.
    #[error("the frame's header has an impossible {field}")]
    Field {
        /// Which one.
        field: &'static str,
    },
    /// It belongs to another cluster.
    #[error("the frame belongs to cluster {found:032x}, not {expected:032x}")]
    ClusterId {
        /// Of the log that is read.
        expected: u128,
        /// In the header.
        found: u128,
    },
    /// It belongs to another life of the log.
    #[error("the frame belongs to generation {found}, not {expected}")]
    Generation {
        /// Of the log that is read.
        expected: u64,
        /// In the header.
        found: u64,
    },
    /// It was written for another position.
    #[error("the frame was written for position {found}, not {expected}")]
    Position {
        /// Where it stands.
        expected: Position,
        /// In the header.
        found: Position,
    },
    /// The object ends before its entries do.
    #[error("the frame's entries end after {found} of {expected} bytes")]
    EntriesTruncated {
        /// The length in the header.
        expected: u32,
        /// What there is.
        found: usize,
    },
    /// The entries are damaged.
    #[error("wrong hash of the frame's entries")]
    EntriesHash,
}

/// Why a frame cannot be written: it breaks a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// More than [`ENTRIES_LEN_MAX`].
    #[error("{0} bytes of entries, at most {ENTRIES_LEN_MAX} fit a frame")]
    Entries(usize),
    /// More than [`PAYLOAD_LEN_MAX`].
    #[error("{0} bytes of payload, at most {PAYLOAD_LEN_MAX} fit a frame")]
    Payload(u64),
}

/// Whether a frame of this content may be written.
pub fn check_bounds(entries: &Bytes, payload: &Body) -> Result<(), TooLarge> {
    if entries.len() > ENTRIES_LEN_MAX {
        return Err(TooLarge::Entries(entries.len()));
    }
    if payload.len() > PAYLOAD_LEN_MAX {
        return Err(TooLarge::Payload(payload.len()));
    }
    Ok(())
}

/// The object that holds this frame. Lengths and hash are taken from `entries` and `payload` and set in `header`; the
/// payload's segments are shared, not copied.
pub fn encode(header: &mut Header, entries: &Bytes, payload: &Body) -> Result<Body, TooLarge> {
    check_bounds(entries, payload)?;
    header.entries_len = u32::try_from(entries.len()).expect("bounded above");
    header.payload_len = payload.len();
    header.entries_hash = xxhash_rust::xxh3::xxh3_128(entries);
    let mut segments = Vec::with_capacity(2 + payload.segments().len());
    segments.push(encode_header(header));
    if !entries.is_empty() {
        segments.push(entries.clone());
    }
    segments.extend(payload.segments().iter().filter(|segment| !segment.is_empty()).cloned());
    Ok(Body::new(segments))
}

/// The header's [`HEADER_LEN`] bytes.
pub fn encode_header(header: &Header) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_LEN);
    out.put_slice(&MAGIC);
    out.put_u16(VERSION);
    out.put_u8(header.kind as u8);
    out.put_u8(0);
    out.put_u128(header.cluster_id);
    out.put_u64(header.generation);
    out.put_u64(header.position);
    out.put_u64(header.session);
    out.put_u128(header.write_id.incarnation);
    out.put_u64(header.write_id.sequence);
    out.put_i64(header.cluster_time_ms);
    out.put_u64(header.settled);
    out.put_u64(header.progress.position);
    out.put_u128(header.progress.digest);
    out.put_u32(header.entries_len);
    out.put_u64(header.payload_len);
    out.put_u128(header.entries_hash);
    let crc = crc32c(&out);
    out.put_u32(crc);
    debug_assert_eq!(out.len(), HEADER_LEN);
    out.freeze()
}

/// Reads the header at the front of `bytes` and checks all that does not depend on where it was found.
pub fn decode_header(bytes: &[u8]) -> Result<Header, DecodeError> {
    let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
        return Err(DecodeError::HeaderTruncated { len: bytes.len() });
    };
    if bytes[..4] != MAGIC {
        return Err(DecodeError::Magic);
    }
    let version = u16::from_be_bytes(field(bytes, 4));
    if version > VERSION {
        return Err(DecodeError::NewerVersion { version });
    }
    if crc32c(&bytes[..CRC_AT]) != u32::from_be_bytes(field(bytes, CRC_AT)) {
        return Err(DecodeError::Checksum);
    }
    let kind = match bytes[6] {
        0 => Kind::Entries,
        1 => Kind::Fill,
        _ => return Err(DecodeError::Field { field: "kind" }),
    };
    let header = Header {
        kind,
        cluster_id: u128::from_be_bytes(field(bytes, 8)),
        generation: u64::from_be_bytes(field(bytes, 24)),
        position: u64::from_be_bytes(field(bytes, 32)),
        session: u64::from_be_bytes(field(bytes, 40)),
        write_id: WriteId {
            incarnation: u128::from_be_bytes(field(bytes, 48)),
            sequence: u64::from_be_bytes(field(bytes, 64)),
        },
        cluster_time_ms: i64::from_be_bytes(field(bytes, 72)),
        settled: u64::from_be_bytes(field(bytes, 80)),
        progress: Progress {
            position: u64::from_be_bytes(field(bytes, 88)),
            digest: u128::from_be_bytes(field(bytes, 96)),
        },
        entries_len: u32::from_be_bytes(field(bytes, 112)),
        payload_len: u64::from_be_bytes(field(bytes, 116)),
        entries_hash: u128::from_be_bytes(field(bytes, 124)),
    };
    let possible = [
        ("version", version == VERSION),
        ("reserved byte", bytes[7] == 0),
        ("position", header.position > 0),
        ("settled position", header.settled <= header.position),
        ("length of entries", header.entries_len as usize <= ENTRIES_LEN_MAX),
        ("length of payload", header.payload_len <= PAYLOAD_LEN_MAX),
        ("content of a fill", kind != Kind::Fill || (header.entries_len == 0 && header.payload_len == 0)),
    ];
    match possible.into_iter().find(|(_, holds)| !holds) {
        Some((field, _)) => Err(DecodeError::Field { field }),
        None => Ok(header),
    }
}

impl Header {
    /// Whether this is the header of the frame that belongs to `place`.
    pub fn check_place(&self, place: &Place) -> Result<(), DecodeError> {
        if self.cluster_id != place.cluster_id {
            return Err(DecodeError::ClusterId { expected: place.cluster_id, found: self.cluster_id });
        }
        if self.generation != place.generation {
            return Err(DecodeError::Generation { expected: place.generation, found: self.generation });
        }
        if self.position != place.position {
            return Err(DecodeError::Position { expected: place.position, found: self.position });
        }
        Ok(())
    }

    /// Length in bytes of header and entries: what a replay needs of the object.
    pub fn head_len(&self) -> u64 {
        HEADER_LEN as u64 + u64::from(self.entries_len)
    }

    /// Makes the frame of this header and the entries that follow it; `after` may go on with payload.
    pub fn with_entries(self, after: Bytes) -> Result<Frame, DecodeError> {
        let expected = self.entries_len as usize;
        if after.len() < expected {
            return Err(DecodeError::EntriesTruncated { expected: self.entries_len, found: after.len() });
        }
        let entries = after.slice(..expected);
        if xxhash_rust::xxh3::xxh3_128(&entries) != self.entries_hash {
            return Err(DecodeError::EntriesHash);
        }
        Ok(Frame { header: self, entries })
    }
}

/// Reads the frame at the front of `bytes`, which must hold its header and all its entries.
pub fn decode(bytes: Bytes, place: &Place) -> Result<Frame, DecodeError> {
    let header = decode_header(&bytes)?;
    header.check_place(place)?;
    header.with_entries(bytes.slice(HEADER_LEN..))
}

fn field<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("the layout lies inside the header")
}

pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    u32::try_from(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes)).expect("a CRC-32 has 32 bits")
}
