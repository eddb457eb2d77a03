//! The parts of a snapshot: the head, the tables, the shards, the groups, the dead. They follow each other in the order of their tags.

use std::sync::Arc;

use super::{dead, group, shard};
use crate::broker::Broker;
use crate::codec::{Malformed, Reader, Writer};
use crate::entry::{read_settings, write_settings};
use crate::pid::PidBlock;
use crate::topic::{Deleted, Handles, Named, NamedSettings, Topic, Topics};
use crate::{Handle, ObjectId, Position, SLOTS, State};

/// Topics in one part.
const TOPICS: usize = 256;
/// Names of deleted topics in one part.
const NAMES: usize = 4_096;

/// One part; the tags are persisted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// Tag 1: what there is one of.
    Head,
    /// Tag 2: brokers and their settings.
    Brokers,
    /// Tag 3: topics from this number on, at most [`TOPICS`].
    Topics(u32),
    /// Tag 4: deleted topics that are not yet freed.
    Garbage,
    /// Tag 5: names of deleted topics, at most [`NAMES`].
    Deleted((Position, u32)),
    /// Tag 6: blocks of producer ids.
    Pids,
    /// Tag 7: a shard.
    Shard(usize),
    /// Tag 8: what there is one of for groups; left out while there never was a group and nothing is to be swept.
    GroupsHead,
    /// Tag 9: the groups of a slot that has some.
    Groups(usize),
    /// Tag 10: settings of groups and client metrics; left out while there are none.
    Named,
    /// Tag 11: topics that have paths, and graves; left out while there are none.
    Graves,
    /// Tag 12: dead objects from this one on, at most [`dead::ROWS`].
    DeadObjects(ObjectId),
    /// Tag 13: dead segments from this one on, at most [`dead::ROWS`].
    DeadSegments((Handle, u64)),
}

impl Part {
    /// The parts of a state, in order.
    pub(super) fn plan(state: &State) -> Vec<Self> {
        let mut parts = vec![Self::Head, Self::Brokers];
        parts.extend(state.topics.by_number.keys().step_by(TOPICS).map(|number| Self::Topics(*number)));
        parts.push(Self::Garbage);
        parts.extend(state.topics.deleted_order.keys().step_by(NAMES).map(|key| Self::Deleted(*key)));
        parts.push(Self::Pids);
        parts.extend((0..SLOTS).map(Self::Shard));
        if state.groups.weight > 0 || state.groups.revision > 0 {
            parts.push(Self::GroupsHead);
        }
        parts.extend((0..SLOTS).filter(|slot| !state.groups.slots[*slot].is_empty()).map(Self::Groups));
        if !state.named.is_empty() {
            parts.push(Self::Named);
        }
        if !state.dead.graves.is_empty() || state.topics.by_number.values().any(|topic| topic.has_path) {
            parts.push(Self::Graves);
        }
        parts.extend(state.dead.objects.keys().step_by(dead::ROWS).map(|id| Self::DeadObjects(*id)));
        parts.extend(state.dead.segments.keys().step_by(dead::ROWS).map(|key| Self::DeadSegments(*key)));
        parts
    }

    pub(super) fn tag(self) -> u8 {
        match self {
            Self::Head => 1,
            Self::Brokers => 2,
            Self::Topics(_) => 3,
            Self::Garbage => 4,
            Self::Deleted(_) => 5,
            Self::Pids => 6,
            Self::Shard(_) => 7,
            Self::GroupsHead => 8,
            Self::Groups(_) => 9,
            Self::Named => 10,
            Self::Graves => 11,
            Self::DeadObjects(_) => 12,
            Self::DeadSegments(_) => 13,
        }
    }

    pub(super) fn encode(self, state: &State, writer: &mut Writer) {
        match self {
            Self::Head => encode_head(state, writer),
            Self::Brokers => encode_brokers(state, writer),
            Self::Topics(from) => {
                let topics = state.topics.by_number.range(from..).take(TOPICS);
                topics.for_each(|(_, topic)| encode_topic(topic, writer));
            }
            Self::Garbage => {
                for (number, handles) in &state.topics.garbage {
                    writer.varint(u64::from(*number));
                    encode_handles(handles, writer);
                }
            }
            Self::Deleted(from) => {
                for ((position, number), key) in state.topics.deleted_order.range(from..).take(NAMES) {
                    writer.varint(*position);
                    writer.varint(u64::from(*number));
                    writer.string(&key.0);
                    writer.string(&key.1);
                    writer.zigzag(state.topics.deleted.get(key).map_or(0, |deleted| deleted.time_ms));
                }
            }
            Self::Pids => encode_pids(state, writer),
            Self::Shard(index) => shard::encode(state, index, writer),
            Self::GroupsHead => group::encode_head(state, writer),
            Self::Groups(slot) => group::encode(&state.groups.slots[slot], writer),
            Self::Named => encode_named(&state.named, writer),
            Self::Graves => dead::encode_graves(state, writer),
            Self::DeadObjects(from) => dead::encode_objects(state, from, writer),
            Self::DeadSegments(from) => dead::encode_segments(state, from, writer),
        }
    }
}

/// Parts as they are read: tags never fall, and what there is one of comes once.
#[derive(Debug, Default)]
pub(super) struct Order {
    last: u8,
    shards: usize,
}

impl Order {
    /// How many shards were read.
    pub(super) fn shards(&self) -> usize {
        self.shards
    }

    pub(super) fn decode(&mut self, state: &mut State, tag: u8, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let repeats = matches!(tag, 3 | 5 | 7 | 9 | 12 | 13);
        let in_order = tag > self.last || (repeats && tag == self.last);
        // Optional parts may be skipped, the others not.
        let skipped = [1, 2, 4, 6, 7].iter().any(|needed| (self.last + 1..tag).contains(needed));
        if !in_order || skipped {
            return Err(Malformed("order of parts"));
        }
        self.last = tag;
        match tag {
            1 => decode_head(state, reader),
            2 => decode_brokers(state, reader),
            3 => decode_topics(Arc::make_mut(&mut state.topics), reader),
            4 => decode_garbage(Arc::make_mut(&mut state.topics), reader),
            5 => decode_deleted(Arc::make_mut(&mut state.topics), reader),
            6 => decode_pids(state, reader),
            7 if self.shards < SLOTS => {
                self.shards += 1;
                shard::decode(state, self.shards - 1, reader)
            }
            8 => group::decode_head(state, reader),
            9 => group::decode(state, reader),
            10 => decode_named(Arc::make_mut(&mut state.named), reader),
            11 => dead::decode_graves(state, reader),
            12 => dead::decode_objects(state, reader),
            13 => dead::decode_segments(state, reader),
            _ => Err(Malformed("tag")),
        }
    }
}

fn encode_head(state: &State, writer: &mut Writer) {
    writer.varint(state.position);
    writer.u128(state.digest);
    writer.zigzag(state.cluster_time_ms);
    writer.varint(state.session);
    writer.u8(state.cluster_id.is_some() as u8);
    writer.u128(state.cluster_id.unwrap_or(0));
    writer.varint(state.next_data_object);
    writer.varint(u64::from(state.topics.next_number));
    writer.varint(u64::from(state.topics.next_handle));
}

fn decode_head(state: &mut State, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    state.position = reader.varint("position")?;
    state.digest = reader.u128("digest")?;
    state.cluster_time_ms = reader.zigzag("cluster time")?;
    state.session = reader.varint("session")?;
    let known = reader.flag("cluster id")?;
    state.cluster_id = Some(reader.u128("cluster id")?).filter(|_| known);
    state.next_data_object = reader.varint("data object")?;
    let topics = Arc::make_mut(&mut state.topics);
    topics.next_number = reader.number("topic number")?;
    topics.next_handle = reader.number("handle")?;
    Ok(())
}

fn encode_brokers(state: &State, writer: &mut Writer) {
    let brokers = &state.brokers;
    writer.count(brokers.live.len());
    for broker in brokers.live.values() {
        writer.varint(broker.session);
        writer.zigzag(i64::from(broker.node_id));
        writer.string(&broker.host);
        writer.varint(u64::from(broker.port));
        writer.optional_string(broker.rack.as_deref());
        writer.varint(u64::from(broker.seat));
        writer.varint(broker.joined_at);
    }
    writer.count(brokers.gone.len());
    brokers.gone.iter().for_each(|session| writer.varint(*session));
    write_settings(&brokers.defaults, writer);
    writer.count(brokers.settings.len());
    for (node_id, settings) in &brokers.settings {
        writer.zigzag(i64::from(*node_id));
        write_settings(settings, writer);
    }
}

fn decode_brokers(state: &mut State, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let brokers = Arc::make_mut(&mut state.brokers);
    for _ in 0..reader.count(7, "brokers")? {
        let broker = Broker {
            session: reader.varint("session")?,
            node_id: reader.signed("node id")?,
            host: reader.string("host")?,
            port: reader.number("port")?,
            rack: reader.optional_string("rack")?,
            seat: reader.number("seat")?,
            joined_at: reader.varint("position")?,
        };
        brokers.live.insert(broker.session, broker);
    }
    for _ in 0..reader.count(1, "sessions")? {
        brokers.gone.insert(reader.varint("session")?);
    }
    brokers.defaults = read_settings(reader)?;
    for _ in 0..reader.count(2, "settings")? {
        let node_id = reader.signed("node id")?;
        brokers.settings.insert(node_id, read_settings(reader)?);
    }
    Ok(())
}

fn encode_topic(topic: &Topic, writer: &mut Writer) {
    writer.varint(u64::from(topic.number));
    writer.string(&topic.namespace);
    writer.string(&topic.name);
    writer.u128(topic.id);
    writer.varint(topic.created_at);
    writer.optional(topic.replaced_at);
    write_settings(&topic.settings, writer);
    encode_handles(&topic.handles, writer);
}

fn decode_topics(topics: &mut Topics, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    while reader.remaining() > 0 {
        let topic = Topic {
            number: reader.number("topic number")?,
            namespace: reader.string("namespace")?,
            name: reader.string("topic name")?,
            id: reader.u128("topic id")?,
            created_at: reader.varint("position")?,
            replaced_at: reader.optional("position")?,
            settings: read_settings(reader)?,
            handles: decode_handles(topics.next_handle, reader)?,
            has_path: false,
        };
        let taken = topics.find(&topic.namespace, &topic.name).is_some() || topics.by_id.contains_key(&topic.id);
        let ordered = topics.by_number.last_key_value().is_none_or(|(last, _)| *last < topic.number);
        if taken || !ordered || topic.number >= topics.next_number {
            return Err(Malformed("topic"));
        }
        topics.insert(topic);
    }
    Ok(())
}

fn encode_handles(handles: &[Handles], writer: &mut Writer) {
    writer.count(handles.len());
    for handles in handles {
        writer.varint(u64::from(handles.first));
        writer.varint(u64::from(handles.count));
    }
}

/// Handles below `next`, at least one.
fn decode_handles(next: u32, reader: &mut Reader<'_>) -> Result<Vec<Handles>, Malformed> {
    let count = reader.count(2, "handles")?;
    let mut all = Vec::with_capacity(count);
    // What is owned is counted in 32 bits elsewhere; ranges below `next` that do not overlap cannot exceed it.
    let mut end = 0;
    for _ in 0..count {
        let handles = Handles { first: reader.number("handle")?, count: reader.number("handles")? };
        let after = handles.first.checked_add(handles.count).filter(|after| *after <= next);
        if handles.first < end || handles.count == 0 {
            return Err(Malformed("handles"));
        }
        end = after.ok_or(Malformed("handles"))?;
        all.push(handles);
    }
    match all.is_empty() {
        true => Err(Malformed("handles")),
        false => Ok(all),
    }
}

fn decode_garbage(topics: &mut Topics, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    while reader.remaining() > 0 {
        let number = reader.number("topic number")?;
        let handles = decode_handles(topics.next_handle, reader)?;
        if topics.by_number.contains_key(&number) || number >= topics.next_number {
            return Err(Malformed("dead topic"));
        }
        topics.garbage.insert(number, handles);
    }
    Ok(())
}

fn decode_deleted(topics: &mut Topics, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    while reader.remaining() > 0 {
        let position = reader.varint("position")?;
        let number = reader.number("topic number")?;
        let key = (reader.string("namespace")?, reader.string("topic name")?);
        let time_ms = reader.zigzag("time")?;
        topics.deleted_order.insert((position, number), key.clone());
        topics.deleted.insert(key, Deleted { number, position, time_ms });
    }
    match topics.deleted.len() == topics.deleted_order.len() {
        true => Ok(()),
        false => Err(Malformed("deleted names")),
    }
}

fn encode_named(named: &NamedSettings, writer: &mut Writer) {
    for ((kind, name), settings) in named {
        writer.u8(*kind as u8);
        writer.string(name);
        write_settings(settings, writer);
    }
}

fn decode_named(named: &mut NamedSettings, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    while reader.remaining() > 0 {
        let kind = Named::from_tag(reader.u8("kind")?).ok_or(Malformed("kind"))?;
        let key = (kind, reader.string("name")?);
        if named.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(Malformed("order of names"));
        }
        named.insert(key, read_settings(reader)?);
    }
    Ok(())
}

fn encode_pids(state: &State, writer: &mut Writer) {
    writer.varint(state.pids.old_below as u64);
    for block in state.pids.blocks.values() {
        writer.varint(u64::from(block.count));
        writer.varint(block.position);
        writer.zigzag(block.time_ms);
    }
}

fn decode_pids(state: &mut State, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let pids = Arc::make_mut(&mut state.pids);
    pids.old_below = i64::try_from(reader.varint("producer id")?).map_err(|_| Malformed("producer id"))?;
    pids.next = pids.old_below;
    while reader.remaining() > 0 {
        let block = PidBlock {
            count: reader.number("producer ids")?,
            position: reader.varint("position")?,
            time_ms: reader.zigzag("time")?,
        };
        if block.count == 0 {
            return Err(Malformed("producer ids"));
        }
        pids.blocks.insert(pids.next, block);
        pids.next = pids.next.checked_add(i64::from(block.count)).ok_or(Malformed("producer ids"))?;
    }
    Ok(())
}
