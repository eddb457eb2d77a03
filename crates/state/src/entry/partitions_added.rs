//! `PartitionsAdded`: a topic gets more partitions.

use super::{Body, Kind};
use crate::codec::{Malformed, Reader, Writer};
use crate::topic::TopicId;

/// The entry. The count before makes two concurrent requests safe: the second is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionsAdded {
    /// Which topic.
    pub id: TopicId,
    /// How many partitions it has before.
    pub before: u32,
    /// How many it has afterwards.
    pub after: u32,
}

impl Body for PartitionsAdded {
    const KIND: Kind = Kind::PartitionsAdded;

    fn encode(&self, writer: &mut Writer) {
        writer.u128(self.id);
        writer.varint(u64::from(self.before));
        writer.varint(u64::from(self.after));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: reader.u128("topic id")?,
            before: reader.number("partition count")?,
            after: reader.number("partition count")?,
        })
    }
}
