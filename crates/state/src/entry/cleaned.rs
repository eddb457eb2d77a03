//! `Cleaned`: how far log compaction has come in partitions.
//!
//! It follows the swaps of a pass. If it is lost the pass is done again, which changes nothing but the effort; so whoever
//! goes on, after a restart or in another place, begins where the last whole pass ended. An entry without partitions brings
//! nothing but its frame's time: what has to wait by cluster time would otherwise wait for ever where nothing is written.

use super::{Body, Kind};
use crate::Handle;
use crate::codec::{Malformed, Reader, Writer};

/// The entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleaned {
    /// What was cleaned.
    pub partitions: Vec<CleanedTo>,
}

/// How far one partition is clean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanedTo {
    /// Which partition.
    pub partition: Handle,
    /// No record below has a key that another one below has as well. It only grows.
    pub to: i64,
    /// The earliest delete horizon of tombstones below, Unix milliseconds; none without tombstones.
    pub horizon_ms: Option<i64>,
}

impl Body for Cleaned {
    const KIND: Kind = Kind::Cleaned;

    fn encode(&self, writer: &mut Writer) {
        writer.count(self.partitions.len());
        for cleaned in &self.partitions {
            writer.varint(u64::from(cleaned.partition));
            writer.zigzag(cleaned.to);
            writer.optional_zigzag(cleaned.horizon_ms);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = reader.count(3, "partitions")?;
        let mut partitions = Vec::with_capacity(count);
        for _ in 0..count {
            let (partition, to) = (reader.number("handle")?, reader.zigzag("offset")?);
            let horizon_ms = reader.optional_zigzag("delete horizon")?;
            partitions.push(CleanedTo { partition, to, horizon_ms });
        }
        Ok(Self { partitions })
    }
}
