//! `RecordsDeleted`: clients let go of the records below an offset.

use super::{Body, Kind};
use crate::Handle;
use crate::codec::{Malformed, Reader, Writer};

/// The entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordsDeleted {
    /// Partition and new log start offset; -1 stands for its end, as in Kafka. A start only grows.
    pub starts: Vec<(Handle, i64)>,
}

impl Body for RecordsDeleted {
    const KIND: Kind = Kind::RecordsDeleted;

    fn encode(&self, writer: &mut Writer) {
        writer.count(self.starts.len());
        for &(handle, start) in &self.starts {
            writer.varint(u64::from(handle));
            writer.zigzag(start);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = reader.count(2, "partitions")?;
        let mut starts = Vec::with_capacity(count);
        for _ in 0..count {
            starts.push((reader.number("handle")?, reader.zigzag("start")?));
        }
        Ok(Self { starts })
    }
}
