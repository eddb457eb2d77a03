//! `SegmentClaimed`: the log gives out the name of a segment.
//!
//! A segment's name follows from partition and base offset, so two brokers could write it with different bytes. Hence: claim,
//! write (create where the store can), read back, publish. The bytes are a pure function of the claim and the records; while
//! a claim stands, nobody else may replace the extents below it.

use super::{Body, Kind};
use crate::Handle;
use crate::codec::{Malformed, Reader, Writer};

/// The entry. The position of its frame is the number of the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentClaimed {
    /// Which partition.
    pub partition: Handle,
    /// Offset of the first record: where the partition's extents begin.
    pub first: i64,
    /// One past the last one: where one of its extents ends.
    pub end: i64,
    /// What the segment shall say of its creation, Unix milliseconds.
    pub created_ms: i64,
    /// How records become bytes, from 1.
    pub algorithm: u8,
}

impl Body for SegmentClaimed {
    const KIND: Kind = Kind::SegmentClaimed;

    fn encode(&self, writer: &mut Writer) {
        writer.varint(u64::from(self.partition));
        writer.zigzag(self.first);
        writer.zigzag(self.end.wrapping_sub(self.first));
        writer.zigzag(self.created_ms);
        writer.u8(self.algorithm);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (partition, first) = (reader.number("handle")?, reader.zigzag("first offset")?);
        Ok(Self {
            partition,
            first,
            end: first.wrapping_add(reader.zigzag("end offset")?),
            created_ms: reader.zigzag("time")?,
            algorithm: reader.u8("algorithm")?,
        })
    }
}
