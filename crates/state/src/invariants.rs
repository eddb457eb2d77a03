//! What must hold of every state, by name.
//!
//! Pure functions over the whole state: tests and the simulation call [`check`] after every entry. They read everything
//! (linear in the state) and are no part of apply.

use std::collections::BTreeMap;

use crate::group::{Content, slot_of};
use crate::limits::{GROUP_ID_BYTES_MAX, U48_MAX};
use crate::object::{Object, ObjectId, Place};
use crate::partition::Partition;
use crate::{Handle, SLOTS, State, slot};

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invariant {invariant} is broken: {detail}")]
pub struct Broken {
    /// Its name: the name of the function of this module that checks it.
    pub invariant: &'static str,
    /// Where, and what was found.
    pub detail: String,
}

/// Fails with the name of the enclosing invariant.
macro_rules! hold {
    ($invariant:ident, $condition:expr, $($detail:tt)*) => {
        if !$condition {
            return Err(Broken { invariant: stringify!($invariant), detail: format!($($detail)*) });
        }
    };
}

/// All of them.
pub fn check(state: &State) -> Result<(), Broken> {
    offsets_are_dense(state)?;
    objects_match_references(state)?;
    clean_offsets_exist(state)?;
    segments_are_sound(state)?;
    producer_windows_are_ordered(state)?;
    handles_are_unique(state)?;
    topics_are_indexed(state)?;
    producer_ids_tile(state)?;
    sessions_are_sound(state)?;
    groups_are_sound(state)
}

fn partitions(state: &State) -> impl Iterator<Item = (Handle, &Partition)> {
    state.shards.iter().flat_map(|shard| shard.partitions.iter().map(|(handle, partition)| (*handle, &**partition)))
}

/// A partition's segments and extents tile from the log start (or below it, until freed) to the end, and its sums are right.
pub fn offsets_are_dense(state: &State) -> Result<(), Broken> {
    let (mut extents, mut segments) = (0, 0);
    for (handle, partition) in partitions(state) {
        let Partition { start, end, .. } = *partition;
        hold!(offsets_are_dense, start <= end && end <= U48_MAX, "partition {handle}: {start}..{end}");
        let mut bases: Vec<u64> = partition.segments.iter().map(|segment| segment.base_offset).collect();
        bases.extend(partition.extents.iter().map(|extent| extent.base_offset));
        let ordered = bases.windows(2).all(|pair| pair[0] < pair[1]) && bases.last().is_none_or(|last| *last < end);
        hold!(offsets_are_dense, ordered, "partition {handle}: extents at {bases:?} end at {end}");
        let covered = bases.first().map_or(start == end, |first| *first <= start);
        hold!(offsets_are_dense, covered, "partition {handle}: {start} lies below its extents {bases:?}");
        let first_end = bases.get(1).copied().unwrap_or(end);
        let freed = bases.is_empty() || first_end > start || state.trimmed.contains(&handle);
        hold!(offsets_are_dense, freed, "partition {handle}: {start} lies above its first extent {bases:?}");
        let bytes: u64 = partition.extents.iter().map(|extent| u64::from(extent.len)).sum::<u64>()
            + partition.segments.iter().map(|segment| u64::from(segment.body_len())).sum::<u64>();
        hold!(offsets_are_dense, bytes == partition.bytes, "partition {handle}: {bytes} of {} bytes", partition.bytes);
        segments += partition.segments.len() as u64;
        extents += partition.extents.len() as u64;
    }
    hold!(offsets_are_dense, extents == state.extents, "{extents} extents, counted {}", state.extents);
    hold!(offsets_are_dense, extents <= state.limits.extents, "{extents} extents, {} allowed", state.limits.extents);
    hold!(offsets_are_dense, segments == state.segments, "{segments} segments, counted {}", state.segments);
    Ok(())
}

/// An object's live counts equal the references to it, every reference has its object, and what is dead has none.
pub fn objects_match_references(state: &State) -> Result<(), Broken> {
    let mut references: BTreeMap<ObjectId, (u64, u64)> = BTreeMap::new();
    for (_, partition) in partitions(state) {
        for extent in partition.extents.iter() {
            let (extents, bytes) = references.entry(extent.object).or_default();
            *extents += 1;
            *bytes += u64::from(extent.len);
        }
    }
    for (id, dead) in &state.dead.objects {
        let found = references.get(id);
        let unknown = found.is_none() && state.object(*id).is_none();
        hold!(objects_match_references, unknown, "dead {id:?} at {:?} has {found:?}", dead.place);
        hold!(objects_match_references, dead.since <= state.position, "{id:?} died at {}", dead.since);
        let indexed = match dead.place {
            Place::LogFrame { position } => *id == ObjectId::log_frame(position),
            place => state.shards[place.slot()].data_objects.get(&place) == Some(id),
        };
        hold!(objects_match_references, indexed, "dead {id:?} is not found at {:?}", dead.place);
    }
    for (index, shard) in state.shards.iter().enumerate() {
        for (id, object) in &shard.objects {
            let Object { place, extents, bytes } = *object;
            let found = references.remove(id);
            hold!(objects_match_references, found == Some((extents, bytes)), "{id:?} has {object:?}, found {found:?}");
            hold!(objects_match_references, id.slot() == index, "{id:?} is in shard {index}");
            let indexed = match place {
                Place::LogFrame { position } => *id == ObjectId::log_frame(position) && position <= state.position,
                place => state.shards[place.slot()].data_objects.get(&place) == Some(id),
            };
            hold!(objects_match_references, indexed, "{id:?} is not found at {place:?}");
        }
        for (place, id) in &shard.data_objects {
            let live = state.object(*id).map(|object| object.place);
            let found = live.or_else(|| state.dead.objects.get(id).map(|dead| dead.place));
            let known = found == Some(*place) && place.slot() == index;
            hold!(objects_match_references, known, "{place:?} leads to {id:?}");
        }
    }
    hold!(objects_match_references, references.is_empty(), "no object for {references:?}");
    Ok(())
}

/// Nothing is clean that is not there, or was cleaned in the future.
pub fn clean_offsets_exist(state: &State) -> Result<(), Broken> {
    for (handle, partition) in partitions(state) {
        let Some(clean) = &partition.clean else { continue };
        let sound = clean.to <= partition.end && clean.time_ms <= state.cluster_time_ms;
        hold!(clean_offsets_exist, sound, "partition {handle} ends at {}: {clean:?}", partition.end);
    }
    Ok(())
}

/// A claim covers extents from the first one on; nobody else can come to write where a segment is, was or may have been
/// written; and whatever is dead has a name.
pub fn segments_are_sound(state: &State) -> Result<(), Broken> {
    for (handle, partition) in partitions(state) {
        if let Some(claim) = &partition.claim {
            let exact = claim.first == partition.extents_start() && partition.row(claim.first, claim.end).is_some();
            hold!(segments_are_sound, exact && claim.position <= state.position, "partition {handle}: {claim:?}");
        }
        let topic = state.topics.by_number.get(&partition.topic);
        let used = partition.claim.is_some() || partition.segments.len() > 0;
        let known = topic.map_or_else(|| state.dead.graves.contains_key(&partition.topic), |topic| topic.has_path);
        hold!(segments_are_sound, known || !used, "partition {handle} has a path that nobody knows of");
    }
    for ((handle, base_offset), dead) in &state.dead.segments {
        let partition = state.shards[slot(*handle)].partitions.get(handle);
        let live = partition.is_some_and(|partition| {
            let claimed = partition.claim.as_ref().is_some_and(|claim| claim.first == *base_offset);
            claimed || partition.segments.position(*base_offset).is_some()
        });
        hold!(segments_are_sound, !live, "dead segment {base_offset} of partition {handle} is in use");
        let topic = state.topics.by_number.get(&dead.topic).is_some_and(|topic| topic.has_path);
        let named = topic || state.dead.graves.contains_key(&dead.topic);
        hold!(segments_are_sound, named && dead.since <= state.position, "dead segment of {handle}: {dead:?}");
    }
    for (number, grave) in &state.dead.graves {
        let live = state.topic_in(&grave.namespace, &grave.name);
        let free = !state.topics.by_number.contains_key(number) && live.is_none_or(|topic| !topic.has_path);
        hold!(segments_are_sound, free, "the path of {} is used beside its grave", grave.name);
    }
    Ok(())
}

/// A producer's runs lie below its partition's end, in the order of their offsets, and within what it has written.
pub fn producer_windows_are_ordered(state: &State) -> Result<(), Broken> {
    for (index, shard) in state.shards.iter().enumerate() {
        let (count, cap) = (shard.producers.len(), state.limits.producers_per_shard);
        hold!(producer_windows_are_ordered, count <= cap.max(1), "shard {index} has {count} producers, {cap} allowed");
        for (key, producer) in &shard.producers {
            let partition = shard.partitions.get(&key.0).map(|partition| partition.end as i64);
            let Some(end) = partition else {
                hold!(producer_windows_are_ordered, false, "{key:?} has no partition");
                continue;
            };
            let window: Vec<_> = producer.window().collect();
            let ordered =
                window.windows(2).all(|pair| pair[0].base_offset + i64::from(pair[0].records) <= pair[1].base_offset);
            let below = (0..end).contains(&producer.last_offset());
            let written: u64 = window.iter().map(|run| u64::from(run.records)).sum();
            let sound = ordered && below && !window.is_empty() && written <= u64::from(producer.written());
            hold!(producer_windows_are_ordered, sound, "{key:?} below {end}: {producer:?}");
            let seen = producer.last_position() <= state.position && producer.last_time_ms() <= state.cluster_time_ms;
            hold!(producer_windows_are_ordered, seen, "{key:?} is from the future: {producer:?}");
        }
    }
    Ok(())
}

/// Every handle belongs to one partition of one topic, and was given.
pub fn handles_are_unique(state: &State) -> Result<(), Broken> {
    let topics = &state.topics;
    let mut owners: BTreeMap<Handle, (u32, Option<u32>)> = BTreeMap::new();
    for topic in topics.by_number.values() {
        for (index, handle) in (0..).zip(topic.handles()) {
            let taken = owners.insert(handle, (topic.number, Some(index)));
            hold!(handles_are_unique, taken.is_none(), "handle {handle} is in {} and {taken:?}", topic.name);
        }
    }
    hold!(handles_are_unique, owners.len() == topics.partitions as usize, "{} of {}", owners.len(), topics.partitions);
    for (number, handles) in &topics.garbage {
        for handle in handles.iter().flat_map(|handles| handles.iter()) {
            let taken = owners.insert(handle, (*number, None));
            hold!(handles_are_unique, taken.is_none(), "dead handle {handle} is in {taken:?}");
        }
    }
    for (index, shard) in state.shards.iter().enumerate() {
        for (handle, partition) in &shard.partitions {
            let owner = owners.remove(handle);
            let right = owner
                .is_some_and(|(topic, index)| topic == partition.topic && index.is_none_or(|i| i == partition.index));
            hold!(handles_are_unique, right && *handle < topics.next_handle, "partition {handle} of {owner:?}");
            hold!(handles_are_unique, slot(*handle) == index, "partition {handle} is in shard {index}");
        }
    }
    hold!(handles_are_unique, owners.is_empty(), "no partitions for {owners:?}");
    Ok(())
}

/// Names, ids and numbers of topics lead to each other.
pub fn topics_are_indexed(state: &State) -> Result<(), Broken> {
    let topics = &state.topics;
    for (number, topic) in &topics.by_number {
        let named = topics.find(&topic.namespace, &topic.name).is_some_and(|found| found.number == *number);
        let numbered = topics.by_id.get(&topic.id) == Some(number) && topic.number == *number;
        hold!(topics_are_indexed, named && numbered, "{topic:?}");
        let given = *number < topics.next_number && !topics.garbage.contains_key(number);
        hold!(topics_are_indexed, given, "number {number} of {}", topic.name);
    }
    let names: usize = topics.by_name.values().map(|names| names.len()).sum();
    let (ids, numbers) = (topics.by_id.len(), topics.by_number.len());
    hold!(topics_are_indexed, names == numbers && ids == numbers, "{names} names, {ids} ids, {numbers} topics");
    let (deleted, ordered) = (topics.deleted.len(), topics.deleted_order.len());
    hold!(topics_are_indexed, deleted == ordered, "{deleted} deleted names, {ordered} in order");
    Ok(())
}

/// Blocks of producer ids follow each other without gap or overlap.
pub fn producer_ids_tile(state: &State) -> Result<(), Broken> {
    let mut next = state.pids.old_below;
    for (first, block) in &state.pids.blocks {
        hold!(producer_ids_tile, *first == next && block.count > 0, "block {first} follows {next}");
        next += i64::from(block.count);
    }
    hold!(producer_ids_tile, next == state.pids.next, "the last block ends at {next}, next is {}", state.pids.next);
    Ok(())
}

/// A node has one live session, a zone's seat one broker, and no session is live and gone.
pub fn sessions_are_sound(state: &State) -> Result<(), Broken> {
    let (mut nodes, mut seats) = (BTreeMap::new(), BTreeMap::new());
    for (session, broker) in &state.brokers.live {
        hold!(sessions_are_sound, broker.session == *session, "{broker:?} under {session}");
        hold!(sessions_are_sound, !state.is_session_over(*session), "{broker:?} is over");
        let node = nodes.insert(broker.node_id, session);
        hold!(sessions_are_sound, node.is_none(), "node {} is live in {node:?} and {session}", broker.node_id);
        let seat = seats.insert((&broker.rack, broker.seat), session);
        hold!(sessions_are_sound, seat.is_none(), "seat {} is taken by {seat:?} and {session}", broker.seat);
    }
    Ok(())
}

/// Groups lie in their slots, weigh what was counted, have revisions of their own and a leader among their members, and
/// hold no offset of a deleted partition in a slot that was swept.
pub fn groups_are_sound(state: &State) -> Result<(), Broken> {
    let (mut weight, mut revisions) = (0, BTreeMap::new());
    for (index, slot) in state.groups.slots.iter().enumerate() {
        for (id, group) in slot.iter() {
            hold!(groups_are_sound, slot_of(id) == index, "group {id} is in slot {index}");
            weight += group.weight(id);
            let taken = revisions.insert(group.revision, id).filter(|_| group.revision > 0);
            let given = group.revision <= state.groups.revision && taken.is_none();
            hold!(groups_are_sound, given, "revision {} of {id}, {taken:?}", group.revision);
            let saved = group.revision > 0 || group.content == Content::default();
            hold!(groups_are_sound, saved, "group {id} was never saved: {group:?}");
            hold!(groups_are_sound, group.saved_ms <= state.cluster_time_ms, "group {id} is from the future");
            hold!(groups_are_sound, content_is_sound(&group.content), "group {id}: {:?}", group.content);
            for (handle, committed) in &group.offsets {
                let swept = index < SLOTS - state.groups.unswept;
                let live = state.partition(*handle).is_some();
                hold!(groups_are_sound, live || !swept, "group {id} has an offset of dead partition {handle}");
                let past = committed.committed_ms <= state.cluster_time_ms;
                hold!(groups_are_sound, past, "an offset of group {id} is from the future");
            }
        }
    }
    hold!(groups_are_sound, weight == state.groups.weight, "groups weigh {weight}, counted {}", state.groups.weight);
    Ok(())
}

fn content_is_sound(content: &Content) -> bool {
    match content {
        Content::Classic(classic) => {
            let led = classic.leader.as_ref().is_none_or(|leader| classic.member(leader).is_some());
            let ordered = classic.members.windows(2).all(|pair| pair[0].id < pair[1].id);
            led && ordered && classic.generation >= 0
        }
        Content::Consumer(consumer) => consumer.is_sound(GROUP_ID_BYTES_MAX),
    }
}
