use proptest::prelude::*;

use super::*;
use kafscale_store::Body;

const PLACE: Place = Place { cluster_id: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff, generation: 3, position: 42 };

fn header() -> Header {
    Header {
        kind: Kind::Entries,
        cluster_id: PLACE.cluster_id,
        generation: PLACE.generation,
        position: PLACE.position,
        session: 7,
        write_id: WriteId { incarnation: 0xf0e0_d0c0_b0a0_9080_7060_5040_3020_1000, sequence: 9 },
        cluster_time_ms: 1_700_000_000_000,
        settled: 40,
        progress: Progress { position: 38, digest: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10 },
        entries_len: 0,
        payload_len: 0,
        entries_hash: 0,
    }
}

fn object() -> Vec<u8> {
    let payload = Body::new(vec![Bytes::from_static(b"pay"), Bytes::from_static(b"load")]);
    encode(&mut header(), &Bytes::from_static(b"entries"), &payload).unwrap().to_bytes().to_vec()
}

/// The object with one byte changed and the header's checksum made right again.
fn resealed(at: usize, byte: u8) -> Vec<u8> {
    let mut object = object();
    object[at] = byte;
    let crc = crc32c(&object[..140]);
    object[140..144].copy_from_slice(&crc.to_be_bytes());
    object
}

#[test]
fn golden_bytes() {
    let hex: String = object().iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = [
        "4b534c460001000000112233445566778899aabbccddeeff",
        "0000000000000003000000000000002a0000000000000007",
        "f0e0d0c0b0a0908070605040302010000000000000000009",
        "0000018bcfe5680000000000000000280000000000000026",
        "0102030405060708090a0b0c0d0e0f100000000700000000",
        "00000007e7a9733108a06b795bbf9e9d30dc14a6",
        "48d6a5df",
        "656e74726965737061796c6f6164",
    ]
    .concat();
    assert_eq!(hex, expected);
}

#[test]
fn what_was_encoded_is_decoded() {
    let frame = decode(object().into(), &PLACE).unwrap();
    let hash = xxhash_rust::xxh3::xxh3_128(b"entries");
    assert_eq!(frame.header, Header { entries_len: 7, payload_len: 7, entries_hash: hash, ..header() });
    assert_eq!(frame.entries, Bytes::from_static(b"entries"));
}

#[test]
fn the_payload_is_shared_and_not_copied() {
    let piece = Bytes::from(vec![5; 1000]);
    let body = encode(&mut header(), &Bytes::new(), &Body::from(piece.clone())).unwrap();
    assert_eq!(body.segments().last().unwrap().as_ptr(), piece.as_ptr());
}

#[test]
fn every_kind_of_mismatch_has_its_own_error() {
    let decode_at = |place| decode(object().into(), &place).unwrap_err();
    let other = Place { cluster_id: 1, ..PLACE };
    assert_eq!(decode_at(other), DecodeError::ClusterId { expected: 1, found: PLACE.cluster_id });
    assert_eq!(decode_at(Place { generation: 4, ..PLACE }), DecodeError::Generation { expected: 4, found: 3 });
    assert_eq!(decode_at(Place { position: 41, ..PLACE }), DecodeError::Position { expected: 41, found: 42 });

    let decode_bytes = |bytes: Vec<u8>| decode(bytes.into(), &PLACE).unwrap_err();
    assert_eq!(decode_bytes(resealed(0, b'X')), DecodeError::Magic);
    assert_eq!(decode_bytes(resealed(5, 2)), DecodeError::NewerVersion { version: 2 });
    assert_eq!(decode_bytes(resealed(5, 0)), DecodeError::Field { field: "version" });
    assert_eq!(decode_bytes(resealed(6, 2)), DecodeError::Field { field: "kind" });
    assert_eq!(decode_bytes(resealed(7, 1)), DecodeError::Field { field: "reserved byte" });
    assert_eq!(decode_bytes(resealed(80, 1)), DecodeError::Field { field: "settled position" });
    assert_eq!(decode_bytes(resealed(112, 0x10)), DecodeError::Field { field: "length of entries" });
    assert_eq!(decode_bytes(resealed(116, 0x10)), DecodeError::Field { field: "length of payload" });
    assert_eq!(decode_bytes(resealed(6, 1)), DecodeError::Field { field: "content of a fill" });
    assert_eq!(decode_bytes(resealed(124, 0)), DecodeError::EntriesHash);
    assert_eq!(decode_bytes(object()[..143].to_vec()), DecodeError::HeaderTruncated { len: 143 });
    assert_eq!(decode_bytes(object()[..150].to_vec()), DecodeError::EntriesTruncated { expected: 7, found: 6 });
}

#[test]
fn a_newer_version_is_named_even_if_its_checksum_lies_elsewhere() {
    let mut bytes = object();
    bytes[5] = 9;
    assert_eq!(decode_header(&bytes).unwrap_err(), DecodeError::NewerVersion { version: 9 });
}

#[test]
fn bounds_are_checked_before_anything_is_written() {
    let piece = Bytes::from(vec![0; ENTRIES_LEN_MAX + 1]);
    assert_eq!(encode(&mut header(), &piece, &Body::default()).unwrap_err(), TooLarge::Entries(ENTRIES_LEN_MAX + 1));
    let payload = Body::new(vec![piece; 17]);
    assert!(matches!(encode(&mut header(), &Bytes::new(), &payload), Err(TooLarge::Payload(_))));
}

proptest! {
    #[test]
    fn a_flipped_bit_in_header_or_entries_never_decodes(at in 0usize..151, bit in 0u8..8) {
        let mut bytes = object();
        bytes[at] ^= 1 << bit;
        prop_assert!(decode(bytes.into(), &PLACE).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(bytes.into(), &PLACE);
    }
}
