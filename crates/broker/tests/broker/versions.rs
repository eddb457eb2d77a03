//! ApiVersions, and frames that are not what a broker serves. Some tests are named after the incompatibilities by which
//! other brokers lost clients.

use bytes::BytesMut;
use kafscale_broker::api::Answer;
use kafscale_protocol::{
    ApiKey, Body, ErrorCode, encode_request,
    messages::{api_versions, create_topics, metadata},
};

use crate::common::{Client, Cluster};

/// Sends a frame (without its length) and returns the answer without its length, or why the connection was closed.
async fn exchange(client: &Client, frame: &[u8]) -> Result<Vec<u8>, String> {
    match client.session.on_frame(BytesMut::from(frame)).await {
        Answer::Respond { parts, .. } => Ok(parts.concat().split_off(4)),
        Answer::Close(reason) => Err(reason),
        Answer::Silent => panic!("no answer"),
    }
}

fn header(api_key: i16, api_version: i16, correlation_id: i32) -> Vec<u8> {
    [&api_key.to_be_bytes()[..], &api_version.to_be_bytes(), &correlation_id.to_be_bytes()].concat()
}

fn software<'a>(name: &'a str, version: &'a str) -> api_versions::Request<'a> {
    api_versions::Request { client_software_name: name, client_software_version: version }
}

#[tokio::test]
async fn incompatibility_01_produce_is_advertised_from_version_0() {
    let client = Client::connect(&Cluster::new().start().await);
    for version in 0..=4 {
        let reply = client.call(version, &software("kcat", "1.7.1")).await;
        let response: api_versions::Response<'_> = reply.read();
        assert_eq!(response.error_code, ErrorCode::None);
        let produce = response.api_keys.iter().find(|api| api.api_key == 0).expect("Produce");
        assert_eq!((produce.min_version, produce.max_version), (0, 13));
    }
    let closed = exchange(&client, &[header(0, 2, 1), vec![0; 20]].concat()).await;
    assert!(closed.expect_err("not served").contains("Produce version 2"));
}

#[tokio::test]
async fn incompatibility_02_api_versions_of_any_version_is_answered() {
    let client = Client::connect(&Cluster::new().start().await);
    for version in [5, 6, 99, i16::MAX, -1] {
        let frame = [&header(18, version, 77)[..], b"whatever a later version sends"].concat();
        let answer = exchange(&client, &frame).await.expect("an answer");
        assert_eq!(answer[..4], 77i32.to_be_bytes());
        let response = api_versions::Response::read(0, &answer[4..]).expect("version 0");
        assert_eq!(response.error_code, ErrorCode::UnsupportedVersion);
        let ranges: Vec<_> =
            response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        assert_eq!(ranges, [(18, 0, 4)], "its own range");
    }
}

#[tokio::test]
async fn incompatibility_03_and_04_no_default_tags_and_no_feature_from_version_0() {
    let client = Client::connect(&Cluster::new().start().await);
    let frame = encode_request(3, 1, Some("c"), &software("kcat", "1.7.1")).unwrap().to_bytes();
    let answer = exchange(&client, &frame[4..]).await.expect("an answer");
    let response = api_versions::Response::read(3, &answer[4..]).expect("no tagged fields in the header");
    assert!(response.supported_features.iter().all(|feature| feature.min_version > 0));
    // A migration flag at its default would be the fourth tagged field, and the last bytes.
    assert!(!response.zk_migration_ready);
    assert_ne!(answer[answer.len() - 3..], [3, 1, 0]);
}

#[tokio::test]
async fn every_api_of_the_catalogue_is_advertised_as_it_is_served() {
    let client = Client::connect(&Cluster::new().start().await);
    let reply = client.call(4, &software("franz-go", "1.19.0")).await;
    let response: api_versions::Response<'_> = reply.read();
    let telemetry = [ApiKey::GetTelemetrySubscriptions, ApiKey::PushTelemetry].map(ApiKey::code);
    let expected: Vec<_> = ApiKey::advertised().filter(|api| !telemetry.contains(&api.api_key)).collect();
    assert_eq!(response.api_keys.iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn client_software_is_named_by_the_rules() {
    let client = Client::connect(&Cluster::new().start().await);
    for (name, version, expected) in [
        ("apache-kafka-java", "4.3.1", ErrorCode::None),
        ("a", "1", ErrorCode::None),
        ("", "1", ErrorCode::InvalidRequest),
        ("-a", "1", ErrorCode::InvalidRequest),
        ("a b", "1", ErrorCode::InvalidRequest),
        ("a", "1.", ErrorCode::InvalidRequest),
    ] {
        let reply = client.call(3, &software(name, version)).await;
        assert_eq!(reply.read::<api_versions::Response<'_>>().error_code, expected, "{name:?} {version:?}");
    }
}

#[tokio::test]
async fn what_is_no_request_closes_its_connection_and_says_why() {
    let client = Client::connect(&Cluster::new().start().await);
    let null_name = [header(3, 1, 1), vec![0, 0, 0, 0, 0, 1, 0xff, 0xff]].concat();
    let cases = [
        (vec![0, 18], "RequestHeader.api_version"),
        (header(999, 0, 1), "api key 999"),
        (header(1, 99, 1), "Fetch version 99"),
        ([header(3, 0, 1), vec![0, 0, 0x7f, 0xff, 0xff, 0xff]].concat(), "elements announced"),
        (null_name, "MetadataRequestTopic.name"),
        ([header(3, 0, 1), vec![0, 0, 0, 0, 0, 0, 1]].concat(), "after the end"),
    ];
    for (frame, reason) in cases {
        let closed = exchange(&client, &frame).await.expect_err("closed");
        assert!(closed.contains(reason), "{closed}");
    }
    let other = Client::connect(client.session.broker());
    assert_eq!(other.create_topic("t", 1, &[]).await.0.len(), 16, "nobody else notices");
}

#[tokio::test]
async fn incompatibility_06_a_bad_setting_is_an_error_and_not_a_closed_connection() {
    let client = Client::connect(&Cluster::new().start().await);
    let configs = vec![create_topics::CreatableTopicConfig { name: "retention.ms", value: Some("for ever") }];
    let topic = create_topics::CreatableTopic {
        name: "t",
        num_partitions: 1,
        replication_factor: 1,
        configs: configs.into(),
        ..Default::default()
    };
    let request = create_topics::Request { topics: vec![topic].into(), ..Default::default() };
    for version in 2..=7 {
        let reply = client.call(version, &request).await;
        let result = reply.read::<create_topics::Response<'_>>().topics.iter().next().unwrap();
        assert_eq!(result.error_code, ErrorCode::InvalidConfig);
        assert!(result.error_message.unwrap().contains("retention.ms"));
    }
}

#[tokio::test]
async fn incompatibility_21_a_created_topic_is_described_in_full() {
    let client = Client::connect(&Cluster::new().start().await);
    let topic = |name, num_partitions| create_topics::CreatableTopic {
        name,
        num_partitions,
        replication_factor: -1,
        configs: vec![create_topics::CreatableTopicConfig { name: "segment.ms", value: Some("1000") }].into(),
        ..Default::default()
    };
    let topics = vec![topic("a", 3), topic("b", -1)];
    let reply = client.call(7, &create_topics::Request { topics: topics.into(), ..Default::default() }).await;
    let response: create_topics::Response<'_> = reply.read();
    let counts: Vec<_> = response.topics.iter().map(|t| (t.name, t.num_partitions, t.replication_factor)).collect();
    assert_eq!(counts, [("a", 3, 1), ("b", 1, 1)]);
    for topic in response.topics.iter() {
        let configs: Vec<_> =
            topic.configs.expect("settings").iter().map(|c| (c.name, c.value, c.config_source)).collect();
        assert!(configs.len() > 25);
        assert!(configs.contains(&("segment.ms", Some("1000"), 1)));
        assert!(configs.contains(&("cleanup.policy", Some("delete"), 5)));
    }
}

#[tokio::test]
async fn incompatibility_27_topic_ids_are_never_zero_and_stay() {
    let client = Client::connect(&Cluster::new().start().await);
    let created = client.create_topic("t", 1, &[]).await;
    assert!(!created.is_zero());
    for version in 10..=13 {
        let reply = client.call(version, &metadata::Request::default()).await;
        let ids: Vec<_> = reply.read::<metadata::Response<'_>>().topics.iter().map(|topic| topic.topic_id).collect();
        assert_eq!(ids, [created]);
    }
}
