//! One of the 1,024 shards that a clone of the state shares until one side writes.
//!
//! A shard holds the partitions of its slot, the producers that wrote to them, and the records of the objects whose
//! number falls to it. Partitions are shared once more inside a shard: the first write after a clone copies a list of
//! references and one partition's tail.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::{Object, ObjectId, Place};
use crate::partition::Partition;
use crate::producer::ProducerState;
use crate::{Handle, Position};

/// How many slots there are; persisted in the order of commits and snapshots, never changed.
pub const SLOTS: usize = 1_024;

/// The slot that a partition belongs to: work is placed and objects are sorted by it.
pub fn slot(handle: Handle) -> usize {
    handle as usize % SLOTS
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shard {
    pub(crate) partitions: BTreeMap<Handle, Arc<Partition>>,
    pub(crate) producers: BTreeMap<(Handle, i64), ProducerState>,
    /// A producer whose id was given before this position may have lost its state here.
    pub(crate) evicted_below: Position,
    pub(crate) objects: BTreeMap<ObjectId, Object>,
    /// Objects that are no frames by place, dead ones included, so that none is committed twice.
    pub(crate) data_objects: BTreeMap<Place, ObjectId>,
}

impl Shard {
    /// Makes room for one more producer by evicting the eighth that wrote longest ago.
    pub(crate) fn make_room(&mut self, cap: usize) {
        if self.producers.len() < cap {
            return;
        }
        let mut by_age: Vec<_> = self.producers.iter().map(|(key, state)| (state.last_position(), *key)).collect();
        by_age.sort_unstable();
        by_age.truncate((cap / 8).max(self.producers.len() + 1 - cap));
        for (position, key) in by_age {
            self.producers.remove(&key);
            self.evicted_below = self.evicted_below.max(position);
        }
    }
}
