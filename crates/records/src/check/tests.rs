use super::*;
use crate::{BatchBuilder, HEADER_LEN, RecordHeader};

const LIMIT: u64 = 1 << 20;

/// The records of a batch as they are written, and where each begins.
fn records(count: usize) -> (Vec<u8>, Vec<usize>) {
    let mut starts = Vec::new();
    let mut batch = BatchBuilder::new(Codec::None);
    for index in 0..count {
        starts.push(batch.build().len() - HEADER_LEN);
        batch = batch.record_with_headers(
            index as i64,
            Some(b"key"),
            Some(&[7; 300]),
            &[RecordHeader { key: b"h", value: Some(b"v") }],
        );
    }
    (batch.build()[HEADER_LEN..].to_vec(), starts)
}

fn judge(count: i32, codec: Codec, plain: &[u8]) -> Result<Vec<u32>, BatchError> {
    let bytes = BatchBuilder::claiming(count, codec, &codec.compress(plain));
    check(&Batch::validate(&bytes).expect("the header is in order"), 9, LIMIT)
}

#[test]
fn a_batch_that_is_what_it_says_passes_in_every_codec() {
    for codec in Codec::ALL {
        assert_eq!(judge(3, codec, &records(3).0), Ok(vec![]), "{codec}");
    }
}

#[test]
fn other_counts_and_other_bytes_are_refused_in_every_codec() {
    let (plain, starts) = records(3);
    for codec in Codec::ALL {
        assert_eq!(judge(4, codec, &plain), Err(BatchError::Record { index: 3 }), "{codec}: one too few");
        let surplus = (plain.len() - starts[2]) as u64;
        assert_eq!(judge(2, codec, &plain), Err(BatchError::RecordSurplus { surplus }), "{codec}: one too many");
        let trailing = [&plain[..], &[0; 7]].concat();
        assert_eq!(judge(3, codec, &trailing), Err(BatchError::RecordSurplus { surplus: 7 }), "{codec}");
        assert_eq!(judge(1, codec, &[0xff; 3]), Err(BatchError::Record { index: 0 }), "{codec}");
        assert_eq!(judge(1, codec, &[]), Err(BatchError::Record { index: 0 }), "{codec}");
    }
}

#[test]
fn what_is_not_compressed_as_it_says_is_refused() {
    for codec in &Codec::ALL[1..] {
        let bytes = BatchBuilder::claiming(3, *codec, &records(3).0);
        let judged = check(&Batch::validate(&bytes).expect("the header is in order"), 0, LIMIT);
        assert_eq!(judged, Err(BatchError::Corrupt { codec: *codec }));
    }
}

/// A length inside a record that reaches beyond its end, or not as far, hides what follows from readers.
#[test]
fn any_changed_length_inside_a_record_is_noticed() {
    let (plain, starts) = records(2);
    // Length (2 bytes), attributes, timestamp delta, offset delta, then key, value and headers.
    let key_at = starts[0] + 5;
    let value_at = key_at + 1 + 3;
    let header_count_at = value_at + 2 + 300;
    for (at, what) in [(key_at, "key"), (value_at, "value"), (header_count_at, "headers"), (starts[0], "record")] {
        for change in [2, 254] {
            let mut changed = plain.clone();
            changed[at] = changed[at].wrapping_add(change);
            for codec in Codec::ALL {
                assert!(judge(2, codec, &changed).is_err(), "{codec}: the length of the {what} changed by {change}");
            }
        }
    }
}

#[test]
fn records_without_a_key_are_found_in_every_codec() {
    for codec in Codec::ALL {
        let keys: [Option<&[u8]>; 5] = [Some(b"k"), None, Some(b""), None, None];
        let batch =
            keys.into_iter().fold(BatchBuilder::new(codec), |batch, key| batch.record(0, key, Some(&[8; 5000])));
        let bytes = batch.build();
        let batch = Batch::parse(&bytes).expect("built");
        assert_eq!(check(&batch, 9, LIMIT), Ok(vec![1, 3, 4]), "{codec}: an empty key is one");
        assert_eq!(check(&batch, 2, LIMIT), Ok(vec![1, 3]));
        if codec != Codec::None {
            assert_eq!(check(&batch, 9, 10_000), Err(BatchError::TooLarge { limit: 10_000 }));
        }
    }
}
