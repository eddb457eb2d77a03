//! `BrokerGone`: a session has ended.

use super::{Body, Kind};
use crate::codec::{Malformed, Reader, Writer};

/// The entry. The session's later frames are void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerGone {
    /// The session.
    pub session: u64,
}

impl Body for BrokerGone {
    const KIND: Kind = Kind::BrokerGone;

    fn encode(&self, writer: &mut Writer) {
        writer.varint(self.session);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { session: reader.varint("session")? })
    }
}
