//! `Sequencer`: a session takes the log over.

use super::{Body, Kind};
use crate::codec::{Malformed, Reader, Writer};

/// The entry. Later frames of lower sessions are void: they keep their positions and change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequencer {
    /// The session that takes over; it must be greater than that of the present sequencer.
    pub session: u64,
}

impl Body for Sequencer {
    const KIND: Kind = Kind::Sequencer;

    fn encode(&self, writer: &mut Writer) {
        writer.varint(self.session);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { session: reader.varint("session")? })
    }
}
