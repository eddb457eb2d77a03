use bytes::Bytes;

use super::*;
use crate::{BatchBuilder, Codec, edit};

fn three_records() -> BatchBuilder {
    BatchBuilder::new(Codec::None).record(10, None, Some(b"a")).record(30, None, Some(b"b")).record(
        20,
        None,
        Some(b"c"),
    )
}

/// A batch with some bytes overwritten and the checksum made right again.
fn forged(batch: &Bytes, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut forged = batch.to_vec();
    forged[at..at + bytes.len()].copy_from_slice(bytes);
    edit::set_checksum(&mut forged);
    forged
}

#[test]
fn a_whole_batch_is_accepted_as_it_is() {
    let bytes = three_records().producer(5, 0, 0).build();
    let batch = Batch::validate(&bytes).expect("valid");
    assert_eq!(batch.bytes(), &bytes[..]);
    assert_eq!((batch.header().record_count, batch.header().max_timestamp), (3, 30));
}

#[test]
fn one_batch_means_not_a_byte_less_or_more() {
    let bytes = three_records().build();
    for cut in 0..bytes.len() {
        let error = Batch::validate(&bytes[..cut]).expect_err("cut");
        assert!(matches!(error, BatchError::Truncated { have, .. } if have == cut as u64), "{cut}: {error}");
    }
    let two = [&bytes[..], &bytes[..]].concat();
    assert_eq!(Batch::validate(&two), Err(BatchError::Surplus { surplus: bytes.len() as u64 }));
}

#[test]
fn impossible_lengths_are_refused() {
    let bytes = three_records().build();
    for length in [i32::MIN, -1, 0, 48] {
        assert_eq!(Batch::validate(&forged(&bytes, 8, &length.to_be_bytes())), Err(BatchError::Length { length }));
    }
    let error = Batch::validate(&forged(&bytes, 8, &i32::MAX.to_be_bytes())).expect_err("too long");
    assert_eq!(error, BatchError::Truncated { need: 12 + i32::MAX as u64, have: bytes.len() as u64 });
}

#[test]
fn only_message_format_2_is_taken() {
    let bytes = three_records().build();
    for magic in [0, 1] {
        assert_eq!(Batch::validate(&forged(&bytes, 16, &[magic as u8])), Err(BatchError::OldMagic { magic }));
        let mut short = [0; 26];
        short[16] = magic as u8;
        assert_eq!(Batch::validate(&short), Err(BatchError::OldMagic { magic }), "old messages are shorter");
    }
    assert_eq!(Batch::validate(&forged(&bytes, 16, &[3])), Err(BatchError::UnknownMagic { magic: 3 }));
}

#[test]
fn counts_must_fit_the_offsets() {
    let bytes = three_records().build();
    for (count, last_offset_delta) in [(0, 2), (-3, 2), (2, 2), (4, 2), (3, 3), (i32::MIN, i32::MAX), (0, -1)] {
        let forged = forged(&forged(&bytes, 57, &i32::to_be_bytes(count)).into(), 23, &last_offset_delta.to_be_bytes());
        assert_eq!(Batch::validate(&forged), Err(BatchError::Count { count, last_offset_delta }));
    }
}

#[test]
fn codec_control_and_producer_fields_are_checked() {
    let bytes = three_records().build();
    for id in 5..8 {
        assert_eq!(Batch::validate(&forged(&bytes, 21, &[0, id])), Err(BatchError::Codec { id }));
    }
    assert_eq!(Batch::validate(&three_records().control().build()), Err(BatchError::Control));
    for (id, epoch, sequence) in [(5, -1, 0), (5, 0, -1), (-2, -1, -1), (i64::MIN, 0, 0)] {
        let bytes = three_records().producer(id, epoch, sequence).build();
        assert_eq!(Batch::validate(&bytes), Err(BatchError::Producer { id, epoch, sequence }));
    }
    assert!(Batch::validate(&three_records().transactional().build()).is_err(), "a transaction needs a producer");
    let without_producer = three_records().producer(-1, 0, 0).build();
    assert!(Batch::validate(&without_producer).is_ok(), "as kafkajs and sarama send it");
}

#[test]
fn unknown_attribute_bits_are_passed_over() {
    let bytes = three_records().build();
    assert!(Batch::validate(&forged(&bytes, 21, &[0x7f, 0x80])).is_ok());
}

#[test]
fn offset_and_epoch_can_be_written_without_touching_the_checksum() {
    let mut bytes = three_records().build().to_vec();
    edit::set_base_offset(&mut bytes, i64::MAX);
    edit::set_partition_leader_epoch(&mut bytes, 7);
    let batch = Batch::validate(&bytes).expect("the checksum still fits");
    assert_eq!((batch.header().base_offset, batch.header().partition_leader_epoch), (i64::MAX, 7));
    assert_eq!(batch.header().next_offset(), i64::MAX, "saturates");
}

#[test]
fn the_brokers_time_replaces_the_producers() {
    for codec in Codec::ALL {
        let mut bytes = BatchBuilder::new(codec).record(10, None, None).record(5, None, None).build().to_vec();
        edit::stamp_log_append_time(&mut bytes, 77);
        let batch = Batch::validate(&bytes).expect("the checksum was renewed");
        assert_eq!(batch.header().attributes.codec(), Ok(codec));
        let opened = batch.open(100).expect("opens");
        assert!(opened.records().all(|record| record.expect("whole").timestamp == 77));
    }
}

#[test]
fn batches_follow_each_other_until_one_is_torn() {
    let bytes = three_records().build();
    let row = [&bytes[..], &bytes[..], &bytes[..]].concat();
    assert_eq!(batches(&row).filter_map(Result::ok).count(), 3);
    let mut torn = batches(&row[..row.len() - 1]);
    assert!(torn.next().is_some_and(|batch| batch.is_ok()));
    assert!(torn.next().is_some_and(|batch| batch.is_ok()));
    assert!(matches!(torn.next(), Some(Err(BatchError::Truncated { .. }))));
    assert_eq!(torn.next(), None, "nothing after an error");
    assert_eq!(batches(&[]).next(), None);
}
