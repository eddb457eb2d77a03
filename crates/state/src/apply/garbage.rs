//! Freeing what deleted topics and deleted records held, a bounded amount per frame.
//!
//! Deleting is O(1) for the entry; the extents, producers and partitions that it leaves behind are freed here, in an order
//! that depends on nothing but the state. Until then their objects stay live and their extents count for the backlog.

use std::sync::Arc;

use crate::object::{DeadObject, ObjectId};
use crate::{Handle, State, slot};

impl State {
    pub(super) fn free_garbage(&mut self) {
        let mut budget = self.limits.garbage_per_frame;
        while budget > 0 {
            let Some(handle) = self.trimmed.first().copied() else { break };
            if self.free_extents(handle, false, &mut budget) {
                Arc::make_mut(&mut self.trimmed).remove(&handle);
            }
        }
        while budget > 0 {
            let Some((number, handle)) = self.next_dead() else { break };
            if self.free_partition(handle, &mut budget) {
                self.partition_freed(number);
            }
        }
        self.sweep_offsets(&mut budget);
    }

    fn next_dead(&self) -> Option<(u32, Handle)> {
        let (number, handles) = self.topics.garbage.first_key_value()?;
        Some((*number, handles.first()?.first))
    }

    fn partition_freed(&mut self, number: u32) {
        let garbage = &mut Arc::make_mut(&mut self.topics).garbage;
        let Some(handles) = garbage.get_mut(&number) else { return };
        if let Some(first) = handles.first_mut() {
            first.first += 1;
            first.count -= 1;
        }
        handles.retain(|handles| handles.count > 0);
        if handles.is_empty() {
            garbage.remove(&number);
        }
    }

    /// Frees a dead partition; false when the budget ran out before.
    fn free_partition(&mut self, handle: Handle, budget: &mut usize) -> bool {
        if !self.free_extents(handle, true, budget) {
            return false;
        }
        let shard = Arc::make_mut(&mut self.shards[slot(handle)]);
        let pids = shard.producers.range((handle, i64::MIN)..=(handle, i64::MAX)).map(|(key, _)| *key);
        let some: Vec<_> = pids.take(*budget).collect();
        *budget -= some.len();
        for key in some {
            shard.producers.remove(&key);
        }
        if *budget == 0 {
            return false;
        }
        *budget -= 1;
        shard.partitions.remove(&handle);
        if self.trimmed.contains(&handle) {
            Arc::make_mut(&mut self.trimmed).remove(&handle);
        }
        true
    }

    /// Frees the segments and extents of a partition that end at or below its start, or all; false when the budget ran out
    /// before.
    fn free_extents(&mut self, handle: Handle, all: bool, budget: &mut usize) -> bool {
        loop {
            let Some(partition) = Arc::make_mut(&mut self.shards[slot(handle)]).partitions.get_mut(&handle) else {
                return true;
            };
            let has_segment = partition.segments.len() > 0;
            if !has_segment && partition.extents.len() == 0 {
                // A claim without extents is void, see below.
                self.end_void_claim(handle);
                return true;
            }
            let end = if has_segment { partition.segment_end(0) } else { partition.extent_end(0) };
            if !(all || end <= partition.start) {
                return true;
            }
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            let partition = Arc::make_mut(partition);
            // Tiles go on covering everything from the start, also while a dead partition is taken apart.
            partition.start = partition.start.max(end);
            let owner = (partition.topic, partition.index);
            if let Some(segment) = partition.segments.pop_front() {
                partition.bytes -= u64::from(segment.body_len());
                self.segments -= 1;
                self.release_segment(handle, segment.base_offset, owner, false);
            } else if let Some(extent) = partition.extents.pop_front() {
                partition.bytes -= u64::from(extent.len);
                self.extents -= 1;
                self.release(extent.object, extent.len, false);
                self.end_void_claim(handle);
            }
        }
    }

    /// A claim whose first records are gone cannot be executed any more. What may have been written under it is garbage; its
    /// name is never claimed again, since no extent begins there.
    fn end_void_claim(&mut self, handle: Handle) {
        let Some(partition) = self.shards[slot(handle)].partitions.get(&handle) else { return };
        let void = |first: &u64| *first < partition.extents_start();
        let Some(first) = partition.claim.as_ref().map(|claim| claim.first).filter(void) else { return };
        let owner = (partition.topic, partition.index);
        if let Some(partition) = Arc::make_mut(&mut self.shards[slot(handle)]).partitions.get_mut(&handle) {
            Arc::make_mut(partition).claim = None;
        }
        self.release_segment(handle, first, owner, false);
    }

    /// One reference less to an object; the last one leaves it dead.
    pub(super) fn release(&mut self, id: ObjectId, len: u32, replaced: bool) {
        let shard = Arc::make_mut(&mut self.shards[id.slot()]);
        let Some(object) = shard.objects.get_mut(&id) else { return };
        object.extents -= 1;
        object.bytes = object.bytes.saturating_sub(u64::from(len));
        if object.extents > 0 {
            return;
        }
        let place = object.place;
        shard.objects.remove(&id);
        let dead = DeadObject { place, since: self.position + 1, replaced };
        Arc::make_mut(&mut self.dead).objects.insert(id, dead);
    }
}
