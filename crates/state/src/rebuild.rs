//! A state that tools make, not apply: for the next life of a log whose last one was lost, or for records that come from
//! elsewhere.
//!
//! [`Rebuild`] takes a state as far as it is known, forgets where its records lie, and is told anew, partition by
//! partition, in names of objects that are there. Everything else stays: topics and their ids, groups and their offsets,
//! producers, settings. No broker calls any of this; what comes out must hold all invariants, or it does not come out.

use std::sync::Arc;

use crate::extent::{Extent, Segment};
use crate::invariants::{self, Broken};
use crate::limits::{PID_BLOCK_MAX, U48_MAX};
use crate::object::{Dead, DeadSegment, Object, ObjectId, Place};
use crate::partition::Partition;
use crate::pid::PidBlocks;
use crate::producer::{ProducerState, WindowRun};
use crate::topic::{Handles, Settings, Topic, TopicId, is_name, path_namespace};
use crate::{Handle, Position, State, digest, slot};

/// What is told of a topic that the state does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSeed {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its id, not 0.
    pub id: TopicId,
    /// Its settings.
    pub settings: Settings,
    /// The numbers of its partitions in the order of their indexes, ascending.
    pub handles: Vec<Handle>,
}

/// Where adjacent records of a partition lie; they end where the next ones begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Laid {
    /// In a `.kfs` file under the partition's path.
    Segment {
        /// Offset of the first record.
        base_offset: u64,
        /// Bytes of the whole file.
        len: u32,
        /// CRC-32C of the whole file.
        crc: u32,
        /// Records in it.
        records: u32,
        /// None of them has a greater timestamp.
        max_timestamp: i64,
    },
    /// In another object, which is no frame of a log.
    Extent {
        /// Offset of the first record.
        base_offset: u64,
        /// The object.
        place: Place,
        /// First byte in it.
        position: u32,
        /// Bytes.
        len: u32,
        /// No record has a greater timestamp.
        max_timestamp: i64,
    },
}

/// Why something is not taken into a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

impl State {
    /// Goes to `position` without what was there. Handles that may have been given meanwhile are given to nobody else.
    pub fn pass_over(&mut self, position: Position, handles: u32) {
        self.position = self.position.max(position);
        let topics = Arc::make_mut(&mut self.topics);
        topics.next_handle = topics.next_handle.saturating_add(handles);
    }

    /// Leaves `count` offsets of a partition to records that were lost.
    pub fn leave_gap(&mut self, handle: Handle, count: u64) {
        let Some(partition) = Arc::make_mut(&mut self.shards[slot(handle)]).partitions.get_mut(&handle) else { return };
        let partition = Arc::make_mut(partition);
        partition.end = partition.end.saturating_add(count).min(U48_MAX);
        if partition.segments.len() == 0 && partition.extents.len() == 0 {
            partition.start = partition.end;
        }
    }

    /// Whether a partition of this number was given once.
    pub fn was_given(&self, handle: Handle) -> bool {
        handle < self.topics.next_handle
    }

    /// The number that the next partition gets.
    pub fn next_handle(&self) -> Handle {
        self.topics.next_handle
    }

    /// Takes a topic in whose partitions have their numbers already.
    pub fn adopt(&mut self, seed: TopicSeed, created_at: Position) -> Result<(), Unfit> {
        let TopicSeed { namespace, name, id, settings, handles } = seed;
        let unfit = |reason: &str| Unfit(format!("topic {name}: {reason}"));
        if !is_name(&name) || !(namespace.is_empty() || is_name(&namespace)) {
            return Err(unfit("a topic cannot be called so"));
        }
        if self.topic_in(&namespace, &name).is_some() || id == 0 || self.topics.by_id.contains_key(&id) {
            return Err(unfit("there is one of this name or id"));
        }
        let ascend = handles.windows(2).all(|pair| pair[0] < pair[1]);
        let is_free = |handle: &Handle| !self.shards[slot(*handle)].partitions.contains_key(handle);
        let limit = self.limits.partitions_per_topic as usize;
        if handles.is_empty() || handles.len() > limit || !ascend {
            return Err(unfit("it has no partitions, too many, or out of order"));
        }
        if !handles.iter().all(is_free) || handles.last() == Some(&Handle::MAX) || path_namespace(&namespace).is_none()
        {
            return Err(unfit("its partitions or its namespace are another's"));
        }
        let topics = Arc::make_mut(&mut self.topics);
        let Some(after) = topics.next_number.checked_add(1) else { return Err(unfit("there are too many topics")) };
        let number = std::mem::replace(&mut topics.next_number, after);
        let last = handles.last().map_or(0, |last| last + 1);
        topics.next_handle = topics.next_handle.max(last);
        let rows = handles.iter().map(|handle| Handles { first: *handle, count: 1 }).collect();
        let (replaced_at, has_path) = (None, false);
        topics.insert(Topic {
            number,
            namespace,
            name,
            id,
            created_at,
            replaced_at,
            settings,
            handles: rows,
            has_path,
        });
        for (index, handle) in (0..).zip(handles) {
            let partition = Partition { topic: number, index, ..Partition::default() };
            Arc::make_mut(&mut self.shards[slot(handle)]).partitions.insert(handle, Arc::new(partition));
        }
        Ok(())
    }

    /// More partitions of a topic, with these numbers.
    pub fn adopt_partitions(&mut self, id: TopicId, handles: &[Handle]) -> Result<(), Unfit> {
        let unfit = || Unfit("partitions of an unknown topic, or another's".to_owned());
        let (number, before) =
            self.topic_by_id(id).map(|topic| (topic.number, topic.partition_count())).ok_or_else(unfit)?;
        let mut above = self.topic_by_id(id).and_then(|topic| topic.handles().last());
        for (index, handle) in (before..).zip(handles) {
            let shard = Arc::make_mut(&mut self.shards[slot(*handle)]);
            let ascends = above.replace(*handle).is_none_or(|above| above < *handle);
            if !ascends || *handle == Handle::MAX || shard.partitions.contains_key(handle) {
                return Err(unfit());
            }
            let partition = Partition { topic: number, index, ..Partition::default() };
            shard.partitions.insert(*handle, Arc::new(partition));
            let topics = Arc::make_mut(&mut self.topics);
            topics.next_handle = topics.next_handle.max(handle + 1);
            topics.partitions += 1;
            if let Some(topic) = topics.by_number.get_mut(&number) {
                Arc::make_mut(topic).handles.push(Handles { first: *handle, count: 1 });
            }
        }
        Ok(())
    }
}

/// See the module.
pub struct Rebuild {
    state: State,
}

impl Rebuild {
    /// Begins with what is known, but where records lie. What waited for its deletion is forgotten, since it is unknown to
    /// the new log: orphans. Partitions of deleted topics are gone.
    pub fn of(mut state: State) -> Self {
        for shard in &mut state.shards {
            let shard = Arc::make_mut(shard);
            (shard.objects, shard.data_objects) = Default::default();
            let topics = &state.topics;
            shard.partitions.retain(|_, partition| topics.by_number.contains_key(&partition.topic));
            let (partitions, producers) = (&mut shard.partitions, &mut shard.producers);
            producers.retain(|(handle, _), _| partitions.contains_key(handle));
            for partition in partitions.values_mut() {
                let Partition { topic, index, end, .. } = **partition;
                *partition = Arc::new(Partition { topic, index, start: end, end, ..Partition::default() });
            }
        }
        (state.extents, state.segments) = (0, 0);
        state.trimmed = Arc::default();
        state.dead = Arc::new(Dead { graves: state.dead.graves.clone(), ..Dead::default() });
        Arc::make_mut(&mut state.topics).garbage.clear();
        let brokers = Arc::make_mut(&mut state.brokers);
        brokers.live.clear();
        brokers.gone.clear();
        state.sweep_offsets_anew();
        Self { state }
    }

    /// What it is so far.
    pub fn state(&mut self) -> &mut State {
        &mut self.state
    }

    /// Says where all records of a partition lie: `tiles` begin at or below `start`, and cover everything up to `end`; segments
    /// come first.
    pub fn lay(&mut self, handle: Handle, start: u64, end: u64, tiles: &[Laid]) -> Result<(), Unfit> {
        let unfit = |reason: &str| Unfit(format!("partition {handle}: {reason}"));
        let found = self.state.shards[slot(handle)].partitions.get(&handle).ok_or_else(|| unfit("unknown"))?;
        let mut partition = Partition { topic: found.topic, index: found.index, start, end, ..Partition::default() };
        let mut last = None;
        for tile in tiles {
            let (Laid::Segment { base_offset, .. } | Laid::Extent { base_offset, .. }) = *tile;
            if last.is_some_and(|last| last >= base_offset) || base_offset >= end {
                return Err(unfit("its records are out of order"));
            }
            last = Some(base_offset);
            match *tile {
                Laid::Segment { .. } if partition.extents.len() > 0 => return Err(unfit("a segment behind an extent")),
                Laid::Segment { base_offset, len, crc, records, max_timestamp } => {
                    let segment = Segment { base_offset, len, crc, records, max_timestamp };
                    partition.bytes += u64::from(segment.body_len());
                    partition.segments.push(&segment);
                    self.state.segments += 1;
                }
                Laid::Extent { base_offset, place, position, len, max_timestamp } => {
                    let object = self.object(place, len).ok_or_else(|| unfit("it lies in a frame, or a segment"))?;
                    partition.bytes += u64::from(len);
                    partition.extents.push(&Extent { base_offset, object, position, len, max_timestamp });
                    self.state.extents += 1;
                }
            }
        }
        let number = partition.topic;
        if partition.segments.len() > 0
            && let Some(topic) = Arc::make_mut(&mut self.state.topics).by_number.get_mut(&number)
        {
            Arc::make_mut(topic).has_path = true;
        }
        Arc::make_mut(&mut self.state.shards[slot(handle)]).partitions.insert(handle, Arc::new(partition));
        Ok(())
    }

    /// One more reference to an object.
    fn object(&mut self, place: Place, len: u32) -> Option<ObjectId> {
        if !matches!(place, Place::Data { .. } | Place::Merged(_)) {
            return None;
        }
        let known = self.state.shards[place.slot()].data_objects.get(&place).copied();
        let id = known.unwrap_or_else(|| {
            let id = ObjectId::data(self.state.next_data_object);
            self.state.next_data_object += 1;
            Arc::make_mut(&mut self.state.shards[place.slot()]).data_objects.insert(place, id);
            id
        });
        let objects = &mut Arc::make_mut(&mut self.state.shards[id.slot()]).objects;
        let object = objects.entry(id).or_insert(Object { place, extents: 0, bytes: 0 });
        object.extents += 1;
        object.bytes += u64::from(len);
        Some(id)
    }

    /// A file under a partition's path that is not used, so that its name is not given out before it is gone.
    pub fn dead_segment(&mut self, handle: Handle, base_offset: u64) {
        let Some(found) = self.state.shards[slot(handle)].partitions.get(&handle) else { return };
        let (topic, index) = (found.topic, found.index);
        if let Some(topic) = Arc::make_mut(&mut self.state.topics).by_number.get_mut(&topic) {
            Arc::make_mut(topic).has_path = true;
        }
        let dead = DeadSegment { topic, index, since: self.state.position, replaced: false };
        Arc::make_mut(&mut self.state.dead).segments.insert((handle, base_offset), dead);
    }

    /// A producer wrote a run that the state has not seen.
    pub fn wrote(&mut self, handle: Handle, pid: i64, epoch: i16, run: WindowRun) {
        let (position, now_ms) = (self.state.position, self.state.cluster_time_ms);
        let cap = self.state.limits.producers_per_shard;
        let shard = Arc::make_mut(&mut self.state.shards[slot(handle)]);
        if !shard.partitions.contains_key(&handle) || pid < 0 || epoch < 0 || run.base_sequence < 0 {
            return;
        }
        match shard.producers.get_mut(&(handle, pid)) {
            Some(state) if state.epoch() > epoch => {}
            Some(state) if state.epoch() == epoch && state.next_sequence() == run.base_sequence => {
                state.extend(run.base_offset, run.records, position, now_ms);
            }
            Some(state) => *state = ProducerState::first(epoch, run, position, now_ms),
            None => {
                shard.make_room(cap);
                shard.producers.insert((handle, pid), ProducerState::first(epoch, run, position, now_ms));
            }
        }
    }

    /// Ids below `next` may have been given, though the state does not know of it: they count as old, so that their producers
    /// may go on anywhere.
    pub fn forget_producer_ids(&mut self, next: i64) {
        let pids = Arc::make_mut(&mut self.state.pids);
        let next = next.max(pids.next).saturating_add(i64::from(PID_BLOCK_MAX));
        *pids = PidBlocks { old_below: next, next, ..PidBlocks::default() };
    }

    /// The state at `position`, which no frame of its new life has reached, behind all of these sessions.
    pub fn finish(mut self, position: Position, session: u64) -> Result<State, Broken> {
        let state = &mut self.state;
        state.session = state.session.max(session);
        state.position = state.position.max(position);
        state.digest = digest::chain(state.digest, state.position, &[]);
        // A producer's last records may be among what is lost.
        for shard in &mut state.shards {
            let partitions = &shard.partitions;
            let end = |handle: &Handle| partitions.get(handle).map_or(0, |partition| partition.end as i64);
            let lost: Vec<_> = shard
                .producers
                .iter()
                .filter(|((handle, _), producer)| producer.last_offset() >= end(handle))
                .map(|(key, _)| *key)
                .collect();
            if !lost.is_empty() {
                let shard = Arc::make_mut(shard);
                for key in lost {
                    shard.producers.remove(&key);
                }
            }
        }
        invariants::check(&self.state)?;
        Ok(self.state)
    }
}

impl State {
    /// The next producer id to give.
    pub fn next_producer_id(&self) -> i64 {
        self.pids.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_clients_could_not_name_is_not_taken_in() {
        let long = "n".repeat(250);
        for (namespace, name) in
            [("", ""), ("", "."), ("", "a b"), ("", "a/b"), ("", "\u{fc}"), ("", &*long), ("a b", "t"), ("log", "t")]
        {
            let (namespace, name) = (namespace.to_owned(), name.to_owned());
            let seed = TopicSeed { namespace, name, id: 1, settings: Settings::default(), handles: vec![0] };
            assert!(State::new().adopt(seed.clone(), 0).is_err(), "{seed:?}");
        }
        let name = "n".repeat(249);
        let seed = TopicSeed { namespace: String::new(), name, id: 1, settings: Settings::default(), handles: vec![0] };
        assert_eq!(State::new().adopt(seed, 0), Ok(()));
    }
}
