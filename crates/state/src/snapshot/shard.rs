//! A shard in a snapshot: its partitions with their extents and segments, its producers, its objects.
//!
//! What can be counted from the extents is not stored. Everything is a delta to what stands before it.

use std::sync::Arc;

use crate::codec::{Malformed, Reader, Writer};
use crate::entry::{decode_object, encode_object};
use crate::extent::{Extent, SEGMENT_OVERHEAD, Segment};
use crate::limits::U48_MAX;
use crate::object::{Object, ObjectId, Place};
use crate::partition::{Claim, Clean, Partition};
use crate::producer::ProducerState;
use crate::shard::Shard;
use crate::{Handle, SLOTS, State};

/// Flags of a partition: it may have extents below its log start.
const TRIMMED: u8 = 1;
/// It has segments or a claim, which follow its extents.
const SEGMENTS: u8 = 2;
/// Log compaction has been there; what is known of that follows.
const CLEAN: u8 = 4;
/// Stands where the store of a data object would: a merged object follows.
const MERGED: u8 = u8::MAX;
/// Stands there for a data object whose store has this very number.
const STORE_ESCAPED: u8 = u8::MAX - 1;

pub(super) fn encode(state: &State, index: usize, writer: &mut Writer) {
    let shard = &state.shards[index];
    writer.varint(shard.evicted_below);
    writer.count(shard.partitions.len());
    for (handle, partition) in &shard.partitions {
        writer.varint(row(*handle));
        let has_segments = partition.segments.len() > 0 || partition.claim.is_some();
        let trimmed = if state.trimmed.contains(handle) { TRIMMED } else { 0 };
        let clean = if partition.clean.is_some() { CLEAN } else { 0 };
        writer.u8(trimmed | clean | if has_segments { SEGMENTS } else { 0 });
        encode_partition(partition, writer);
        if has_segments {
            encode_segments(partition, writer);
        }
        if let Some(clean) = &partition.clean {
            writer.varint(clean.to);
            writer.zigzag(clean.time_ms);
            writer.optional_zigzag(clean.horizon_ms);
        }
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
        encode_place(object.place, writer);
    }
}

/// Where an object is that is no frame; of a frame nothing is written.
pub(super) fn encode_place(place: Place, writer: &mut Writer) {
    match place {
        Place::Data { store, session, number } => {
            if store >= STORE_ESCAPED {
                writer.u8(STORE_ESCAPED);
            }
            writer.u8(store);
            writer.varint(session);
            writer.varint(number);
        }
        Place::Merged(object) => {
            writer.u8(MERGED);
            encode_object(&object, writer);
        }
        Place::LogFrame { .. } | Place::Segment { .. } | Place::SegmentIndex { .. } => {}
    }
}

pub(super) fn decode_place(id: ObjectId, reader: &mut Reader<'_>) -> Result<Place, Malformed> {
    if let Some(position) = id.log_position() {
        return Ok(Place::LogFrame { position });
    }
    let store = match reader.u8("store")? {
        MERGED => return Ok(Place::Merged(decode_object(reader)?)),
        STORE_ESCAPED => reader.u8("store").and_then(|store| match store >= STORE_ESCAPED {
            true => Ok(store),
            false => Err(Malformed("store")),
        })?,
        store => store,
    };
    Ok(Place::Data { store, session: reader.varint("session")?, number: reader.varint("object number")? })
}

pub(super) fn decode(state: &mut State, index: usize, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    // Data objects are found in the shard of their place, which may be another one.
    let mut shard = Shard { evicted_below: reader.varint("position")?, ..Shard::default() };
    shard.data_objects.clone_from(&state.shards[index].data_objects);
    for _ in 0..reader.count(8, "partitions")? {
        let handle = decode_handle(state, index, reader)?;
        let flags = reader.u8("flags")?;
        if flags > TRIMMED | SEGMENTS | CLEAN {
            return Err(Malformed("flags"));
        }
        let trimmed = flags & TRIMMED != 0;
        let mut partition = decode_partition(reader)?;
        if flags & SEGMENTS != 0 {
            decode_segments(&mut partition, reader)?;
        }
        if flags & CLEAN != 0 {
            partition.clean = Some(Arc::new(decode_clean(partition.end, reader)?));
        }
        if partition.tiles_start() > partition.start {
            return Err(Malformed("extents"));
        }
        let topics = &state.topics;
        let owned = topics.by_number.contains_key(&partition.topic) || topics.garbage.contains_key(&partition.topic);
        if !owned {
            return Err(Malformed("partition's topic"));
        }
        state.extents += partition.extents.len() as u64;
        state.segments += partition.segments.len() as u64;
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
        let place = decode_place(id, reader)?;
        if id.log_position().is_none() {
            data_objects.push((place, id));
        }
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
    Ok(partition)
}

fn decode_clean(end: u64, reader: &mut Reader<'_>) -> Result<Clean, Malformed> {
    let to = Some(reader.varint("clean offset")?).filter(|to| *to <= end).ok_or(Malformed("clean offset"))?;
    let (time_ms, horizon_ms) = (reader.zigzag("time")?, reader.optional_zigzag("delete horizon")?);
    Ok(Clean { to, time_ms, horizon_ms })
}

fn encode_segments(partition: &Partition, writer: &mut Writer) {
    writer.count(partition.segments.len());
    let (mut base_offset, mut max_timestamp) = (0, 0i64);
    for segment in partition.segments.iter() {
        writer.varint(segment.base_offset - base_offset);
        writer.varint(u64::from(segment.len));
        writer.zigzag(segment.max_timestamp.wrapping_sub(max_timestamp));
        writer.bytes.extend_from_slice(&segment.crc.to_be_bytes());
        writer.varint(u64::from(segment.records));
        (base_offset, max_timestamp) = (segment.base_offset, segment.max_timestamp);
    }
    writer.u8(partition.claim.is_some() as u8);
    if let Some(claim) = &partition.claim {
        writer.varint(claim.position);
        writer.varint(claim.first);
        writer.varint(claim.end - claim.first);
        writer.zigzag(claim.created_ms);
        writer.u8(claim.algorithm);
    }
}

fn decode_segments(partition: &mut Partition, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let limit = partition.extents_start();
    let (mut base_offset, mut max_timestamp) = (0u64, 0i64);
    for count in 0..reader.count(9, "segments")? {
        let step = reader.varint("base offset")?;
        let after = base_offset.checked_add(step).filter(|base| *base < limit && (count == 0 || step > 0));
        base_offset = after.ok_or(Malformed("segment's base offset"))?;
        let len = reader.number("segment's length")?;
        max_timestamp = max_timestamp.wrapping_add(reader.zigzag("max timestamp")?);
        let crc = u32::from_be_bytes(reader.array("checksum")?);
        let segment = Segment { base_offset, len, max_timestamp, crc, records: reader.number("records")? };
        if len <= SEGMENT_OVERHEAD {
            return Err(Malformed("segment's length"));
        }
        partition.bytes += u64::from(segment.body_len());
        partition.segments.push(&segment);
    }
    if !reader.flag("claim")? {
        return Ok(());
    }
    let (position, first) = (reader.varint("position")?, reader.varint("first offset")?);
    let end = first.checked_add(reader.varint("end offset")?).ok_or(Malformed("claim"))?;
    if first != partition.extents_start() || partition.row(first, end).is_none() {
        return Err(Malformed("claim"));
    }
    let (created_ms, algorithm) = (reader.zigzag("time")?, reader.u8("algorithm")?);
    partition.claim = Some(Arc::new(Claim { position, first, end, created_ms, algorithm }));
    Ok(())
}
