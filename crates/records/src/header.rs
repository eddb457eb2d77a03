//! The 61 bytes before the records.
//!
//! ```text
//!  0 base offset i64          8 batch length i32 (from byte 12 on)
//! 12 leader epoch i32        16 magic i8        17 crc u32 (CRC-32C from byte 21 on)
//! 21 attributes i16          23 last offset delta i32
//! 27 base timestamp i64      35 max timestamp i64
//! 43 producer id i64         51 producer epoch i16   53 base sequence i32   57 record count i32
//! ```

use crate::{BatchError, Codec};

/// Bytes before the first record.
pub const HEADER_LEN: usize = 61;

/// The only message format that is read or written here.
pub const MAGIC: i8 = 2;

/// Bytes before the ones that the batch length counts.
pub(crate) const LENGTH_OVERHEAD: usize = 12;

/// First byte under the checksum.
pub(crate) const CRC_START: usize = 21;

/// Where the fields that a broker writes lie.
pub(crate) mod at {
    pub const BASE_OFFSET: usize = 0;
    pub const LENGTH: usize = 8;
    pub const LEADER_EPOCH: usize = 12;
    pub const MAGIC: usize = 16;
    pub const CRC: usize = 17;
    pub const ATTRIBUTES: usize = 21;
    pub const MAX_TIMESTAMP: usize = 35;
}

/// Whose clock a batch's timestamps are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's, one per record.
    CreateTime,
    /// The broker's, one for the whole batch: its max timestamp.
    LogAppendTime,
}

/// The attribute bits of a batch. Bits that have no meaning are kept and ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    pub(crate) const CODEC: i16 = 0b111;
    pub(crate) const LOG_APPEND_TIME: i16 = 1 << 3;
    pub(crate) const TRANSACTIONAL: i16 = 1 << 4;
    pub(crate) const CONTROL: i16 = 1 << 5;
    pub(crate) const DELETE_HORIZON: i16 = 1 << 6;

    /// How the records are compressed.
    pub fn codec(self) -> Result<Codec, BatchError> {
        let id = (self.0 & Self::CODEC) as u8;
        Codec::from_id(id).ok_or(BatchError::Codec { id })
    }

    /// Whose clock the timestamps are.
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME != 0 { TimestampType::LogAppendTime } else { TimestampType::CreateTime }
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether its one record is a transaction marker.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is the time from which cleaning may drop tombstones.
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }
}

/// A batch's header, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes from the leader epoch to the end of the batch.
    pub batch_length: i32,
    /// Epoch of the leader that wrote it.
    pub partition_leader_epoch: i32,
    /// Message format.
    pub magic: i8,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec, timestamp type and flags.
    pub attributes: Attributes,
    /// Offset of the last record (even if cleaning removed it), relative to the base offset.
    pub last_offset_delta: i32,
    /// What the records' timestamps are relative to, Unix milliseconds.
    pub base_timestamp: i64,
    /// The greatest of the records' timestamps, Unix milliseconds.
    pub max_timestamp: i64,
    /// Producer id, -1 without one.
    pub producer_id: i64,
    /// Producer epoch. Meaningless without a producer id.
    pub producer_epoch: i16,
    /// Sequence of the first record. Meaningless without a producer id.
    pub base_sequence: i32,
    /// Records in the batch.
    pub record_count: i32,
}

impl Header {
    /// Decodes the first [`HEADER_LEN`] bytes. Checks that they are there, the message format, and that the length is
    /// possible; nothing else.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let have = bytes.len() as u64;
        if let Some(&magic) = bytes.get(at::MAGIC)
            && magic as i8 != MAGIC
        {
            let magic = magic as i8;
            return Err(match magic {
                0 | 1 => BatchError::OldMagic { magic },
                _ => BatchError::UnknownMagic { magic },
            });
        }
        let bytes: &[u8; HEADER_LEN] =
            bytes.first_chunk().ok_or(BatchError::Truncated { need: HEADER_LEN as u64, have })?;
        let mut fields = Fields(bytes);
        let header = Self {
            base_offset: i64::from_be_bytes(fields.take()),
            batch_length: i32::from_be_bytes(fields.take()),
            partition_leader_epoch: i32::from_be_bytes(fields.take()),
            magic: i8::from_be_bytes(fields.take()),
            crc: u32::from_be_bytes(fields.take()),
            attributes: Attributes(i16::from_be_bytes(fields.take())),
            last_offset_delta: i32::from_be_bytes(fields.take()),
            base_timestamp: i64::from_be_bytes(fields.take()),
            max_timestamp: i64::from_be_bytes(fields.take()),
            producer_id: i64::from_be_bytes(fields.take()),
            producer_epoch: i16::from_be_bytes(fields.take()),
            base_sequence: i32::from_be_bytes(fields.take()),
            record_count: i32::from_be_bytes(fields.take()),
        };
        if header.batch_length < (HEADER_LEN - LENGTH_OVERHEAD) as i32 {
            return Err(BatchError::Length { length: header.batch_length });
        }
        Ok(header)
    }

    /// Bytes of the whole batch, header included. At least [`HEADER_LEN`].
    pub fn size(&self) -> u64 {
        LENGTH_OVERHEAD as u64 + u64::from(self.batch_length.unsigned_abs())
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset that follows the batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// The time from which on cleaning may drop its tombstones, Unix milliseconds; none if it was not cleaned yet.
    pub fn delete_horizon(&self) -> Option<i64> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }

    /// Whether an idempotent producer wrote it.
    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }
}

/// The rest of a header while it is read from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("the fields add up to the header's length");
        self.0 = rest;
        *field
    }
}
