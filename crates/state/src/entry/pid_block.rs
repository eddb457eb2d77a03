//! `PidBlock`: a broker takes producer ids to hand out.

use super::{Body, Kind};
use crate::codec::{Malformed, Reader, Writer};

/// The entry. Apply gives the first id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PidBlock {
    /// How many ids, 1 to [`crate::limits::PID_BLOCK_MAX`].
    pub count: u32,
}

impl Body for PidBlock {
    const KIND: Kind = Kind::PidBlock;

    fn encode(&self, writer: &mut Writer) {
        writer.varint(u64::from(self.count));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { count: reader.number("count")? })
    }
}
