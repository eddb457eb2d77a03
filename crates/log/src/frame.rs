//! A frame: one append of one broker.
//!
//! Persisted as one object by the store log: header, entries, payload. All integers are big-endian.
//!
//! | Offset | Size | Content |
//! |---|---|---|
//! | 0 | 4 | ASCII `KSLF` |
//! | 4 | 2 | format version = 1 |
//! | 6 | 1 | kind: 0 entries, 1 fill (an empty frame that a take-over put into a hole) |
//! | 7 | 1 | reserved, 0 |
//! | 8 | 16 | cluster id |
//! | 24 | 8 | generation |
//! | 32 | 8 | position |
//! | 40 | 8 | session |
//! | 48 | 16 | incarnation: random per process; with the sequence it is the write id |
//! | 64 | 8 | sequence of the append within the session, from 0 |
//! | 72 | 8 | cluster time, Unix milliseconds (int64) |
//! | 80 | 8 | settled: every position below it was definite |
//! | 88 | 8 | applied: the writer's replica had applied up to here |
//! | 96 | 16 | digest of that replica there |
//! | 112 | 4 | length of the entries |
//! | 116 | 8 | length of the payload |
//! | 124 | 16 | XXH3-128 of the entries |
//! | 140 | 4 | CRC-32C of bytes 0..140 |
//! | 144 | | entries, then payload |

mod codec;
#[cfg(test)]
mod tests;

use bytes::Bytes;
pub(crate) use codec::crc32c;
pub use codec::{
    DecodeError, ENTRIES_LEN_MAX, PAYLOAD_LEN_MAX, Place, TooLarge, check_bounds, decode, decode_header, encode,
    encode_header,
};

use crate::{Position, Progress};

/// Length of an encoded header in bytes.
pub const HEADER_LEN: usize = 144;

/// What kind of frame; persisted, never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// It holds entries (perhaps none).
    Entries = 0,
    /// An empty frame that a take-over put into a hole.
    Fill = 1,
}

/// Names one append of one process for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WriteId {
    /// Random per process.
    pub incarnation: u128,
    /// Sequence of the append.
    pub sequence: u64,
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Entries or fill.
    pub kind: Kind,
    /// The cluster that this log belongs to.
    pub cluster_id: u128,
    /// The life of the log.
    pub generation: u64,
    /// Where it stands.
    pub position: Position,
    /// One life of a broker process; grows with every take-over.
    pub session: u64,
    /// Which append of which process.
    pub write_id: WriteId,
    /// Unix milliseconds; the state takes the maximum.
    pub cluster_time_ms: i64,
    /// Every position below it was definite when this was written.
    pub settled: Position,
    /// How far the writer's replica had applied.
    pub progress: Progress,
    /// Length of the entries in bytes.
    pub entries_len: u32,
    /// Length of the payload in bytes.
    pub payload_len: u64,
    /// XXH3-128 of the entries.
    pub entries_hash: u128,
}

/// A frame as it is applied: the payload stays in the store.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its header.
    pub header: Header,
    /// Its encoded entries.
    pub entries: Bytes,
}
