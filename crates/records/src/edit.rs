//! The changes that a broker makes to a batch, in place.
//!
//! Every function takes the bytes of one batch that [`Batch::parse`](crate::Batch::parse) has accepted; fewer bytes than a
//! header are the caller's mistake and panic.

use crate::{
    Attributes, Codec,
    batch::checksum,
    header::{HEADER_LEN, LENGTH_OVERHEAD, at},
};

/// Writes the offset of the first record. The checksum does not cover it.
pub fn set_base_offset(batch: &mut [u8], base_offset: i64) {
    put(batch, at::BASE_OFFSET, base_offset.to_be_bytes());
}

/// Writes the leader epoch. The checksum does not cover it.
pub fn set_partition_leader_epoch(batch: &mut [u8], epoch: i32) {
    put(batch, at::LEADER_EPOCH, epoch.to_be_bytes());
}

/// Gives all records the broker's time (Unix milliseconds): timestamp type, max timestamp and a new checksum.
pub fn stamp_log_append_time(batch: &mut [u8], now_ms: i64) {
    let attributes = i16::from_be_bytes([batch[at::ATTRIBUTES], batch[at::ATTRIBUTES + 1]]);
    put(batch, at::ATTRIBUTES, (attributes | Attributes::LOG_APPEND_TIME).to_be_bytes());
    put(batch, at::MAX_TIMESTAMP, now_ms.to_be_bytes());
    set_checksum(batch);
}

/// Other records have taken the place of the batch's: writes how they are compressed, the length and a new checksum. The
/// batch is shorter than 2 GiB.
pub(crate) fn set_payload(batch: &mut [u8], codec: Codec) {
    let attributes = i16::from_be_bytes([batch[at::ATTRIBUTES], batch[at::ATTRIBUTES + 1]]);
    let attributes = attributes & !Attributes::CODEC | i16::from(codec.id());
    put(batch, at::ATTRIBUTES, attributes.to_be_bytes());
    put(batch, at::LENGTH, ((batch.len() - LENGTH_OVERHEAD) as i32).to_be_bytes());
    set_checksum(batch);
}

/// Writes the checksum that fits the other bytes.
pub(crate) fn set_checksum(batch: &mut [u8]) {
    let crc = checksum(batch);
    put(batch, at::CRC, crc.to_be_bytes());
}

fn put<const N: usize>(batch: &mut [u8], at: usize, field: [u8; N]) {
    assert!(batch.len() >= HEADER_LEN, "only whole batches are edited");
    batch[at..at + N].copy_from_slice(&field);
}
