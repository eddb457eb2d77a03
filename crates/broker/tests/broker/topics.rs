//! The life of topics as clients see it: created, found, described, deleted, created anew.

use kafscale_broker::Settings;
use kafscale_protocol::{
    Array, ErrorCode, Uuid,
    messages::{create_topics, delete_topics, metadata},
};

use crate::common::{Client, Cluster, batch};

/// A topic of a Metadata answer: error, name, id, partitions.
type Found = (ErrorCode, Option<String>, Uuid, usize);

async fn metadata(client: &Client, version: i16, request: &metadata::Request<'_>) -> Vec<Found> {
    let reply = client.call(version, request).await;
    let response: metadata::Response<'_> = reply.read();
    let found = |topic: metadata::MetadataResponseTopic<'_>| {
        (topic.error_code, topic.name.map(str::to_owned), topic.topic_id, topic.partitions.len())
    };
    response.topics.iter().map(found).collect()
}

fn named<'a>(names: &[&'a str], allow_auto_topic_creation: bool) -> metadata::Request<'a> {
    let topic = |&name: &&'a str| metadata::MetadataRequestTopic { name: Some(name), ..Default::default() };
    let topics = Some(names.iter().map(topic).collect());
    metadata::Request { topics, allow_auto_topic_creation, ..Default::default() }
}

/// What CreateTopics answers for one topic: error, partitions, and the settings with their sources.
async fn create(client: &Client, topic: create_topics::CreatableTopic<'_>, validate_only: bool) -> (ErrorCode, i32) {
    let request = create_topics::Request { topics: vec![topic].into(), validate_only, ..Default::default() };
    let reply = client.call(7, &request).await;
    let response: create_topics::Response<'_> = reply.read();
    let result = response.topics.iter().next().expect("one result");
    (result.error_code, result.num_partitions)
}

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> create_topics::CreatableTopic<'_> {
    create_topics::CreatableTopic { name, num_partitions, replication_factor, ..Default::default() }
}

pub async fn delete_by_name(client: &Client, version: i16, names: &[&str]) -> Vec<(Option<String>, ErrorCode)> {
    let state = |&name| delete_topics::DeleteTopicState { name: Some(name), ..Default::default() };
    let request = match version {
        ..6 => delete_topics::Request { topic_names: names.iter().copied().collect(), ..Default::default() },
        _ => delete_topics::Request { topics: names.iter().map(state).collect(), ..Default::default() },
    };
    deleted(client, version, &request).await
}

async fn deleted(
    client: &Client,
    version: i16,
    request: &delete_topics::Request<'_>,
) -> Vec<(Option<String>, ErrorCode)> {
    let reply = client.call(version, request).await;
    let response: delete_topics::Response<'_> = reply.read();
    response.responses.iter().map(|result| (result.name.map(str::to_owned), result.error_code)).collect()
}

#[tokio::test]
async fn a_topic_is_created_described_and_deleted_and_its_successor_has_another_id() {
    let cluster = Cluster::new();
    let client = Client::connect(&cluster.start().await);
    let ask = named(&["t"], false);
    assert_eq!(metadata(&client, 12, &ask).await[0].0, ErrorCode::UnknownTopicOrPartition);
    let id = client.create_topic("t", 3, &[]).await;
    assert!(!id.is_zero());
    assert_eq!(metadata(&client, 12, &ask).await, [(ErrorCode::None, Some("t".to_owned()), id, 3)]);
    assert_eq!(client.produce("t", 2, batch(1).build()).await.offset(), 0);

    let client = Client::connect(&cluster.start().await);
    assert_eq!(metadata(&client, 12, &ask).await[0].2, id, "the id outlives the broker");
    assert_eq!(delete_by_name(&client, 4, &["t"]).await, [(Some("t".to_owned()), ErrorCode::None)]);
    assert_eq!(metadata(&client, 12, &ask).await[0].0, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(client.produce("t", 2, batch(1).build()).await.error, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(delete_by_name(&client, 6, &["t"]).await, [(Some("t".to_owned()), ErrorCode::UnknownTopicOrPartition)]);

    let successor = client.create_topic("t", 1, &[]).await;
    assert_ne!(successor, id);
    assert_eq!(metadata(&client, 12, &ask).await, [(ErrorCode::None, Some("t".to_owned()), successor, 1)]);
    assert_eq!(client.produce("t", 0, batch(1).build()).await.offset(), 0, "offsets begin anew");
}

#[tokio::test]
async fn metadata_lists_all_topics_and_its_broker_in_every_version() {
    let client = Client::connect(&Cluster::new().start().await);
    client.create_topic("b", 2, &[]).await;
    client.create_topic("a", 1, &[]).await;
    for version in 0..=13 {
        let all = metadata::Request { topics: (version == 0).then_some(Array::EMPTY), ..Default::default() };
        let reply = client.call(version, &all).await;
        let response: metadata::Response<'_> = reply.read();
        let topics: Vec<_> = response.topics.iter().map(|topic| topic.name.unwrap().to_owned()).collect();
        assert_eq!(topics, ["a", "b"], "version {version}");
        let broker = response.brokers.iter().next().expect("one broker");
        assert_eq!((broker.node_id, broker.host, broker.port), (0, "127.0.0.1", 9092));
        for partition in response.topics.iter().flat_map(|topic| topic.partitions.iter().collect::<Vec<_>>()) {
            assert_eq!(partition.leader_id, broker.node_id);
            assert_eq!(partition.replica_nodes.iter().collect::<Vec<_>>(), [broker.node_id]);
            assert_eq!(partition.leader_epoch, if version >= 7 { 0 } else { -1 });
        }
        if version > 0 {
            let none = metadata::Request { topics: Some(Array::EMPTY), ..Default::default() };
            assert_eq!(metadata(&client, version, &none).await, [], "version {version}");
        }
    }
}

#[tokio::test]
async fn metadata_creates_topics_where_it_may() {
    let settings = Settings { default_partitions: 4, ..Settings::default() };
    let client = Client::connect(&Cluster::with(settings.clone()).start().await);
    assert_eq!(metadata(&client, 12, &named(&["t"], false)).await[0].0, ErrorCode::UnknownTopicOrPartition);
    let created = metadata(&client, 12, &named(&["t", "t", "u", "a b"], true)).await;
    let short: Vec<_> =
        created.iter().map(|(code, name, _, count)| (*code, name.as_deref().unwrap(), *count)).collect();
    let invalid = (ErrorCode::InvalidTopicException, "a b", 0);
    assert_eq!(short, [(ErrorCode::None, "t", 4), (ErrorCode::None, "u", 4), invalid]);
    // Before version 4 clients could not forbid it.
    assert_eq!(metadata(&client, 1, &named(&["v"], true)).await[0].0, ErrorCode::None);

    let settings = Settings { auto_create_topics: false, ..settings };
    let client = Client::connect(&Cluster::with(settings).start().await);
    assert_eq!(metadata(&client, 12, &named(&["t"], true)).await[0].0, ErrorCode::UnknownTopicOrPartition);
}

#[tokio::test]
async fn topics_are_found_by_id() {
    let client = Client::connect(&Cluster::new().start().await);
    let id = client.create_topic("t", 1, &[]).await;
    let unknown = Uuid([7; 16]);
    let by_id = |topic_id| metadata::MetadataRequestTopic { topic_id, name: None };
    let request = metadata::Request { topics: Some(vec![by_id(id), by_id(unknown)].into()), ..Default::default() };
    let found = metadata(&client, 12, &request).await;
    assert_eq!(found[0], (ErrorCode::None, Some("t".to_owned()), id, 1));
    assert_eq!(found[1], (ErrorCode::UnknownTopicId, None, unknown, 0));
    assert_eq!(metadata(&client, 12, &named(&["t"], true)).await[0].2, id, "nothing was created for an id");

    let state = |topic_id| delete_topics::DeleteTopicState { name: None, topic_id };
    let request = delete_topics::Request { topics: vec![state(id), state(unknown)].into(), ..Default::default() };
    let expected = [(Some("t".to_owned()), ErrorCode::None), (None, ErrorCode::UnknownTopicId)];
    assert_eq!(deleted(&client, 6, &request).await, expected);
}

#[tokio::test]
async fn a_deletion_that_contradicts_itself_deletes_nothing_by_it() {
    let client = Client::connect(&Cluster::new().start().await);
    let id = client.create_topic("t", 1, &[]).await;
    client.create_topic("u", 1, &[]).await;
    let state = |name, topic_id| delete_topics::DeleteTopicState { name, topic_id };
    let topics = vec![state(Some("u"), id), state(None, Uuid::ZERO)];
    let results = deleted(&client, 6, &delete_topics::Request { topics: topics.into(), ..Default::default() }).await;
    assert_eq!(results, [(Some("u".to_owned()), ErrorCode::InvalidRequest), (None, ErrorCode::InvalidRequest)]);
    let again = delete_by_name(&client, 6, &["u", "u"]).await;
    assert_eq!(again[0].1, ErrorCode::None);
    assert_eq!(again[1].1, ErrorCode::InvalidRequest);
    let left = metadata(&client, 12, &metadata::Request::default()).await;
    assert_eq!(left.iter().map(|found| found.1.as_deref().unwrap()).collect::<Vec<_>>(), ["t"]);
}

#[tokio::test]
async fn what_cannot_be_created_is_refused_by_its_own_error() {
    let client = Client::connect(&Cluster::new().start().await);
    client.create_topic("taken.name", 1, &[]).await;
    let config = |name, value| create_topics::CreatableTopicConfig { name, value };
    let with_all = |config, count, factor| create_topics::CreatableTopic {
        configs: vec![config].into(),
        ..topic("t", count, factor)
    };
    let with = |config| with_all(config, 1, 1);
    let taken = |config, count, factor| create_topics::CreatableTopic {
        configs: vec![config].into(),
        ..topic("taken.name", count, factor)
    };
    let assignment =
        |partition_index| create_topics::CreatableReplicaAssignment { partition_index, broker_ids: vec![0].into() };
    let assigned = |indexes: &[i32], count| create_topics::CreatableTopic {
        assignments: indexes.iter().map(|&index| assignment(index)).collect(),
        ..topic("t", count, -1)
    };
    let cases = [
        (topic("", 1, 1), ErrorCode::InvalidTopicException),
        (topic("..", 1, 1), ErrorCode::InvalidTopicException),
        (topic("a/b", 1, 1), ErrorCode::InvalidTopicException),
        (topic("taken_name", 1, 1), ErrorCode::InvalidTopicException),
        (topic("__cluster_metadata", 1, 1), ErrorCode::InvalidRequest),
        (topic("taken.name", 1, 1), ErrorCode::TopicAlreadyExists),
        (topic("t", 0, 1), ErrorCode::InvalidPartitions),
        (topic("t", -2, 1), ErrorCode::InvalidPartitions),
        (topic("t", 10_001, 1), ErrorCode::PolicyViolation),
        (topic("t", 1, 0), ErrorCode::InvalidReplicationFactor),
        (topic("t", 1, -2), ErrorCode::InvalidReplicationFactor),
        (with(config("no.such.config", Some("1"))), ErrorCode::InvalidConfig),
        (with(config("retention.ms", Some("soon"))), ErrorCode::InvalidConfig),
        (with(config("retention.ms", None)), ErrorCode::InvalidConfig),
        (assigned(&[0, 2], -1), ErrorCode::InvalidReplicaAssignment),
        (assigned(&[0], 1), ErrorCode::InvalidRequest),
        // Kafka looks at the name, then at the settings, then at replication, then at partitions.
        (topic("a/b", 0, 0), ErrorCode::InvalidTopicException),
        (topic("taken.name", 0, 1), ErrorCode::TopicAlreadyExists),
        (topic("taken.name", 1, 0), ErrorCode::TopicAlreadyExists),
        (taken(config("no.such.config", None), 0, 0), ErrorCode::TopicAlreadyExists),
        (with_all(config("retention.ms", Some("soon")), 0, 0), ErrorCode::InvalidConfig),
        (topic("t", 0, 0), ErrorCode::InvalidReplicationFactor),
    ];
    for (wanted, expected) in cases {
        assert_eq!(create(&client, wanted.clone(), false).await.0, expected, "{wanted:?}");
    }
    assert_eq!(create(&client, topic("t", -1, -1), true).await, (ErrorCode::None, 1), "only validated");
    assert_eq!(create(&client, assigned(&[1, 0], -1), false).await, (ErrorCode::None, 2));
    assert_eq!(create(&client, topic("t", 1, 1), true).await.0, ErrorCode::TopicAlreadyExists);
}

#[tokio::test]
async fn a_name_twice_in_a_request_creates_nothing_of_that_name() {
    let client = Client::connect(&Cluster::new().start().await);
    let topics = vec![topic("twice", 1, 1), topic("once", 1, 1), topic("twice", 2, 1)];
    let request = create_topics::Request { topics: topics.into(), ..Default::default() };
    let reply = client.call(5, &request).await;
    let response: create_topics::Response<'_> = reply.read();
    let results: Vec<_> = response.topics.iter().map(|result| (result.name, result.error_code)).collect();
    assert_eq!(results, [("once", ErrorCode::None), ("twice", ErrorCode::InvalidRequest)]);
    let found = metadata(&client, 12, &named(&["once", "twice"], false)).await;
    assert_eq!((found[0].0, found[1].0), (ErrorCode::None, ErrorCode::UnknownTopicOrPartition));
}
