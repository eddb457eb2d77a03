//! A partition: its offsets and extents.

use crate::extent::{ExtentView, Extents};
use crate::{Handle, State, Topic};

/// What the state holds of one partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partition {
    /// Number of its topic.
    pub(crate) topic: u32,
    /// Kafka's partition index.
    pub(crate) index: u32,
    /// The log start offset; it only grows.
    pub(crate) start: u64,
    /// One past the last record; it only grows.
    pub(crate) end: u64,
    /// Bytes that its extents cover.
    pub(crate) bytes: u64,
    /// They tile from at or below `start` to `end`.
    pub(crate) extents: Extents,
}

/// A partition as queries see it.
#[derive(Debug, Clone, Copy)]
pub struct PartitionView<'a> {
    pub(crate) state: &'a State,
    pub(crate) topic: &'a Topic,
    pub(crate) handle: Handle,
    pub(crate) partition: &'a Partition,
}

impl<'a> PartitionView<'a> {
    /// Its handle.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// Its topic.
    pub fn topic(&self) -> &'a Topic {
        self.topic
    }

    /// Kafka's partition index, from 0.
    pub fn index(&self) -> u32 {
        self.partition.index
    }

    /// The first offset that can be read.
    pub fn log_start_offset(&self) -> i64 {
        self.partition.start as i64
    }

    /// One past the last record: what is in the state is committed, so this is the log end as well.
    pub fn high_watermark(&self) -> i64 {
        self.partition.end as i64
    }

    /// Below it every transaction is decided; without transactions the high watermark.
    pub fn last_stable_offset(&self) -> i64 {
        self.partition.end as i64
    }

    /// Bytes that its extents cover, records below the log start that share an extent with others included.
    pub fn bytes(&self) -> u64 {
        self.partition.bytes
    }

    /// How many extents it has.
    pub fn extent_count(&self) -> usize {
        self.partition.extents.len()
    }

    /// The extents that hold `offset` and everything after it, in order. An offset below the log start counts as the log
    /// start; at or beyond the end there are none.
    pub fn extents_from(&self, offset: i64) -> impl Iterator<Item = ExtentView> + use<'a> {
        let (state, partition) = (self.state, self.partition);
        let offset = u64::try_from(offset).unwrap_or(0).max(partition.start);
        let first = match offset < partition.end {
            true => partition.extents.find(offset),
            false => partition.extents.len(),
        };
        (first..partition.extents.len()).map_while(move |index| {
            let extent = partition.extents.get(index)?;
            let end = partition.extents.base_offset(index + 1).unwrap_or(partition.end);
            Some(ExtentView {
                base_offset: extent.base_offset as i64,
                end_offset: end as i64,
                object: extent.object,
                place: state.place(extent.object)?,
                position: extent.position,
                len: extent.len,
                max_timestamp: extent.max_timestamp,
            })
        })
    }
}
