//! Taking records out of a batch, as log compaction does.
//!
//! What stays keeps its offset, its bytes and its codec; the header keeps the first and the last offset of the batch and all
//! that it says of its producer, so that sequences still fit. Only the number of records, the greatest timestamp and the
//! checksum follow from what stays.
//!
//! A batch that still holds tombstones carries their *delete horizon* (KIP-534): attribute bit 6 is set, and the base timestamp
//! is the time from which on they may go. Timestamps of records are relative to the base timestamp, so they are written
//! anew then.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    Attributes, Batch, BatchError, Codec, HEADER_LEN, Header, MAGIC, Opened, Record, TimestampType, edit,
    header::LENGTH_OVERHEAD, varint,
};

/// What is left of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    /// The batch as it is to be written.
    pub left: Left,
    /// Records that stay.
    pub records: u32,
    /// Records that go.
    pub removed: u32,
    /// Records without a value among those that stay.
    pub tombstones: u32,
}

/// How a batch comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// As it was.
    Same,
    /// With fewer records, or with a delete horizon.
    Changed(Bytes),
    /// No record is left.
    Nothing,
}

/// Keeps the records that `keep` wants. If tombstones are among them the batch gets this delete horizon; with none the one
/// stays that it has.
pub fn retain(
    batch: &Batch<'_>,
    opened: &Opened<'_>,
    horizon: Option<i64>,
    mut keep: impl FnMut(&Record<'_>) -> bool,
) -> Result<Retained, BatchError> {
    let header = batch.header();
    let mut stays: Vec<bool> = Vec::new();
    let (mut records, mut tombstones, mut max_timestamp) = (0, 0, i64::MIN);
    for record in opened.records() {
        let record = record?;
        let kept = keep(&record);
        if kept {
            records += 1;
            tombstones += u32::from(record.value.is_none());
            max_timestamp = max_timestamp.max(record.timestamp);
        }
        stays.push(kept);
    }
    let removed = stays.len() as u32 - records;
    let horizon = horizon.or(header.delete_horizon()).filter(|_| tombstones > 0);
    let left = match records {
        0 => Left::Nothing,
        _ if removed == 0 && (tombstones == 0 || horizon == header.delete_horizon()) => Left::Same,
        _ => {
            let mut after = *header;
            after.attributes = after.attributes.with_delete_horizon(horizon.is_some());
            after.base_timestamp = horizon.unwrap_or(header.base_timestamp);
            after.record_count = records as i32;
            if header.attributes.timestamp_type() == TimestampType::CreateTime {
                after.max_timestamp = max_timestamp;
            }
            Left::Changed(write(&after, &rewritten(header, &after, opened, &stays)?)?)
        }
    };
    Ok(Retained { left, records, removed, tombstones })
}

/// A batch without records, which stands for the offsets of this one and says of its producer what this one says. Kafka
/// keeps such ones as well, so that every client knows them.
pub fn emptied(batch: &Batch<'_>) -> Bytes {
    let mut header = *batch.header();
    header.attributes = header.attributes.with_delete_horizon(false).uncompressed();
    (header.base_timestamp, header.max_timestamp, header.record_count) = (-1, -1, 0);
    write(&header, &[]).expect("nothing is compressed")
}

/// The records that stay, with timestamps relative to the new base.
fn rewritten(before: &Header, after: &Header, opened: &Opened<'_>, stays: &[bool]) -> Result<Vec<u8>, BatchError> {
    let (mut out, mut body) = (Vec::new(), Vec::new());
    let mut records = opened.records();
    let shift = before.base_timestamp.wrapping_sub(after.base_timestamp);
    for kept in stays {
        let (raw, parts) = match records.next_raw() {
            Some(raw) => raw?,
            None => break,
        };
        match kept {
            true if shift == 0 => out.extend_from_slice(raw),
            true => {
                body.clear();
                body.put_u8(parts.attributes);
                varint::write(&mut body, parts.timestamp_delta.wrapping_add(shift));
                body.extend_from_slice(parts.rest);
                varint::write(&mut out, body.len() as i64);
                out.extend_from_slice(&body);
            }
            false => {}
        }
    }
    Ok(out)
}

fn write(header: &Header, records: &[u8]) -> Result<Bytes, BatchError> {
    let compressed;
    let payload = match header.attributes.codec()? {
        Codec::None => records,
        codec => {
            compressed = codec.compress(records);
            &compressed
        }
    };
    let mut batch = BytesMut::with_capacity(HEADER_LEN + payload.len());
    batch.put_i64(header.base_offset);
    batch.put_i32((HEADER_LEN - LENGTH_OVERHEAD + payload.len()) as i32);
    batch.put_i32(header.partition_leader_epoch);
    batch.put_i8(MAGIC);
    batch.put_u32(0);
    batch.put_i16(header.attributes.0);
    batch.put_i32(header.last_offset_delta);
    batch.put_i64(header.base_timestamp);
    batch.put_i64(header.max_timestamp);
    batch.put_i64(header.producer_id);
    batch.put_i16(header.producer_epoch);
    batch.put_i32(header.base_sequence);
    batch.put_i32(header.record_count);
    batch.extend_from_slice(payload);
    edit::set_checksum(&mut batch);
    Ok(batch.freeze())
}

impl Attributes {
    fn with_delete_horizon(self, is_set: bool) -> Self {
        match is_set {
            true => Self(self.0 | Self::DELETE_HORIZON),
            false => Self(self.0 & !Self::DELETE_HORIZON),
        }
    }

    fn uncompressed(self) -> Self {
        Self(self.0 & !Self::CODEC)
    }
}

#[cfg(test)]
mod tests;
