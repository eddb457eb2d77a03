//! `Commit`: the batches of one object become part of their partitions' logs.
//!
//! An object is sorted by (slot, handle), then producer. An *extent* is all of one partition's batches in it, a *run* one
//! producer's adjacent batches with contiguous sequences. Where an extent lies is not stored: extents and runs follow each
//! other without a gap from the start of the payload.

use super::{Body, Kind};
use crate::codec::{Malformed, Reader, Writer};
use crate::{Handle, SLOTS, slot};

/// The entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Where the bytes are.
    pub object: ObjectRef,
    /// The producers that runs refer to by index.
    pub producers: Vec<Producer>,
    /// One per partition, in the order of the payload.
    pub extents: Vec<Extent>,
}

/// Which object holds the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectRef {
    /// The payload of the frame that holds this entry (a lone broker).
    ThisFrame,
    /// A data object that was stored before.
    Data {
        /// Which store; 0 is the main one.
        store: u8,
        /// Session that wrote it.
        session: u64,
        /// Its number within the session.
        number: u64,
        /// XXH3-128 of the object's section.
        section_hash: u128,
    },
}

/// An idempotent producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Producer {
    /// Producer id, not negative.
    pub id: i64,
    /// Producer epoch, not negative.
    pub epoch: i16,
    /// Whether its batches carry the transactional bit.
    pub transactional: bool,
}

/// All of one partition's batches in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Which partition.
    pub partition: Handle,
    /// The greatest of the batches' max timestamps, Unix milliseconds.
    pub max_timestamp: i64,
    /// Its runs, in the order of the bytes.
    pub runs: Vec<Run>,
}

/// One producer's adjacent batches with contiguous sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Index into the commit's producers; none for batches without a producer id.
    pub producer: Option<u32>,
    /// Sequence of the first record; -1 without a producer.
    pub base_sequence: i32,
    /// Records in all.
    pub records: u32,
    /// Bytes in all.
    pub bytes: u32,
    /// The bounds of its batches; only where it may be a retry, else empty.
    pub batches: Vec<BatchBounds>,
}

/// One batch of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchBounds {
    /// Records in it.
    pub records: u32,
    /// Its length in bytes.
    pub bytes: u32,
}

impl Body for Commit {
    const KIND: Kind = Kind::Commit;

    fn encode(&self, writer: &mut Writer) {
        self.object.encode(writer);
        writer.count(self.producers.len());
        let mut last_id = 0i64;
        for producer in &self.producers {
            writer.zigzag(producer.id.wrapping_sub(last_id));
            last_id = producer.id;
            writer.zigzag(i64::from(producer.epoch));
            writer.u8(producer.transactional as u8);
        }
        writer.count(self.extents.len());
        let (mut last, mut last_timestamp) = (0, 0i64);
        for extent in &self.extents {
            encode_partition(last, extent.partition, writer);
            writer.zigzag(extent.max_timestamp.wrapping_sub(last_timestamp));
            (last, last_timestamp) = (extent.partition, extent.max_timestamp);
            writer.count(extent.runs.len());
            extent.runs.iter().for_each(|run| run.encode(writer));
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let object = ObjectRef::decode(reader)?;
        let count = reader.count(3, "producers")?;
        let mut producers = Vec::with_capacity(count);
        let mut last_id = 0i64;
        for _ in 0..count {
            last_id = last_id.wrapping_add(reader.zigzag("producer id")?);
            producers.push(Producer {
                id: last_id,
                epoch: reader.signed("producer epoch")?,
                transactional: reader.flag("producer flags")?,
            });
        }
        let count = reader.count(3, "extents")?;
        let mut extents = Vec::with_capacity(count);
        let (mut partition, mut last_timestamp) = (0, 0i64);
        for _ in 0..count {
            partition = decode_partition(partition, reader)?;
            last_timestamp = last_timestamp.wrapping_add(reader.zigzag("max timestamp")?);
            let count = reader.count(4, "runs")?;
            let mut runs = Vec::with_capacity(count);
            for _ in 0..count {
                runs.push(Run::decode(reader)?);
            }
            extents.push(Extent { partition, max_timestamp: last_timestamp, runs });
        }
        Ok(Self { object, producers, extents })
    }
}

/// A partition after the one before it. Handles of one slot differ by multiples of [`SLOTS`], so a handle is a slot and a
/// row: in the same slot the step between rows, doubled; in another one the step between slots, doubled plus one, and the
/// row. In the order of the payload that takes a byte or two.
fn encode_partition(last: Handle, partition: Handle, writer: &mut Writer) {
    let (slots, rows) = (slot(partition) as i64 - slot(last) as i64, i64::from(row(partition)) - i64::from(row(last)));
    if slots == 0 {
        return writer.zigzag(rows * 2);
    }
    writer.zigzag(slots * 2 + 1);
    writer.varint(u64::from(row(partition)));
}

fn decode_partition(last: Handle, reader: &mut Reader<'_>) -> Result<Handle, Malformed> {
    let step = reader.zigzag("partition")?;
    let (slot, row) = match (step & 1, step >> 1) {
        (0, rows) => (Some(slot(last) as i64), i64::from(row(last)).checked_add(rows)),
        (_, 0) => (None, None),
        (_, slots) => ((slot(last) as i64).checked_add(slots), Some(i64::from(reader.number::<u32>("partition")?))),
    };
    let handle = match (slot, row) {
        (Some(slot @ 0..SLOTS_I64), Some(row @ 0..=ROW_MAX)) => row * SLOTS_I64 + slot,
        _ => return Err(Malformed("partition")),
    };
    Handle::try_from(handle).map_err(|_| Malformed("partition"))
}

const SLOTS_I64: i64 = SLOTS as i64;
const ROW_MAX: i64 = (Handle::MAX / SLOTS as u32) as i64;

fn row(handle: Handle) -> u32 {
    handle / SLOTS as u32
}

impl ObjectRef {
    fn encode(&self, writer: &mut Writer) {
        match *self {
            Self::ThisFrame => writer.u8(0),
            Self::Data { store, session, number, section_hash } => {
                writer.u8(1);
                writer.u8(store);
                writer.varint(session);
                writer.varint(number);
                writer.u128(section_hash);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.u8("object")? {
            0 => Self::ThisFrame,
            1 => Self::Data {
                store: reader.u8("store")?,
                session: reader.varint("session")?,
                number: reader.varint("object number")?,
                section_hash: reader.u128("section hash")?,
            },
            _ => return Err(Malformed("object")),
        })
    }
}

impl Run {
    fn encode(&self, writer: &mut Writer) {
        writer.optional(self.producer.map(u64::from));
        if self.producer.is_some() {
            writer.zigzag(i64::from(self.base_sequence));
        }
        writer.varint(u64::from(self.records));
        writer.varint(u64::from(self.bytes));
        writer.count(self.batches.len());
        for batch in &self.batches {
            writer.varint(u64::from(batch.records));
            writer.varint(u64::from(batch.bytes));
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let producer = reader.optional("producer")?.map(u32::try_from).transpose();
        let producer = producer.map_err(|_| Malformed("producer"))?;
        let base_sequence = match producer {
            Some(_) => reader.signed("base sequence")?,
            None => -1,
        };
        let records = reader.number("records")?;
        let bytes = reader.number("bytes")?;
        let count = reader.count(2, "batches")?;
        let mut batches = Vec::with_capacity(count);
        for _ in 0..count {
            batches.push(BatchBounds { records: reader.number("records")?, bytes: reader.number("bytes")? });
        }
        Ok(Self { producer, base_sequence, records, bytes, batches })
    }
}
