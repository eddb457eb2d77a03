//! `ConfigSet`: settings of a topic or of brokers change.

use super::{Body, Kind};
use crate::codec::{Malformed, Reader, Writer};
use crate::topic::TopicId;

/// The entry. What a setting means is checked by the broker that writes it; apply stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSet {
    /// Whose settings.
    pub resource: Resource,
    /// What changes, in this order.
    pub changes: Vec<Change>,
}

/// Whose settings; the tags are persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// A topic (tag 0).
    Topic(TopicId),
    /// All brokers (tag 1).
    Brokers,
    /// One broker by node id (tag 2).
    Broker(i32),
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// Its new value; none to go back to the default.
    pub value: Option<String>,
}

impl Body for ConfigSet {
    const KIND: Kind = Kind::ConfigSet;

    fn encode(&self, writer: &mut Writer) {
        match self.resource {
            Resource::Topic(id) => {
                writer.u8(0);
                writer.u128(id);
            }
            Resource::Brokers => writer.u8(1),
            Resource::Broker(node_id) => {
                writer.u8(2);
                writer.zigzag(i64::from(node_id));
            }
        }
        write_changes(&self.changes, writer);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let resource = match reader.u8("resource")? {
            0 => Resource::Topic(reader.u128("topic id")?),
            1 => Resource::Brokers,
            2 => Resource::Broker(reader.signed("node id")?),
            _ => return Err(Malformed("resource")),
        };
        Ok(Self { resource, changes: read_changes(reader)? })
    }
}

pub(super) fn write_changes(changes: &[Change], writer: &mut Writer) {
    writer.count(changes.len());
    for change in changes {
        writer.string(&change.name);
        writer.optional_string(change.value.as_deref());
    }
}

pub(super) fn read_changes(reader: &mut Reader<'_>) -> Result<Vec<Change>, Malformed> {
    let count = reader.count(2, "changes")?;
    let mut changes = Vec::with_capacity(count);
    for _ in 0..count {
        changes.push(Change { name: reader.string("setting name")?, value: reader.optional_string("setting value")? });
    }
    Ok(changes)
}
