//! Whatever is built can be read back, and whatever is broken is an error or a checksum mismatch, never a panic.

use kafscale_records::{Batch, BatchBuilder, BatchError, Codec, RecordHeader, batches, search};
use proptest::{collection::vec, option, prelude::*, sample};

#[derive(Debug, Clone)]
struct Sent {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

fn sent() -> impl Strategy<Value = Sent> {
    let headers = vec((bytes(), option::of(bytes())), 0..3);
    (-1_i64..1_000, option::of(bytes()), option::of(bytes()), headers)
        .prop_map(|(timestamp, key, value, headers)| Sent { timestamp, key, value, headers })
}

fn build(codec: Codec, base_offset: i64, sent: &[Sent]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec).base_offset(base_offset);
    for record in sent {
        let headers: Vec<RecordHeader<'_>> =
            record.headers.iter().map(|(key, value)| RecordHeader { key, value: value.as_deref() }).collect();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder = builder.record_with_headers(record.timestamp, key, value, &headers);
    }
    builder.build().to_vec()
}

fn codec() -> impl Strategy<Value = Codec> {
    sample::select(&Codec::ALL[..])
}

/// Opens and searches everything that can be opened; only panics count.
fn exercise(bytes: &[u8]) {
    for batch in batches(bytes).flatten() {
        let _ = search::max_timestamp(&batch, 0, 1 << 20);
        let _ = search::first_at_or_after(&batch, 500, 3, 1 << 20);
        let Ok(opened) = batch.open(1 << 20) else { continue };
        for record in opened.records().flatten() {
            assert_eq!(record.headers.count(), record.headers.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn built_batches_are_valid_and_read_back(codec in codec(), base in 0_i64..1 << 40, sent in vec(sent(), 1..20)) {
        let bytes = build(codec, base, &sent);
        let batch = Batch::validate(&bytes).expect("valid");
        let opened = batch.open(1 << 20).expect("opens");
        let records: Result<Vec<_>, _> = opened.records().collect();
        let records = records.expect("whole");
        prop_assert_eq!(records.len(), sent.len());
        for (index, (record, sent)) in records.iter().zip(&sent).enumerate() {
            prop_assert_eq!((record.offset, record.timestamp), (base + index as i64, sent.timestamp));
            prop_assert_eq!((record.key, record.value), (sent.key.as_deref(), sent.value.as_deref()));
            let headers: Vec<_> =
                record.headers.map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(&headers, &sent.headers);
        }
    }

    #[test]
    fn searches_agree_with_looking_at_every_record(
        codec in codec(), sent in vec(sent(), 1..20), target in 0_i64..1_000, from in 0_i64..20,
    ) {
        let bytes = build(codec, 0, &sent);
        let batch = Batch::parse(&bytes).expect("valid");
        let places: Vec<_> = (0..).zip(sent.iter().map(|sent| sent.timestamp)).collect();
        let first = places.iter().find(|(offset, timestamp)| *timestamp >= target && *offset >= from);
        let found = search::first_at_or_after(&batch, target, from, 1 << 20).expect("opens");
        prop_assert_eq!(found.map(|found| (found.offset, found.timestamp)), first.copied());
        let greatest = sent.iter().map(|sent| sent.timestamp).max();
        let latest = places.iter().find(|(_, timestamp)| Some(*timestamp) == greatest);
        let found = search::max_timestamp(&batch, 0, 1 << 20).expect("opens");
        prop_assert_eq!(found.map(|found| (found.offset, found.timestamp)), latest.copied());
    }

    #[test]
    fn a_flipped_bit_is_noticed(codec in codec(), sent in vec(sent(), 1..6), at in any::<sample::Index>(), bit in 0_u32..8) {
        let mut bytes = build(codec, 5, &sent);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        exercise(&bytes);
        match Batch::validate(&bytes) {
            Ok(_) => prop_assert!(at < 8 || (12..16).contains(&at), "byte {} is under the checksum", at),
            Err(BatchError::Crc { .. }) => prop_assert!(at >= 17),
            Err(_) => prop_assert!((8..12).contains(&at) || at == 16),
        }
    }

    #[test]
    fn forged_payloads_never_panic(
        codec in codec(), sent in vec(sent(), 1..6), edits in vec((any::<sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = build(codec, 0, &sent);
        for (at, byte) in edits {
            let at = 17 + at.index(bytes.len() - 17);
            bytes[at] = byte;
        }
        exercise(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..300), codec in 0_u8..8) {
        exercise(&bytes);
        if bytes.len() > 61 {
            let length = bytes.len() as i32 - 12;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            bytes[16] = 2;
            bytes[22] = codec;
            exercise(&bytes);
        }
    }

    #[test]
    fn codecs_never_panic_on_damaged_input(codec in codec(), at in any::<sample::Index>(), byte in any::<u8>(), cut in any::<sample::Index>()) {
        let input: Vec<u8> = (0..3000_u32).map(|n| (n % 83) as u8).collect();
        let mut packed = codec.compress(&input);
        let at = at.index(packed.len());
        packed[at] = byte;
        let _ = codec.decompress(&packed, 1 << 16);
        packed.truncate(cut.index(packed.len() + 1));
        let _ = codec.decompress(&packed, 1 << 16);
    }
}
