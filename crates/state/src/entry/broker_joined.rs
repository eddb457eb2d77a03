//! `BrokerJoined`: a session serves clients at an address.

use super::{Body, Kind};
use crate::codec::{Malformed, Reader, Writer};

/// The entry. It ends an older session of the same node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerJoined {
    /// The session.
    pub session: u64,
    /// Kafka's broker id, not negative.
    pub node_id: i32,
    /// Where clients reach it.
    pub host: String,
    /// And at which port.
    pub port: u16,
    /// Its zone.
    pub rack: Option<String>,
    /// The newest feature level that it knows.
    pub feature_level_known: u16,
}

impl Body for BrokerJoined {
    const KIND: Kind = Kind::BrokerJoined;

    fn encode(&self, writer: &mut Writer) {
        writer.varint(self.session);
        writer.zigzag(i64::from(self.node_id));
        writer.string(&self.host);
        writer.varint(u64::from(self.port));
        writer.optional_string(self.rack.as_deref());
        writer.varint(u64::from(self.feature_level_known));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            session: reader.varint("session")?,
            node_id: reader.signed("node id")?,
            host: reader.string("host")?,
            port: reader.number("port")?,
            rack: reader.optional_string("rack")?,
            feature_level_known: reader.number("feature level")?,
        })
    }
}
