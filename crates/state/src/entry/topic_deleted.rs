//! `TopicDeleted`: a topic and all of its records are gone.

use super::{Body, Kind};
use crate::codec::{Malformed, Reader, Writer};
use crate::topic::TopicId;

/// The entry. Its handles are dead from here on; what they held is freed a little per frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicDeleted {
    /// Which topic.
    pub id: TopicId,
}

impl Body for TopicDeleted {
    const KIND: Kind = Kind::TopicDeleted;

    fn encode(&self, writer: &mut Writer) {
        writer.u128(self.id);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { id: reader.u128("topic id")? })
    }
}
