//! `FeatureLevel`: from here on apply follows the rules of this level.

use super::{Body, Kind};
use crate::codec::{Malformed, Reader, Writer};

/// The entry. A level that this build does not know stops the broker; a lower one than the present is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureLevel {
    /// The level.
    pub level: u16,
}

impl Body for FeatureLevel {
    const KIND: Kind = Kind::FeatureLevel;

    fn encode(&self, writer: &mut Writer) {
        writer.varint(u64::from(self.level));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { level: reader.number("feature level")? })
    }
}
