//! Merged objects: tiles of a partition are replaced by extents of one larger object, if they are the ones that its writer
//! has read.

use std::sync::Arc;

use super::Frame;
use crate::entry::{Merged, Swap};
use crate::extent::Extent;
use crate::limits::U48_MAX;
use crate::object::{DeadObject, Object, ObjectId, Place};
use crate::partition::{Partition, Row};
use crate::verdict::{Refused, SwapRefused, Verdict};
use crate::{State, slot};

impl State {
    pub(super) fn apply_merged(&mut self, frame: &mut Frame, entry: &Merged) -> Result<Verdict, Refused> {
        let place = Place::Merged(entry.object);
        if self.knows(place) {
            return Err(Refused::ObjectCommitted);
        }
        let id = ObjectId::data(self.next_data_object);
        if entry.object.level == 0 || entry.object.level == u8::MAX || id.0 > U48_MAX {
            return Err(Refused::InvalidObject);
        }
        let mut object = Object { place, extents: 0, bytes: 0 };
        let swap = |swap| self.apply_swap(frame, id, &mut object, swap);
        let outcomes: Vec<_> = entry.swaps.iter().map(swap).collect();
        frame.changed.extend(entry.swaps.iter().map(|swap| swap.partition));
        self.next_data_object += 1;
        self.add_object(frame.facts.position, id, object);
        Ok(Verdict::Merged(outcomes))
    }

    /// Notes an object that is no frame; it is dead at once if nothing refers to it.
    pub(super) fn add_object(&mut self, position: u64, id: ObjectId, object: Object) {
        let place = object.place;
        Arc::make_mut(&mut self.shards[place.slot()]).data_objects.insert(place, id);
        match object.extents {
            0 => {
                let dead = DeadObject { place, since: position, replaced: false };
                Arc::make_mut(&mut self.dead).objects.insert(id, dead);
            }
            _ => {
                Arc::make_mut(&mut self.shards[id.slot()]).objects.insert(id, object);
            }
        }
    }

    fn apply_swap(
        &mut self,
        frame: &mut Frame,
        id: ObjectId,
        object: &mut Object,
        swap: &Swap,
    ) -> Result<(), SwapRefused> {
        let found = self.partition(swap.partition).ok_or(SwapRefused::UnknownTopicOrPartition)?.partition;
        let new = new_extents(id, swap).ok_or(SwapRefused::Invalid)?;
        let row = replaceable(found, swap)?;
        let before = row.extents.len() as u64;
        let after = self.extents - before + new.len() as u64;
        if new.len() as u64 > before && after > self.limits.extents {
            return Err(SwapRefused::BacklogFull);
        }
        let shard = Arc::make_mut(&mut self.shards[slot(swap.partition)]);
        let Some(partition) = shard.partitions.get_mut(&swap.partition) else { return Err(SwapRefused::Invalid) };
        let partition = Arc::make_mut(partition);
        let segments_end = row.segments.end;
        let segments = partition.segments.replace(row.segments.start..segments_end, &[]);
        let extents = partition.extents.replace(row.extents, &new);
        let (topic, index) = (partition.topic, partition.index);
        // Of smaller extents than before some may lie wholly below the log start.
        let first_end = match partition.segments.len() {
            0 => partition.extent_end(0),
            _ => partition.segment_end(0),
        };
        if first_end <= partition.start {
            Arc::make_mut(&mut self.trimmed).insert(swap.partition);
        }
        let gone: u64 = segments.iter().map(|segment| u64::from(segment.body_len())).sum::<u64>()
            + extents.iter().map(|extent| u64::from(extent.len)).sum::<u64>();
        let bytes: u64 = new.iter().map(|extent| u64::from(extent.len)).sum();
        partition.bytes = partition.bytes - gone + bytes;
        object.extents += new.len() as u64;
        object.bytes += bytes;
        self.extents = after;
        extents.iter().for_each(|extent| self.release(extent.object, extent.len, true));
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is(crate::planted::Bug::SwapAppliedTwice) {
            extents.iter().for_each(|extent| self.release(extent.object, extent.len, true));
        }
        if !segments.is_empty() {
            frame.unsegmented.push(swap.partition);
        }
        let bases = segments.iter().map(|segment| segment.base_offset);
        bases.for_each(|base_offset| self.release_segment(swap.partition, base_offset, (topic, index), true));
        self.segments -= segments.len() as u64;
        Ok(())
    }
}

/// The extents of a swap; none if it contradicts itself.
fn new_extents(object: ObjectId, swap: &Swap) -> Option<Vec<Extent>> {
    let (mut base, mut at) = (u64::try_from(swap.first).ok()?, u64::from(swap.position));
    let mut new = Vec::with_capacity(swap.extents.len());
    for extent in &swap.extents {
        let end = u64::try_from(extent.end).ok().filter(|end| *end > base && *end <= U48_MAX)?;
        let position = u32::try_from(at).ok()?;
        at += u64::from(extent.bytes);
        if extent.bytes == 0 || at > u64::from(u32::MAX) {
            return None;
        }
        let (len, max_timestamp) = (extent.bytes, extent.max_timestamp);
        new.push(Extent { base_offset: base, object, position, len, max_timestamp });
        base = end;
    }
    (!new.is_empty()).then_some(new)
}

/// The tiles that a swap replaces, if they are what its writer has read and nobody has claimed them.
fn replaceable(partition: &Partition, swap: &Swap) -> Result<Row, SwapRefused> {
    let (first, end) = (swap.first as u64, swap.end() as u64);
    let row = partition.row(first, end).ok_or(SwapRefused::SourcesChanged)?;
    if partition.sources(&row) != swap.sources {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is(crate::planted::Bug::SwapsUnread) {
            return Ok(row);
        }
        return Err(SwapRefused::SourcesChanged);
    }
    // A claim begins where the segments end: extents in place of the last ones would come to lie before it.
    let precedes = !row.segments.is_empty();
    match partition.claim.as_ref().is_some_and(|claim| precedes || (claim.first < end && first < claim.end)) {
        true => Err(SwapRefused::Claimed),
        false => Ok(row),
    }
}
