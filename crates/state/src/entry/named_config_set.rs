//! `NamedConfigSet`: settings change of what is known by its name alone.

use super::config_set::{read_changes, write_changes};
use super::{Body, Change, Kind};
use crate::codec::{Malformed, Reader, Writer};
use crate::topic::Named;

/// The entry. What a setting means is checked by the broker that writes it; apply stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedConfigSet {
    /// What kind of thing it is.
    pub kind: Named,
    /// Its name, 1 to 255 bytes.
    pub name: String,
    /// What changes, in this order.
    pub changes: Vec<Change>,
}

impl Body for NamedConfigSet {
    const KIND: Kind = Kind::NamedConfigSet;

    fn encode(&self, writer: &mut Writer) {
        writer.u8(self.kind as u8);
        writer.string(&self.name);
        write_changes(&self.changes, writer);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = Named::from_tag(reader.u8("kind")?).ok_or(Malformed("kind"))?;
        Ok(Self { kind, name: reader.string("name")?, changes: read_changes(reader)? })
    }
}
