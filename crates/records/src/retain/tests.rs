use proptest::prelude::*;

use super::*;
use crate::{BatchBuilder, RecordHeader};

const LIMIT: usize = 1 << 20;

/// Offset, timestamp, key, value.
type Row = (i64, i64, Vec<u8>, Option<Vec<u8>>);

fn rows(bytes: &[u8]) -> Vec<Row> {
    let batch = Batch::parse(bytes).expect("a batch");
    batch.verify_crc().expect("its checksum");
    assert_eq!(batch.bytes().len(), bytes.len());
    let opened = batch.open(LIMIT).expect("it opens");
    let row = |record: Record<'_>| {
        (record.offset, record.timestamp, record.key.unwrap_or_default().to_vec(), record.value.map(<[u8]>::to_vec))
    };
    opened.records().map(|record| row(record.expect("a record"))).collect()
}

fn retained(bytes: &[u8], horizon: Option<i64>, keep: impl FnMut(&Record<'_>) -> bool) -> Retained {
    let batch = Batch::parse(bytes).expect("a batch");
    retain(&batch, &batch.open(LIMIT).expect("it opens"), horizon, keep).expect("its records can be read")
}

fn changed(bytes: &[u8], horizon: Option<i64>, keep: impl FnMut(&Record<'_>) -> bool) -> Bytes {
    match retained(bytes, horizon, keep).left {
        Left::Changed(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

/// Three records and a tombstone at offsets 100 to 103.
fn sample(codec: Codec) -> Bytes {
    let headers = [RecordHeader { key: b"h", value: Some(b"1") }, RecordHeader { key: b"", value: None }];
    BatchBuilder::new(codec)
        .base_offset(100)
        .producer(7, 2, 40)
        .record(1_000, Some(b"a"), Some(b"first"))
        .record_with_headers(3_000, Some(b"b"), Some(b""), &headers)
        .record(2_000, Some(b"a"), Some(b"second"))
        .record(500, Some(b"c"), None)
        .build()
}

#[test]
fn what_stays_is_as_it_was_in_every_codec() {
    for codec in Codec::ALL {
        let bytes = sample(codec);
        let all = rows(&bytes);
        let after = changed(&bytes, None, |record| record.offset >= 102);
        assert_eq!(rows(&after), all[2..], "{codec:?}");
        let (was, is) = (Batch::parse(&bytes).expect("it is"), Batch::parse(&after).expect("it is"));
        let expected = Header {
            record_count: 2,
            max_timestamp: 2_000,
            batch_length: is.header().batch_length,
            crc: is.header().crc,
            ..*was.header()
        };
        assert_eq!(*is.header(), expected, "the header keeps offsets, producer and codec");
        let headers = changed(&bytes, None, |record| record.offset == 101);
        let batch = Batch::parse(&headers).expect("it is");
        let opened = batch.open(LIMIT).expect("it opens");
        assert_eq!(opened.records().next().expect("one").expect("whole").headers.len(), 2);
    }
}

#[test]
fn a_batch_that_keeps_everything_is_left_alone() {
    let without = BatchBuilder::new(Codec::Lz4).record(5, Some(b"k"), Some(b"v")).build();
    let all = retained(&without, Some(99), |_| true);
    assert_eq!((all.left, all.records, all.removed, all.tombstones), (Left::Same, 1, 0, 0));
    let nothing = retained(&without, Some(99), |_| false);
    assert_eq!((nothing.left, nothing.records, nothing.removed), (Left::Nothing, 0, 1));
    // With a tombstone it is left alone once it has its horizon.
    let with = changed(&sample(Codec::Zstd), Some(99), |_| true);
    assert_eq!(retained(&with, Some(99), |_| true).left, Left::Same);
    assert_eq!(retained(&with, None, |_| true).left, Left::Same);
}

#[test]
fn a_horizon_takes_the_place_of_the_base_timestamp_and_no_record_changes_its_time() {
    for codec in Codec::ALL {
        let bytes = sample(codec);
        let horizon = 86_400_000_000;
        let after = changed(&bytes, Some(horizon), |_| true);
        assert_eq!(rows(&after), rows(&bytes));
        let header = *Batch::parse(&after).expect("it is").header();
        assert_eq!((header.delete_horizon(), header.base_timestamp), (Some(horizon), horizon));
        assert_eq!(header.attributes.codec(), Ok(codec));
        // Without its last tombstone it needs none, and times are right all the same.
        let last = changed(&after, Some(1), |record| record.value.is_some());
        assert_eq!(rows(&last), rows(&bytes)[..3]);
        assert_eq!(Batch::parse(&last).expect("it is").header().delete_horizon(), None);
    }
}

#[test]
fn the_time_of_the_broker_stays() {
    let bytes = BatchBuilder::new(Codec::Gzip)
        .record(5, Some(b"a"), Some(b"1"))
        .record(6, Some(b"b"), None)
        .log_append_time(9_000)
        .build();
    let after = changed(&bytes, Some(1), |record| record.offset == 1);
    let times: Vec<i64> = rows(&after).iter().map(|row| row.1).collect();
    assert_eq!(times, [9_000]);
}

#[test]
fn an_emptied_batch_stands_for_its_offsets_and_its_producer() {
    for codec in Codec::ALL {
        let horizon = changed(&sample(codec), Some(77), |_| true);
        let empty = emptied(&Batch::parse(&horizon).expect("it is"));
        assert_eq!((rows(&empty), empty.len()), (vec![], HEADER_LEN));
        let header = *Batch::parse(&empty).expect("it is").header();
        assert_eq!((header.base_offset, header.last_offset(), header.record_count), (100, 103, 0));
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 2, 40));
        assert_eq!((header.attributes, header.max_timestamp), (Attributes(0), -1));
        assert_eq!(emptied(&Batch::parse(&empty).expect("it is")), empty);
    }
}

#[test]
fn damaged_records_are_an_error() {
    let mut bytes = sample(Codec::None).to_vec();
    bytes.truncate(bytes.len() - 3);
    let length = bytes.len() as i32 - LENGTH_OVERHEAD as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let batch = Batch::parse(&bytes).expect("its header is whole");
    let opened = batch.open(LIMIT).expect("nothing to decompress");
    assert_eq!(retain(&batch, &opened, None, |_| true), Err(BatchError::Record { index: 3 }));
}

proptest! {
    #[test]
    fn any_choice_of_any_batch_keeps_exactly_that(
        records in proptest::collection::vec(
            (any::<i32>(), proptest::collection::vec(any::<u8>(), 0..5), proptest::option::of(".{0,9}"), any::<bool>()),
            1..30,
        ),
        codec in 0..5_u8,
        base in 0..1_i64 << 40,
        horizon in proptest::option::of(any::<i32>()),
    ) {
        let codec = Codec::from_id(codec).expect("one of five");
        let mut builder = BatchBuilder::new(codec).base_offset(base);
        for (time, key, value, _) in &records {
            builder = builder.record(i64::from(*time), Some(key), value.as_ref().map(String::as_bytes));
        }
        let bytes = builder.build();
        let kept = |offset: i64| records[(offset - base) as usize].3;
        let expected: Vec<Row> = rows(&bytes).into_iter().filter(|row| kept(row.0)).collect();
        let after = retained(&bytes, horizon.map(i64::from), |record| kept(record.offset));
        let tombstones = expected.iter().filter(|row| row.3.is_none()).count();
        prop_assert_eq!(after.tombstones as usize, tombstones);
        prop_assert_eq!(after.records as usize, expected.len());
        prop_assert_eq!((after.records + after.removed) as usize, records.len());
        match after.left {
            Left::Same => prop_assert_eq!(expected.len(), records.len()),
            Left::Nothing => prop_assert!(expected.is_empty()),
            Left::Changed(changed) => {
                prop_assert_eq!(rows(&changed), expected);
                let is_set = Batch::parse(&changed).expect("it is").header().delete_horizon().is_some();
                prop_assert_eq!(is_set, horizon.is_some() && tombstones > 0);
            }
        }
    }
}
