//! `GroupDeleted`: a group without members is gone, and its offsets with it.

use super::{Body, Kind};
use crate::codec::{Malformed, Reader, Writer};

/// The entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDeleted {
    /// The group's id.
    pub group: String,
    /// Whether a group that has offsets stays: so the coordinator clears away what nobody uses.
    pub unless_used: bool,
}

impl Body for GroupDeleted {
    const KIND: Kind = Kind::GroupDeleted;

    fn encode(&self, writer: &mut Writer) {
        writer.string(&self.group);
        writer.u8(u8::from(self.unless_used));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { group: reader.string("group id")?, unless_used: reader.flag("unless used")? })
    }
}
