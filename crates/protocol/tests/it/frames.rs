//! Whole frames: headers, parts, and what a frame must not be.

use bytes::Bytes;
use kafscale_protocol::messages::{alter_user_scram_credentials, api_versions, fetch, metadata, produce};
use kafscale_protocol::*;

#[test]
fn fetched_records_are_segments_and_never_copied() {
    let one = Bytes::from(vec![1u8; 100]);
    let two = Bytes::from(vec![2u8; 50]);
    let partition = |index, records| fetch::PartitionData { partition_index: index, records, ..Default::default() };
    let response = fetch::Response {
        responses: vec![fetch::FetchableTopicResponse {
            topic: "t",
            partitions: vec![
                partition(0, vec![one.clone(), two.clone()].into()),
                partition(1, Records::EMPTY),
                partition(2, one.clone().into()),
            ]
            .into(),
            ..Default::default()
        }]
        .into(),
        ..Default::default()
    };
    for version in 4..=18 {
        let encoded = encode_response(version, 7, &response).unwrap();
        let shared: Vec<_> = [&one, &two, &one].map(|bytes| bytes.as_ptr()).to_vec();
        let found: Vec<_> = encoded.parts.iter().map(|part| part.as_ptr()).filter(|p| shared.contains(p)).collect();
        assert_eq!(found, shared, "version {version}");
        // Head, two buffers, head, one buffer, and what follows the last records in flexible versions.
        assert_eq!(encoded.parts.len(), if version >= 12 { 6 } else { 5 }, "version {version}");
        let bytes = encoded.to_bytes();
        assert_eq!(bytes.len(), encoded.len);
        assert_eq!(i32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len() - 4);
        let (correlation_id, body) = read_response_header(ApiKey::Fetch, version, &bytes[4..]).unwrap();
        assert_eq!(correlation_id, 7);
        let back = fetch::Response::read(version, body).unwrap();
        let partitions: Vec<_> = back.responses.iter().next().unwrap().partitions.iter().collect();
        assert_eq!(partitions[0].records, vec![one.clone(), two.clone()].into());
        assert_eq!(partitions[1].records.as_slice(), Some(&[][..]));
        assert_eq!(partitions[2].records.borrowed(), Some(&one[..]));
    }
}

#[test]
fn api_versions_of_any_version_has_a_readable_header_and_an_old_response_header() {
    let mut frame = vec![];
    frame.extend_from_slice(&18i16.to_be_bytes());
    frame.extend_from_slice(&99i16.to_be_bytes());
    frame.extend_from_slice(&5i32.to_be_bytes());
    frame.extend_from_slice(b"something that a later header may have");
    let (header, _) = RequestHeader::read(&frame).unwrap();
    assert_eq!((header.api(), header.api_version, header.correlation_id), (Some(ApiKey::ApiVersions), 99, 5));
    assert_eq!(RequestHeader::read(&frame[..8]).unwrap().0.correlation_id, 5);
    assert!(matches!(RequestHeader::read(&frame[..7]), Err(DecodeError::Truncated { .. })));

    let bytes = encode_response(4, 5, &api_versions::Response::default()).unwrap().to_bytes();
    // Length, correlation id, then at once the error code: no tagged fields in the header. And none at its default behind.
    assert_eq!(bytes[..], [0, 0, 0, 12, 0, 0, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn the_header_of_a_served_version_is_read_strictly() {
    let frame = encode_request(9, 3, Some("client"), &produce::Request::default()).unwrap().to_bytes();
    let (header, body) = RequestHeader::read(&frame[4..]).unwrap();
    assert_eq!(header, RequestHeader { api_key: 0, api_version: 9, correlation_id: 3, client_id: Some("client") });
    assert!(produce::Request::read(9, body).unwrap().topic_data.is_empty());
    assert!(RequestHeader::read(&frame[4..15]).is_err());
}

#[test]
fn bytes_behind_the_message_and_unknown_versions_are_refused() {
    let bytes = encode_request(9, 3, None, &produce::Request::default()).unwrap().to_bytes();
    let mut frame = bytes[4..].to_vec();
    frame.push(0);
    let (_, body) = RequestHeader::read(&frame).unwrap();
    assert_eq!(produce::Request::read(9, body), Err(DecodeError::TrailingBytes { count: 1 }));
    assert_eq!(produce::Request::read(2, body), Err(DecodeError::Version { api: "Produce", version: 2 }));
    assert!(matches!(encode_response(14, 0, &produce::Response::default()), Err(EncodeError::Version { .. })));
}

#[test]
fn librdkafka_asks_for_all_topics_with_three_bytes_too_many() {
    // As librdkafka 2.16.1 sends it in version 13: a null list, three zeros that it meant to erase, the two flags.
    let frame = b"\x00\x03\x00\x0d\x00\x00\x00\x03\x00\x07rdkafka\x00\x00\x00\x00\x00\x01\x00\x00";
    let (header, body) = RequestHeader::read(frame).unwrap();
    assert!(metadata::Request::read(header.api_version, body).unwrap().topics.is_none());
}

#[test]
fn librdkafka_ends_a_change_of_passwords_twice() {
    let mut frame =
        encode_request(0, 3, None, &alter_user_scram_credentials::Request::default()).unwrap().to_bytes().to_vec();
    frame.push(0);
    let (header, body) = RequestHeader::read(&frame[4..]).unwrap();
    assert!(alter_user_scram_credentials::Request::read(header.api_version, body).unwrap().upsertions.is_empty());
}

#[test]
fn what_a_version_cannot_carry_is_dropped_if_ignorable_and_refused_if_not() {
    let partition = fetch::PartitionData { log_start_offset: 5, ..Default::default() };
    let response = |partition| fetch::Response {
        responses: vec![fetch::FetchableTopicResponse { partitions: vec![partition].into(), ..Default::default() }]
            .into(),
        ..Default::default()
    };
    assert!(encode_response(4, 0, &response(partition.clone())).is_ok());
    let refused = encode_response(4, 0, &response(fetch::PartitionData { preferred_read_replica: 1, ..partition }));
    assert_eq!(refused, Err(EncodeError::NotCarried { field: "PartitionData.preferred_read_replica", version: 4 }));
}
