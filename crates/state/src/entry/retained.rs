//! `Retained`: retention lets go of the oldest records of partitions.
//!
//! The entry says by which rules. How far each partition is cut is decided in apply: against the frame's time, and only
//! while the settings that the rules were read from are still in force.

use super::{Body, Kind};
use crate::Handle;
use crate::codec::{Malformed, Reader, Writer};
use crate::partition::Keep;

/// The entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    /// The broker whose settings count beside those of topics.
    pub node_id: i32,
    /// Partitions to cut.
    pub cuts: Vec<Cut>,
}

/// One partition's rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Which partition.
    pub partition: Handle,
    /// A hash of the settings that the rule was read from, see [`State::settings_hash`](crate::State::settings_hash).
    pub settings: u64,
    /// What is kept.
    pub keep: Keep,
}

impl Body for Retained {
    const KIND: Kind = Kind::Retained;

    fn encode(&self, writer: &mut Writer) {
        writer.zigzag(i64::from(self.node_id));
        writer.count(self.cuts.len());
        for cut in &self.cuts {
            writer.varint(u64::from(cut.partition));
            writer.varint(cut.settings);
            writer.optional(cut.keep.age_ms);
            writer.optional(cut.keep.bytes);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let node_id = reader.signed("node id")?;
        let count = reader.count(4, "partitions")?;
        let mut cuts = Vec::with_capacity(count);
        for _ in 0..count {
            let (partition, settings) = (reader.number("handle")?, reader.varint("settings")?);
            let keep = Keep { age_ms: reader.optional("age")?, bytes: reader.optional("bytes")? };
            cuts.push(Cut { partition, settings, keep });
        }
        Ok(Self { node_id, cuts })
    }
}
