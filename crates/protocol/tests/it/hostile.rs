//! Bytes that are not what they claim to be: decoders refuse them, and never panic.

use kafscale_protocol::*;
use proptest::prelude::*;

use crate::corpus::wire::read_write_read;
use crate::seeds::{Seed, seeds};

/// A golden body with some bytes changed, put in, or cut off.
fn mutated() -> impl Strategy<Value = (&'static Seed, Vec<u8>)> {
    let change = (any::<prop::sample::Index>(), 0..4u8, prop::sample::select(vec![0u8, 1, 0x7f, 0x80, 0xfe, 0xff]));
    let index = any::<prop::sample::Index>();
    (index, prop::collection::vec(change, 1..4)).prop_map(|(index, changes)| {
        let seed = index.get(seeds());
        let mut body = seed.body.clone();
        for (place, kind, byte) in changes {
            let place = place.index(body.len() + 1);
            match kind {
                0 => body.truncate(place),
                1 => body.insert(place, byte),
                _ if place < body.len() => body[place] = byte,
                _ => body.push(byte),
            }
        }
        (seed, body)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn mutated_messages_are_read_or_refused((seed, body) in mutated()) {
        let _ = read_write_read(seed.api, seed.request, seed.version, &body);
    }

    #[test]
    fn random_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..64)) {
        for &api in ApiKey::ALL {
            for version in api.facts().min..=api.facts().max {
                let _ = read_write_read(api, true, version, &body);
                let _ = read_write_read(api, false, version, &body);
            }
        }
        let _ = RequestHeader::read(&body);
    }
}

#[test]
fn every_truncation_of_a_message_is_refused() {
    for &Seed { api, request, version, ref body } in seeds() {
        assert_eq!(read_write_read(api, request, version, body), Ok(()));
        for len in 0..body.len() {
            assert!(read_write_read(api, request, version, &body[..len]).is_err(), "{api:?} {version} cut to {len}");
        }
    }
}

/// Reads a Produce request of version 9 from its body.
fn produce(body: &[u8]) -> Result<AnyRequest<'_>, DecodeError> {
    AnyRequest::read(ApiKey::Produce, 9, body)
}

#[test]
fn refusals_name_the_field() {
    let count = AnyRequest::read(ApiKey::Metadata, 0, &[0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(count, Err(DecodeError::Count { field: "Request.topics", count: 0x7fff_ffff, remaining: 0 }));
    let null = AnyRequest::read(ApiKey::Metadata, 0, &[0xff, 0xff, 0xff, 0xff]);
    assert_eq!(null, Err(DecodeError::Null { field: "Request.topics" }));
    let negative = AnyRequest::read(ApiKey::Metadata, 0, &[0xff, 0xff, 0xff, 0xfe]);
    assert_eq!(negative, Err(DecodeError::NegativeLength { field: "Request.topics", length: -2 }));
    let utf8 = AnyRequest::read(ApiKey::Metadata, 0, &[0, 0, 0, 1, 0, 1, 0xff]);
    assert_eq!(utf8, Err(DecodeError::Utf8 { field: "MetadataRequestTopic.name" }));
    let varint = produce(&[0xff, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(varint, Err(DecodeError::Varint { field: "Request.transactional_id" }));
    let long = produce(&[0x81, 0x80, 0x02]);
    assert_eq!(long, Err(DecodeError::StringTooLong { field: "Request.transactional_id", length: 32768 }));
    // Acks and timeout, no topics, then 127 tagged fields of which the second is missing.
    let tags = produce(&[0, 0, 1, 0, 0, 0, 0, 1, 127, 5, 1, 0]);
    assert_eq!(tags, Err(DecodeError::Truncated { field: "Request.tagged_fields", needed: 1, remaining: 0 }));
}

#[test]
fn unknown_tagged_fields_are_passed_over() {
    let with = produce(&[0, 0, 1, 0, 0, 0, 0, 1, 2, 5, 1, 0xaa, 0xff, 0x01, 2, 1, 2]);
    assert_eq!(with, produce(&[0, 0, 1, 0, 0, 0, 0, 1, 0]));
    assert!(with.is_ok());
}

#[test]
fn a_tagged_field_of_the_wrong_size_is_refused() {
    // Fetch 12: the tagged cluster id "a" in three bytes instead of two.
    let fields = [[0xff; 4], [0; 4], [0; 4], [0; 4]].concat();
    let body = [&fields[..], &[0], &[0; 4], &[0; 4], &[1, 1, 1], &[1, 0, 3, 2, b'a', 0]].concat();
    let read = AnyRequest::read(ApiKey::Fetch, 12, &body);
    assert_eq!(read, Err(DecodeError::TagSize { field: "Request.tagged_fields", count: 1 }));
}
