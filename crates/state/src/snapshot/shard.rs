//! A shard in a snapshot: its partitions with their extents, its producers, its objects.
//!
//! What can be counted from the extents is not stored. Everything is a delta to what stands before it.

use std::sync::Arc;

use crate::codec::{Malformed, Reader, Writer};
use crate::extent::Extent;
use crate::limits::U48_MAX;
use crate::object::{Object, ObjectId, Place};
use crate::partition::Partition;
use crate::producer::ProducerState;
use crate::shard::Shard;
use crate::{Handle, SLOTS, State};

/// The partition may have extents below its log start.
const TRIMMED: u8 = 1;

pub(super) fn encode(state: &State, index: usize, writer: &mut Writer) {
    let shard = &state.shards[index];
    writer.varint(shard.evicted_below);
    writer.count(shard.partitions.len());
    for (handle, partition) in &shard.partitions {
        writer.varint(row(*handle));
        writer.u8(if state.trimmed.contains(handle) { TRIMMED } else { 0 });
        encode_partition(partition, writer);
    }
    writer.count(shard.producers.len());
    for ((handle, pid), producer) in &shard.producers {
        writer.varint(row(*handle));
        writer.varint(*pid as u64);
        producer.encode(writer);
    }
    writer.count(shard.objects.len());
    let mut last = 0;
    for (id, object) in &shard.objects {
        writer.varint(id.0 - last);
        last = id.0;
        writer.varint(object.extents);
        writer.varint(object.bytes);
        if let Place::Data { store, session, number } = object.place {
            writer.u8(store);
            writer.varint(session);
            writer.varint(number);
        }
    }
}

pub(super) fn decode(state: &mut State, index: usize, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    // Data objects are found in the shard of their place, which may be another one.
    let mut shard = Shard { evicted_below: reader.varint("position")?, ..Shard::default() };
    shard.data_objects.clone_from(&state.shards[index].data_objects);
    for _ in 0..reader.count(8, "partitions")? {
        let handle = decode_handle(state, index, reader)?;
        let trimmed = reader.flag("trimmed")?;
        let partition = decode_partition(reader)?;
        let topics = &state.topics;
        let owned = topics.by_number.contains_key(&partition.topic) || topics.garbage.contains_key(&partition.topic);
        if !owned {
            return Err(Malformed("partition's topic"));
        }
        state.extents += partition.extents.len() as u64;
        if trimmed {
            Arc::make_mut(&mut state.trimmed).insert(handle);
        }
        shard.partitions.insert(handle, Arc::new(partition));
    }
    for _ in 0..reader.count(9, "producers")? {
        let handle = decode_handle(state, index, reader)?;
        let pid = i64::try_from(reader.varint("producer id")?).map_err(|_| Malformed("producer id"))?;
        shard.producers.insert((handle, pid), ProducerState::decode(reader)?);
    }
    let mut last = 0u64;
    let mut data_objects = Vec::new();
    for _ in 0..reader.count(3, "objects")? {
        last = last.checked_add(reader.varint("object")?).filter(|id| *id <= U48_MAX).ok_or(Malformed("object"))?;
        let id = ObjectId(last);
        let (extents, bytes) = (reader.varint("object's extents")?, reader.varint("object's bytes")?);
        if extents == 0 || id.slot() != index {
            return Err(Malformed("object"));
        }
        let place = match id.log_position() {
            Some(position) => Place::LogFrame { position },
            None => {
                let (store, session) = (reader.u8("store")?, reader.varint("session")?);
                let place = Place::Data { store, session, number: reader.varint("object number")? };
                data_objects.push((place, id));
                place
            }
        };
        shard.objects.insert(id, Object { place, extents, bytes });
    }
    state.shards[index] = Arc::new(shard);
    for (place, id) in data_objects {
        Arc::make_mut(&mut state.shards[place.slot()]).data_objects.insert(place, id);
    }
    Ok(())
}

fn row(handle: Handle) -> u64 {
    u64::from(handle) / SLOTS as u64
}

fn decode_handle(state: &State, index: usize, reader: &mut Reader<'_>) -> Result<Handle, Malformed> {
    let handle = reader.varint("handle")?.checked_mul(SLOTS as u64).map(|first| first + index as u64);
    let given = handle.filter(|handle| *handle < u64::from(state.topics.next_handle));
    given.map(|handle| handle as Handle).ok_or(Malformed("handle"))
}

fn encode_partition(partition: &Partition, writer: &mut Writer) {
    writer.varint(u64::from(partition.topic));
    writer.varint(u64::from(partition.index));
    writer.varint(partition.start);
    writer.varint(partition.end - partition.start);
    writer.count(partition.extents.len());
    let mut last = Extent { base_offset: 0, object: ObjectId(0), position: 0, len: 0, max_timestamp: 0 };
    for extent in partition.extents.iter() {
        writer.varint(extent.base_offset - last.base_offset);
        writer.zigzag(extent.object.0 as i64 - last.object.0 as i64);
        writer.varint(u64::from(extent.position));
        writer.varint(u64::from(extent.len));
        writer.zigzag(extent.max_timestamp.wrapping_sub(last.max_timestamp));
        last = extent;
    }
}

fn decode_partition(reader: &mut Reader<'_>) -> Result<Partition, Malformed> {
    let (topic, index) = (reader.number("topic number")?, reader.number("partition index")?);
    let start = reader.varint("start")?;
    let end = start.checked_add(reader.varint("end")?).filter(|end| *end <= U48_MAX).ok_or(Malformed("end"))?;
    let mut partition = Partition { topic, index, start, end, ..Partition::default() };
    let mut last = Extent { base_offset: 0, object: ObjectId(0), position: 0, len: 0, max_timestamp: 0 };
    for count in 0..reader.count(5, "extents")? {
        let step = reader.varint("base offset")?;
        let base_offset = last.base_offset.checked_add(step).filter(|base| *base < end);
        let object = (last.object.0 as i64).checked_add(reader.zigzag("object")?).and_then(|id| u64::try_from(id).ok());
        last = Extent {
            base_offset: base_offset.ok_or(Malformed("base offset"))?,
            object: ObjectId(object.filter(|id| *id <= U48_MAX).ok_or(Malformed("object"))?),
            position: reader.number("extent's position")?,
            len: reader.number("extent's length")?,
            max_timestamp: last.max_timestamp.wrapping_add(reader.zigzag("max timestamp")?),
        };
        if count > 0 && step == 0 {
            return Err(Malformed("base offset"));
        }
        partition.bytes += u64::from(last.len);
        partition.extents.push(&last);
    }
    match partition.extents.base_offset(0).map_or(start == end, |first| first <= start) {
        true => Ok(partition),
        false => Err(Malformed("extents")),
    }
}
