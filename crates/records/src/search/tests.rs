use super::*;
use crate::{BatchBuilder, Codec};

const LIMIT: u64 = 1 << 20;

/// Offsets 100..105 with timestamps 50, 10, 40, 90, 90.
fn shuffled(codec: Codec) -> BatchBuilder {
    let times = [50, 10, 40, 90, 90];
    times.into_iter().fold(BatchBuilder::new(codec).base_offset(100), |batch, time| {
        batch.record(time, Some(&[7; 300]), Some(&[8; 5000]))
    })
}

fn found(offset: i64, timestamp: i64) -> Option<Found> {
    Some(Found { offset, timestamp })
}

#[test]
fn the_first_record_in_offset_order_answers_in_every_codec() {
    for codec in Codec::ALL {
        let bytes = shuffled(codec).build();
        let batch = Batch::parse(&bytes).expect("built");
        let first = |timestamp, from| first_at_or_after(&batch, timestamp, from, LIMIT).expect("opens");
        assert_eq!(first(i64::MIN, 0), found(100, 50), "{codec}");
        assert_eq!(first(50, 0), found(100, 50));
        assert_eq!(first(51, 0), found(103, 90), "40 comes earlier but is too old");
        assert_eq!(first(45, 101), found(103, 90), "offset 100 lies below the start");
        assert_eq!(first(90, 104), found(104, 90));
        assert_eq!(first(91, 0), None);
        assert_eq!(first(0, 105), None);
        assert_eq!(max_timestamp(&batch, 0, LIMIT), Ok(found(103, 90)), "the first of the two");
        assert_eq!(max_timestamp(&batch, 104, LIMIT), Ok(found(104, 90)), "the other lies below the start");
        assert_eq!(max_timestamp(&batch, 105, LIMIT), Ok(None));
    }
}

#[test]
fn with_the_brokers_time_the_header_answers() {
    let bytes = shuffled(Codec::Zstd).log_append_time(1000).build();
    let batch = Batch::parse(&bytes).expect("built");
    assert_eq!(first_at_or_after(&batch, 1000, 0, 0), Ok(found(100, 1000)), "without opening it");
    assert_eq!(first_at_or_after(&batch, 1000, 102, LIMIT), Ok(found(102, 1000)));
    assert_eq!(first_at_or_after(&batch, 1001, 0, LIMIT), Ok(None));
    assert_eq!(max_timestamp(&batch, 0, 0), Ok(found(100, 1000)));
}

#[test]
fn a_batch_that_expands_beyond_the_limit_is_refused() {
    let bytes = shuffled(Codec::Zstd).build();
    let batch = Batch::parse(&bytes).expect("built");
    assert_eq!(max_timestamp(&batch, 0, 10_000), Err(BatchError::TooLarge { limit: 10_000 }));
    assert_eq!(first_at_or_after(&batch, 50, 0, 10_000), Ok(found(100, 50)), "found before the limit");
}

#[test]
fn payloads_that_lie_are_errors() {
    for codec in Codec::ALL {
        let mut bytes = shuffled(codec).build().to_vec();
        let end = bytes.len();
        bytes[crate::HEADER_LEN..end].fill(0xff);
        let batch = Batch::parse(&bytes).expect("the header is whole");
        assert!(max_timestamp(&batch, 0, LIMIT).is_err(), "{codec}");
    }
    let mut more = shuffled(Codec::Lz4).build().to_vec();
    more[57..61].copy_from_slice(&6_i32.to_be_bytes());
    let batch = Batch::parse(&more).expect("the header is whole");
    assert_eq!(max_timestamp(&batch, 0, LIMIT), Err(BatchError::Record { index: 5 }), "one record less than stated");
}
