use super::*;
use crate::read::testing::{batch, ranges};

use kafscale_records::{BatchBuilder, Codec};
use kafscale_state::Place;

fn extent(pieces: &[Bytes], base_offset: i64, records: i64) -> Extent {
    let len = pieces.iter().map(Bytes::len).sum::<usize>() as u32;
    let object = Place::LogFrame { position: 1 };
    Extent { object, start: 0, len, base_offset, end_offset: base_offset + records, max_timestamp: 0, version: 0 }
}

/// Offsets 1000.. in batches of three records of about 1 KiB each.
fn large() -> Content {
    let pieces: Vec<Bytes> = (0..100).map(|_| batch(&[0, 0, 0], 1000)).collect();
    Content::new(&extent(&pieces, 1000, 300), &pieces, true).expect("whole")
}

#[test]
fn batches_get_their_offsets() {
    let content = large();
    let expected: Vec<(i64, i64)> = (0..100).map(|index| (1000 + index * 3, 1002 + index * 3)).collect();
    let whole = content.read(0, usize::MAX, false).expect("fits");
    assert_eq!(ranges(&[whole.bytes]), expected);
    assert_eq!(whole.next_offset, 1300);
    assert!(content.marks.len() > 5, "marks cover it");
}

#[test]
fn a_read_begins_with_the_batch_that_holds_the_offset_and_ends_with_a_whole_one() {
    let content = large();
    let size = content.batches().next().expect("first").bytes().len();
    for offset in 1000..1300 {
        for room in [1, 2, 11, 40] {
            let slice = content.read(offset, size * room + size / 2, false).expect("fits");
            let first = offset - (offset - 1000) % 3;
            let count = (room as i64).min((1300 - first) / 3);
            let ranges = ranges(&[slice.bytes]);
            assert_eq!(ranges.first().map(|range| range.0), Some(first), "from {offset}");
            assert_eq!(ranges.len() as i64, count, "from {offset}, room for {room}");
            assert_eq!(slice.next_offset, first + count * 3);
        }
    }
    assert_eq!(content.read(1300, usize::MAX, true), None);
}

#[test]
fn a_first_batch_that_does_not_fit_is_sent_only_if_it_must() {
    let content = large();
    assert_eq!(content.read(1004, 100, false), None);
    assert_eq!(content.read(1004, 0, false), None);
    let slice = content.read(1004, 0, true).expect("must");
    assert_eq!((ranges(&[slice.bytes]), slice.next_offset), (vec![(1003, 1005)], 1006));
}

#[test]
fn bytes_that_are_not_the_extent_are_refused() {
    let pieces = [batch(&[0, 0], 10), batch(&[0], 10)];
    let good = extent(&pieces, 5, 3);
    assert!(Content::new(&good, &pieces, true).is_ok());
    assert_eq!(
        Content::new(&good, &pieces[..1], true).err(),
        Some(ContentError::Length { need: u64::from(good.len), have: pieces[0].len() as u64 })
    );
    let longer = Extent { end_offset: 9, ..good };
    assert_eq!(Content::new(&longer, &pieces, true).err(), Some(ContentError::Offsets { need: 9, have: 8 }));
    let mut damaged = pieces[1].to_vec();
    damaged[62] ^= 1;
    let damaged = [pieces[0].clone(), damaged.into()];
    let error = Content::new(&good, &damaged, true).expect_err("damaged");
    assert!(matches!(error, ContentError::Batch { at, error: BatchError::Crc { .. } } if at == pieces[0].len()));
    assert!(Content::new(&good, &damaged, false).is_ok(), "unless nobody looks");
}

#[test]
fn many_bytes_that_came_alone_and_have_their_offsets_are_not_copied() {
    let merged = kafscale_state::Merged { store: 0, level: 1, session: 1, number: 1, nonce: 1 };
    let value = vec![b'v'; COPIED_BELOW];
    let bytes = BatchBuilder::new(Codec::None).base_offset(1_000).record(5, None, Some(&value)).build();
    let flushed = extent(std::slice::from_ref(&bytes), 1_000, 1);
    let rewritten = Extent { object: Place::Merged(merged), ..flushed };
    let content = Content::alone(&rewritten, bytes.clone()).expect("whole");
    assert_eq!(content.bytes().as_ptr(), bytes.as_ptr());
    let content = Content::alone(&flushed, bytes.clone()).expect("whole");
    assert_ne!(content.bytes().as_ptr(), bytes.as_ptr(), "offsets are written into a copy");

    let small = BatchBuilder::new(Codec::None).base_offset(1_000).record(5, None, Some(b"value")).build();
    let few = Extent { object: rewritten.object, ..extent(std::slice::from_ref(&small), 1_000, 1) };
    let content = Content::alone(&few, small.clone()).expect("whole");
    assert_ne!(content.bytes().as_ptr(), small.as_ptr(), "a few may be a part of something large");

    let short = Content::alone(&rewritten, bytes.slice(1..)).expect_err("cut short");
    assert!(matches!(short, ContentError::Length { .. }));
    let mut damaged = bytes.to_vec();
    *damaged.last_mut().expect("not empty") ^= 1;
    assert!(matches!(Content::alone(&rewritten, damaged.into()), Err(ContentError::Batch { .. })));
}
