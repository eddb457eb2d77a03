//! `TopicCreated`: a topic and its partitions.

use super::{Body, Kind};
use crate::codec::{Malformed, Reader, Writer};
use crate::topic::{Settings, TopicId};

/// The entry. Apply gives the handles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicCreated {
    /// Its namespace; [`crate::topic::DEFAULT_NAMESPACE`] is the usual one.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its id, drawn by the broker; not 0.
    pub id: TopicId,
    /// How many partitions, from 1.
    pub partitions: u32,
    /// Its settings.
    pub settings: Settings,
}

impl Body for TopicCreated {
    const KIND: Kind = Kind::TopicCreated;

    fn encode(&self, writer: &mut Writer) {
        writer.string(&self.namespace);
        writer.string(&self.name);
        writer.u128(self.id);
        writer.varint(u64::from(self.partitions));
        write_settings(&self.settings, writer);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            namespace: reader.string("namespace")?,
            name: reader.string("topic name")?,
            id: reader.u128("topic id")?,
            partitions: reader.number("partition count")?,
            settings: read_settings(reader)?,
        })
    }
}

pub(crate) fn write_settings(settings: &Settings, writer: &mut Writer) {
    writer.count(settings.len());
    for (name, value) in settings {
        writer.string(name);
        writer.string(value);
    }
}

pub(crate) fn read_settings(reader: &mut Reader<'_>) -> Result<Settings, Malformed> {
    let count = reader.count(2, "settings")?;
    let mut settings = Settings::new();
    for _ in 0..count {
        let name = reader.string("setting name")?;
        // In order and without repeats, so that equal settings have equal bytes.
        if settings.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return Err(Malformed("order of settings"));
        }
        settings.insert(name, reader.string("setting value")?);
    }
    Ok(settings)
}
