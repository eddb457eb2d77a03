//! `SegmentPublished`: a claimed segment was written and read back, and takes the place of the extents it was made of.

use super::{Body, Kind};
use crate::codec::{Malformed, Reader, Writer};
use crate::{Handle, Position};

/// The entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentPublished {
    /// Which partition.
    pub partition: Handle,
    /// The position at which it was claimed.
    pub claim: Position,
    /// Bytes of the whole file.
    pub bytes: u32,
    /// CRC-32C of the whole file.
    pub crc: u32,
    /// Records in it.
    pub records: u32,
    /// The greatest of its batches' max timestamps, Unix milliseconds.
    pub max_timestamp: i64,
}

impl Body for SegmentPublished {
    const KIND: Kind = Kind::SegmentPublished;

    fn encode(&self, writer: &mut Writer) {
        writer.varint(u64::from(self.partition));
        writer.varint(self.claim);
        writer.varint(u64::from(self.bytes));
        writer.bytes.extend_from_slice(&self.crc.to_be_bytes());
        writer.varint(u64::from(self.records));
        writer.zigzag(self.max_timestamp);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            partition: reader.number("handle")?,
            claim: reader.varint("position")?,
            bytes: reader.number("bytes")?,
            crc: u32::from_be_bytes(reader.array("checksum")?),
            records: reader.number("records")?,
            max_timestamp: reader.zigzag("max timestamp")?,
        })
    }
}
