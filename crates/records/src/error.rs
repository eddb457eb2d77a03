//! Why bytes are not the record batch they should be.

use crate::Codec;

/// Why a batch was refused or cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than a header, or than the header says.
    #[error("a record batch of {need} bytes was cut to {have}")]
    Truncated {
        /// Bytes that it needs, as far as known.
        need: u64,
        /// Bytes that are there.
        have: u64,
    },
    /// More bytes than the one batch.
    #[error("{surplus} bytes follow the record batch")]
    Surplus {
        /// How many.
        surplus: u64,
    },
    /// A batch length below the rest of the header.
    #[error("batch length {length} is too small for a header")]
    Length {
        /// What the header says.
        length: i32,
    },
    /// Message format 0 or 1, which brokers no longer take.
    #[error("message format {magic} is no longer supported")]
    OldMagic {
        /// 0 or 1.
        magic: i8,
    },
    /// A format that does not exist.
    #[error("unknown message format {magic}")]
    UnknownMagic {
        /// What the header says.
        magic: i8,
    },
    /// The checksum does not fit the bytes.
    #[error("checksum mismatch: header says {stated:#010x}, bytes give {computed:#010x}")]
    Crc {
        /// From the header.
        stated: u32,
        /// CRC-32C of the bytes.
        computed: u32,
    },
    /// No records, or their number does not fit the offsets.
    #[error("record count {count} does not fit last offset delta {last_offset_delta}")]
    Count {
        /// Records that the header states.
        count: i32,
        /// Last offset delta that the header states.
        last_offset_delta: i32,
    },
    /// A compression type that does not exist.
    #[error("unknown compression type {id}")]
    Codec {
        /// Bits 0-2 of the attributes.
        id: u8,
    },
    /// A control batch, which only brokers write.
    #[error("clients may not write control batches")]
    Control,
    /// Producer fields that contradict each other.
    #[error("producer id {id}, epoch {epoch} and sequence {sequence} do not fit together")]
    Producer {
        /// Producer id.
        id: i64,
        /// Producer epoch.
        epoch: i16,
        /// Base sequence.
        sequence: i32,
    },
    /// The records are not what their codec writes.
    #[error("the records cannot be decompressed as {codec}")]
    Corrupt {
        /// The codec that the header names.
        codec: Codec,
    },
    /// The records would take more memory than the caller allows.
    #[error("the records exceed {limit} bytes once decompressed")]
    TooLarge {
        /// What the caller allows.
        limit: u64,
    },
    /// A record whose fields do not fit its length or the batch.
    #[error("record {index} is malformed")]
    Record {
        /// Which record, counted from 0.
        index: u32,
    },
    /// Bytes after the last record.
    #[error("{surplus} bytes follow the last record")]
    RecordSurplus {
        /// How many.
        surplus: u64,
    },
}
