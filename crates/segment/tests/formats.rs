//! The formats: golden bytes, files made by hand, and bytes that nobody meant.

use bytes::{Bytes, BytesMut};
use kafscale_records::{BatchBuilder, BatchError, Codec};
use kafscale_segment::{
    BatchesError, check_batches, index, kfs,
    merged::{self, Extent, Part},
    names::MergedId,
    place_densely,
};
use proptest::prelude::*;

/// Files that the script under `tests/segments` reads and makes; `golden/ours.*` is what [`ours`] writes.
const OURS: &[u8] = include_bytes!("golden/ours.kfs");
const OURS_INDEX: &[u8] = include_bytes!("golden/ours.index");
const BY_HAND: &[u8] = include_bytes!("golden/by-hand.kfs");
const BY_HAND_INDEX: &[u8] = include_bytes!("golden/by-hand.index");

fn batch(base_offset: i64, records: usize) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None).base_offset(base_offset);
    for record in 0..records as i64 {
        let (key, value) = (format!("key-{}", base_offset + record), format!("value-{}", base_offset + record));
        builder =
            builder.record(1_700_000_000_000 + base_offset + record, Some(key.as_bytes()), Some(value.as_bytes()));
    }
    builder.build()
}

/// A segment of offsets 1,000 to 1,300 with a gap, so that its index has several entries.
fn ours() -> kfs::Written {
    let mut writer = kfs::Writer::new(1_000, 1_300, 1_700_000_000_123);
    for base_offset in [1_000, 1_070, 1_140, 1_220] {
        writer.push(batch(base_offset, 70)).expect("a good batch");
    }
    writer.finish().expect("a good segment")
}

fn whole(written: &kfs::Written) -> Bytes {
    written.pieces.concat().into()
}

#[test]
fn what_is_written_never_changes() {
    let written = ours();
    assert_eq!(whole(&written), OURS);
    assert_eq!(written.index, OURS_INDEX);
    assert_eq!((written.len as usize, written.crc, written.records), (OURS.len(), kfs::checksum(OURS), 280));
    assert_eq!(written.max_timestamp, 1_700_000_001_289);
    let segment = kfs::parse(&whole(&written)).expect("an own segment");
    let header = kfs::Header { base_offset: 1_000, records: 280, created_ms: 1_700_000_000_123 };
    let (footer, sum) = (segment.footer, segment.sum);
    assert_eq!(checked(&whole(&written)), Ok(kfs::Checked { header, footer, sum, crc: written.crc }));
    assert_eq!((segment.header, segment.footer.last_offset), (header, 1_299));
    let entries = index::parse(&written.index).expect("an own index");
    assert_eq!(entries.iter().map(|entry| entry.offset).collect::<Vec<_>>(), [1_000, 1_140]);
    for entry in entries {
        let at = entry.position as usize - kfs::HEADER_LEN;
        let batch = kafscale_records::Batch::parse(&segment.batches[at..]).expect("a batch begins there");
        assert_eq!(batch.header().base_offset, entry.offset);
    }
}

#[test]
fn a_file_made_by_hand_from_the_format_is_read() {
    let segment = kfs::parse(&Bytes::from_static(BY_HAND)).expect("it follows the format");
    assert_eq!((segment.header.base_offset, segment.header.records, segment.footer.last_offset), (5, 3, 7));
    let batch = kafscale_records::Batch::parse(&segment.batches).expect("it holds one");
    let opened = batch.open(1 << 20).expect("it is not compressed");
    let values: Vec<_> = opened.records().map(|record| record.expect("whole").value.map(<[u8]>::to_vec)).collect();
    assert_eq!(values, [b"a", b"b", b"c"].map(|value| Some(value.to_vec())));
    assert_eq!(index::parse(BY_HAND_INDEX), Ok(vec![index::Entry { offset: 5, position: 32 }]));
}

/// The same check of a file that comes batch by batch, as far as batches can be told.
fn checked(bytes: &Bytes) -> Result<kfs::Checked, kfs::Error> {
    let end = bytes.slice(bytes.len().saturating_sub(kfs::FOOTER_LEN)..);
    let mut checker = kfs::Checker::new(&bytes[..bytes.len().min(kfs::HEADER_LEN)], &end)?;
    let mut rest = bytes.slice(kfs::HEADER_LEN..bytes.len() - kfs::FOOTER_LEN);
    while !rest.is_empty() {
        let len = kafscale_records::Batch::parse(&rest).map_or(rest.len(), |batch| batch.bytes().len());
        checker.push(&rest.split_to(len))?;
    }
    checker.finish()
}

#[test]
fn every_damage_is_refused() {
    let good = BytesMut::from(OURS);
    // Flags and the reserved field are ignored, creation can be anything.
    let free = |at: usize| (6..8).contains(&at) || (20..32).contains(&at);
    for at in (0..good.len()).filter(|at| *at < 100 || *at > good.len() - 20 || at % 97 == 0) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let bad = bad.freeze();
        let read = kfs::parse(&bad);
        assert_eq!(checked(&bad).is_ok(), read.is_ok(), "byte {at}, in pieces");
        // A smaller base, a later end: offsets may be missing there.
        let wider = (8..16).contains(&at) || (good.len() - 12..good.len() - 4).contains(&at);
        assert!(read.is_err() || free(at) || wider, "byte {at}");
    }
    for len in (0..good.len()).step_by(131).chain([good.len() - 1]) {
        assert!(kfs::parse(&Bytes::copy_from_slice(&good[..len])).is_err(), "{len} bytes");
    }
    let mut newer = good;
    newer[5] = 2;
    assert_eq!(kfs::parse(&newer.freeze()), Err(kfs::Error::NewerVersion(2)));
}

#[test]
fn an_index_that_contradicts_itself_is_refused() {
    let with = |at: usize, byte: u8| {
        let mut bytes = OURS_INDEX.to_vec();
        bytes[at] = byte;
        index::parse(&bytes)
    };
    assert_eq!(with(0, b'X'), Err(index::Error::NotAnIndex));
    assert_eq!(with(5, 2), Err(index::Error::NewerVersion(2)));
    assert_eq!(with(6, 0x7f), Err(index::Error::Length { len: 40, entries: 0x7f00_0002 }));
    assert_eq!(with(27, 33), Err(index::Error::Order(0)));
    assert_eq!(with(36, 0xff), Err(index::Error::Order(1)));
    assert!(index::parse(&OURS_INDEX[..39]).is_err() && index::parse(b"IDX\0").is_err());
}

#[test]
fn a_segment_takes_only_batches_of_its_range_in_order() {
    let pushed = |batches: &[Bytes]| {
        let mut writer = kfs::Writer::new(10, 20, 0);
        batches.iter().try_for_each(|batch| writer.push(batch.clone())).and_then(|()| writer.finish().map(drop))
    };
    let offsets = |at, first, last, from| {
        Err(kfs::WriteError::Batches(BatchesError::Offsets { at, first, last, from, until: 20 }))
    };
    assert_eq!(pushed(&[batch(12, 2), batch(15, 5)]), Ok(()));
    assert_eq!(pushed(&[batch(9, 2)]), offsets(0, 9, 10, 10));
    assert_eq!(pushed(&[batch(10, 2), batch(11, 2)]), offsets(0, 11, 12, 12));
    assert_eq!(pushed(&[batch(19, 2)]), offsets(0, 19, 20, 10));
    assert_eq!(pushed(&[]), Err(kfs::WriteError::Empty));
    let mut torn = BytesMut::from(&batch(10, 2)[..]);
    torn[70] ^= 1;
    let wrong = pushed(&[torn.freeze()]);
    assert!(matches!(wrong, Err(kfs::WriteError::Batches(BatchesError::Batch { error: BatchError::Crc { .. }, .. }))));
}

#[test]
fn batches_without_offsets_get_dense_ones() {
    let mut bytes = [batch(0, 3), batch(0, 2)].concat();
    assert_eq!(place_densely(&mut bytes, 100), Ok(105));
    let mut bases = Vec::new();
    let sum = check_batches(&bytes, 100, 105, |_, batch| bases.push(batch.header().base_offset));
    assert_eq!((sum.map(|sum| (sum.next_offset, sum.records)), bases), (Ok((105, 5)), vec![100, 103]));
    assert!(place_densely(&mut bytes[..70], 0).is_err());
}

fn parts() -> Vec<Part> {
    let part = |topic: &str, handle, position, extents| Part {
        topic_id: 9,
        namespace: String::new(),
        topic: topic.into(),
        partition: 1,
        handle,
        first: 64,
        position,
        extents,
    };
    let extent = |end, bytes| Extent { end, bytes, max_timestamp: -1 };
    vec![part("a", 3, 48, vec![extent(70, 100), extent(80, 50)]), part("b", 1_027, 198, vec![extent(65, 70)])]
}

const HEADER: merged::Header =
    merged::Header { cluster: 7, id: MergedId { level: 1, session: 2, number: 3, nonce: 4 } };

#[test]
fn a_merged_object_tells_what_is_in_it() {
    let (front, tail) = (HEADER.encode(), merged::tail(&HEADER, &parts()));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&front), MERGED_FRONT);
    assert_eq!(hex(&tail), MERGED_TAIL);
    assert_eq!(merged::parse_tail(&front, &tail), Ok((HEADER, parts())));
    let longer = [&[1; 30][..], &tail].concat();
    assert_eq!(merged::parse_tail(&front, &longer), Ok((HEADER, parts())));
    assert_eq!(merged::tail_len(&tail), Ok(tail.len() as u64));
    for at in 0..tail.len() {
        let mut bad = tail.to_vec();
        bad[at] ^= 1;
        assert!(merged::parse_tail(&front, &bad).is_err(), "byte {at} of the tail");
    }
    for at in 0..front.len() {
        let mut bad = front.to_vec();
        bad[at] ^= 1;
        assert!(merged::parse_tail(&bad, &tail).is_err() || at == 7, "byte {at} of the front");
    }
}
const MERGED_FRONT: &str =
    "4b534d4f0001010000000000000000000000000000000007000000000000000200000000000000030000000000000004";
const MERGED_TAIL: &str = concat!(
    "00000002000000000000000000000000000000090000000161000000010000000300000000000000400000003000000002000000",
    "000000004600000064ffffffffffffffff000000000000005000000032ffffffffffffffff000000000000000000000000000000",
    "09000000016200000001000004030000000000000040000000c600000001000000000000004100000046ffffffffffffffff0000",
    "009a12ca27edbd73ec5d16f71ab06522ce1b4f4d534b",
);

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), magic in 0..4usize) {
        let front: &[u8] = [&b""[..], b"KAFS\0\x01", b"IDX\0\0\x01", b"KSMO\0\x01"][magic];
        let bytes = [front, &bytes].concat();
        let _ = index::parse(&bytes);
        let _ = merged::parse_tail(&bytes, &bytes);
        prop_assert!(kfs::parse(&bytes.into()).is_err());
    }

    #[test]
    fn what_was_written_is_read(counts in prop::collection::vec((1..60usize, 0..5i64), 1..20)) {
        let (mut offset, mut bases) = (50, Vec::new());
        let mut writer = kfs::Writer::new(50, 5_000, -1);
        for (records, gap) in &counts {
            offset += gap;
            bases.push(offset);
            writer.push(batch(offset, *records)).expect("a good batch");
            offset += *records as i64;
        }
        let written = writer.finish().expect("a good segment");
        let segment = kfs::parse(&whole(&written)).expect("an own segment");
        let mut found = Vec::new();
        check_batches(&segment.batches, 50, 5_000, |_, batch| found.push(batch.header().base_offset)).expect("good");
        prop_assert_eq!(found, bases);
        prop_assert_eq!(kfs::checksum(&whole(&written)), written.crc);
        let entries = index::parse(&written.index).expect("an own index");
        prop_assert!(entries.windows(2).all(|pair| pair[1].offset - pair[0].offset >= 100));
    }
}
