//! Segments: claims, publications, and what is gone from the store.

use std::sync::Arc;

use super::Frame;
use crate::entry::{ObjectsDeleted, SegmentClaimed, SegmentPublished};
use crate::extent::{SEGMENT_OVERHEAD, Segment};
use crate::object::DeadSegment;
use crate::partition::Claim;
use crate::topic::path_namespace;
use crate::verdict::{Refused, Verdict};
use crate::{Handle, State, slot};

/// How long the path of a deleted topic is not used again, by cluster time: whoever was still writing there is gone by then.
const GRAVE_MS: i64 = 60 * 60 * 1_000;

impl State {
    pub(super) fn apply_segment_claimed(
        &mut self,
        frame: &mut Frame,
        entry: &SegmentClaimed,
    ) -> Result<Verdict, Refused> {
        frame.changed.push(entry.partition);
        let view = self.partition(entry.partition).ok_or(Refused::UnknownPartition)?;
        let (topic, partition) = (view.topic, view.partition);
        let range = u64::try_from(entry.first).ok().zip(u64::try_from(entry.end).ok());
        let (first, end) = range.ok_or(Refused::InvalidClaim)?;
        if partition.claim.is_some() {
            return Err(Refused::ClaimedAlready);
        }
        let exact = first == partition.extents_start() && partition.row(first, end).is_some();
        if !exact || entry.algorithm == 0 || self.dead.segments.contains_key(&(entry.partition, first)) {
            return Err(Refused::InvalidClaim);
        }
        if path_namespace(&topic.namespace).is_none() {
            return Err(Refused::InvalidName);
        }
        let is_used = self.dead.has_grave(&topic.namespace, &topic.name);
        #[cfg(feature = "planted-bugs")]
        let is_used = is_used && !crate::planted::is(crate::planted::Bug::PathUsedAtOnce);
        if is_used {
            return Err(Refused::PathInUse);
        }
        let (number, has_path) = (topic.number, topic.has_path);
        let (position, created_ms, algorithm) = (frame.facts.position, entry.created_ms, entry.algorithm);
        let claim = Claim { position, first, end, created_ms, algorithm };
        let shard = Arc::make_mut(&mut self.shards[slot(entry.partition)]);
        if let Some(partition) = shard.partitions.get_mut(&entry.partition) {
            Arc::make_mut(partition).claim = Some(Arc::new(claim));
        }
        if !has_path && let Some(topic) = Arc::make_mut(&mut self.topics).by_number.get_mut(&number) {
            Arc::make_mut(topic).has_path = true;
        }
        Ok(Verdict::Done)
    }

    pub(super) fn apply_segment_published(
        &mut self,
        frame: &mut Frame,
        entry: &SegmentPublished,
    ) -> Result<Verdict, Refused> {
        frame.changed.push(entry.partition);
        let partition = self.partition(entry.partition).ok_or(Refused::UnknownPartition)?.partition;
        let claim = partition.claim.as_ref().filter(|claim| claim.position == entry.claim);
        let claim = **claim.ok_or(Refused::ClaimUnknown)?;
        let Some(row) = partition.row(claim.first, claim.end) else { return Err(Refused::ClaimUnknown) };
        if entry.bytes <= SEGMENT_OVERHEAD || entry.bytes > i32::MAX as u32 {
            return Err(Refused::InvalidClaim);
        }
        let segment = Segment {
            base_offset: claim.first,
            len: entry.bytes,
            max_timestamp: entry.max_timestamp,
            crc: entry.crc,
            records: entry.records,
        };
        let shard = Arc::make_mut(&mut self.shards[slot(entry.partition)]);
        let Some(partition) = shard.partitions.get_mut(&entry.partition) else { return Err(Refused::UnknownPartition) };
        let partition = Arc::make_mut(partition);
        let extents = partition.extents.replace(row.extents, &[]);
        partition.segments.push(&segment);
        partition.claim = None;
        let gone: u64 = extents.iter().map(|extent| u64::from(extent.len)).sum();
        partition.bytes = partition.bytes - gone + u64::from(segment.body_len());
        self.extents -= extents.len() as u64;
        self.segments += 1;
        extents.iter().for_each(|extent| self.release(extent.object, extent.len, true));
        Ok(Verdict::Done)
    }

    /// A segment is dead, or the place of one that was claimed.
    pub(super) fn release_segment(&mut self, handle: Handle, base: u64, (topic, index): (u32, u32), replaced: bool) {
        let dead = DeadSegment { topic, index, since: self.position + 1, replaced };
        Arc::make_mut(&mut self.dead).segments.insert((handle, base), dead);
    }

    pub(super) fn apply_objects_deleted(&mut self, entry: &ObjectsDeleted) -> Verdict {
        for id in &entry.objects {
            if !self.dead.objects.contains_key(id) {
                continue;
            }
            let Some(dead) = Arc::make_mut(&mut self.dead).objects.remove(id) else { continue };
            if id.log_position().is_none() {
                Arc::make_mut(&mut self.shards[dead.place.slot()]).data_objects.remove(&dead.place);
            }
        }
        for key in &entry.segments {
            if self.dead.segments.contains_key(key) {
                Arc::make_mut(&mut self.dead).segments.remove(key);
            }
        }
        for number in &entry.graves {
            let old = |time_ms: i64| self.cluster_time_ms.saturating_sub(time_ms) >= GRAVE_MS;
            let known = self.dead.graves.get(number).is_some_and(|grave| old(grave.time_ms));
            if known && self.is_grave_empty(*number) {
                Arc::make_mut(&mut self.dead).graves.remove(number);
            }
        }
        Verdict::Done
    }
}
