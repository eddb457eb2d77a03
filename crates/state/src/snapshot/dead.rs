//! What waits for its deletion, in a snapshot: topics that have paths, graves, dead objects and segments.

use std::sync::Arc;

use super::shard::{decode_place, encode_place};
use crate::codec::{Malformed, Reader, Writer};
use crate::limits::U48_MAX;
use crate::object::{DeadObject, DeadSegment, Grave, ObjectId};
use crate::{Handle, State};

/// Dead objects, or segments, in one part.
pub(super) const ROWS: usize = 4_096;

pub(super) fn encode_graves(state: &State, writer: &mut Writer) {
    let paths = || state.topics.by_number.values().filter(|topic| topic.has_path);
    writer.count(paths().count());
    paths().for_each(|topic| writer.varint(u64::from(topic.number)));
    writer.count(state.dead.graves.len());
    for (number, grave) in &state.dead.graves {
        writer.varint(u64::from(*number));
        writer.string(&grave.namespace);
        writer.string(&grave.name);
        writer.varint(grave.since);
        writer.zigzag(grave.time_ms);
    }
}

pub(super) fn decode_graves(state: &mut State, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let topics = Arc::make_mut(&mut state.topics);
    for _ in 0..reader.count(1, "topics")? {
        let number = reader.number("topic number")?;
        let topic = topics.by_number.get_mut(&number).ok_or(Malformed("topic number"))?;
        Arc::make_mut(topic).has_path = true;
    }
    let dead = Arc::make_mut(&mut state.dead);
    for _ in 0..reader.count(5, "graves")? {
        let number = reader.number("topic number")?;
        let grave = Grave {
            namespace: reader.string("namespace")?,
            name: reader.string("topic name")?,
            since: reader.varint("position")?,
            time_ms: reader.zigzag("time")?,
        };
        if number >= topics.next_number || topics.by_number.contains_key(&number) {
            return Err(Malformed("grave"));
        }
        dead.graves.insert(number, Arc::new(grave));
    }
    Ok(())
}

pub(super) fn encode_objects(state: &State, from: ObjectId, writer: &mut Writer) {
    for (id, dead) in state.dead.objects.range(from..).take(ROWS) {
        writer.varint(id.0);
        writer.varint(dead.since);
        writer.u8(dead.replaced as u8);
        encode_place(dead.place, writer);
    }
}

pub(super) fn decode_objects(state: &mut State, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    while reader.remaining() > 0 {
        let id = ObjectId(reader.varint("object")?);
        let (since, replaced) = (reader.varint("position")?, reader.flag("replaced")?);
        let place = decode_place(id, reader)?;
        if id.0 > U48_MAX || state.object(id).is_some() {
            return Err(Malformed("dead object"));
        }
        if id.log_position().is_none() {
            Arc::make_mut(&mut state.shards[place.slot()]).data_objects.insert(place, id);
        }
        Arc::make_mut(&mut state.dead).objects.insert(id, DeadObject { place, since, replaced });
    }
    Ok(())
}

pub(super) fn encode_segments(state: &State, from: (Handle, u64), writer: &mut Writer) {
    for ((handle, base_offset), dead) in state.dead.segments.range(from..).take(ROWS) {
        writer.varint(u64::from(*handle));
        writer.varint(*base_offset);
        writer.varint(u64::from(dead.topic));
        writer.varint(u64::from(dead.index));
        writer.varint(dead.since);
        writer.u8(dead.replaced as u8);
    }
}

pub(super) fn decode_segments(state: &mut State, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    while reader.remaining() > 0 {
        let key = (reader.number("handle")?, reader.varint("base offset")?);
        let dead = DeadSegment {
            topic: reader.number("topic number")?,
            index: reader.number("partition index")?,
            since: reader.varint("position")?,
            replaced: reader.flag("replaced")?,
        };
        let named = state.topics.by_number.contains_key(&dead.topic) || state.dead.graves.contains_key(&dead.topic);
        if !named {
            return Err(Malformed("dead segment"));
        }
        Arc::make_mut(&mut state.dead).segments.insert(key, dead);
    }
    Ok(())
}
