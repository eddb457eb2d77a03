//! What the describing APIs answer, and that it changes with what happens.

use kafscale_broker::Settings;
use kafscale_protocol::{
    Array, ErrorCode,
    messages::{
        describe_cluster, describe_configs, describe_topic_partitions, find_coordinator, offset_for_leader_epoch,
    },
};

use crate::common::{Client, Cluster, batch};

/// Kafka's types of resources, and its sources of a value.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SOURCE_TOPIC: i8 = 1;
const SOURCE_START: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

/// A setting: value and source.
type Config = (Option<String>, i8);

async fn configs(client: &Client, resource_type: i8, resource_name: &str) -> Result<Vec<(String, Config)>, ErrorCode> {
    let resource = describe_configs::DescribeConfigsResource { resource_type, resource_name, ..Default::default() };
    let request = describe_configs::Request { resources: vec![resource].into(), ..Default::default() };
    let reply = client.call(4, &request).await;
    let response: describe_configs::Response<'_> = reply.read();
    let result = response.results.iter().next().expect("one result");
    let config = |config: describe_configs::DescribeConfigsResourceResult<'_>| {
        (config.name.to_owned(), (config.value.map(str::to_owned), config.config_source))
    };
    match result.error_code {
        ErrorCode::None => Ok(result.configs.iter().map(config).collect()),
        code => Err(code),
    }
}

async fn config(client: &Client, resource_type: i8, resource_name: &str, name: &str) -> Option<Config> {
    let all = configs(client, resource_type, resource_name).await.expect("the resource exists");
    all.into_iter().find(|(found, _)| found == name).map(|(_, config)| config)
}

#[tokio::test]
async fn incompatibility_22_settings_of_a_topic_are_those_it_was_created_with() {
    let client = Client::connect(&Cluster::new().start().await);
    assert_eq!(configs(&client, TOPIC, "t").await, Err(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(configs(&client, TOPIC, "a b").await, Err(ErrorCode::InvalidTopicException));
    client.create_topic("t", 1, &[("max.message.bytes", "5000"), ("retention.ms", "1000")]).await;
    client.create_topic("u", 1, &[]).await;
    let given = |value: &str| Some((Some(value.to_owned()), SOURCE_TOPIC));
    let default = |value: &str| Some((Some(value.to_owned()), SOURCE_DEFAULT));
    assert_eq!(config(&client, TOPIC, "t", "max.message.bytes").await, given("5000"));
    assert_eq!(config(&client, TOPIC, "t", "retention.ms").await, given("1000"));
    assert_eq!(config(&client, TOPIC, "t", "cleanup.policy").await, default("delete"));
    assert_eq!(config(&client, TOPIC, "u", "max.message.bytes").await, default("1048588"));
    assert_eq!(config(&client, TOPIC, "u", "no.such.setting").await, None);
    assert!(configs(&client, TOPIC, "u").await.unwrap().len() > 25, "all of Kafka's, not a few");
}

#[tokio::test]
async fn settings_of_a_broker_are_those_in_force() {
    let settings = Settings { node_id: 3, default_partitions: 6, ..Settings::default() };
    let client = Client::connect(&Cluster::with(settings).start().await);
    assert_eq!(config(&client, BROKER, "3", "num.partitions").await, Some((Some("6".to_owned()), SOURCE_START)));
    let default = Some((Some("true".to_owned()), SOURCE_DEFAULT));
    assert_eq!(config(&client, BROKER, "3", "auto.create.topics.enable").await, default);
    assert_eq!(configs(&client, BROKER, "").await, Ok(vec![]), "nothing was set for all brokers");
    assert_eq!(configs(&client, BROKER, "4").await, Err(ErrorCode::InvalidRequest));
    assert_eq!(configs(&client, BROKER, "x").await, Err(ErrorCode::InvalidRequest));
    assert_eq!(configs(&client, 99, "x").await, Err(ErrorCode::InvalidRequest));
}

#[tokio::test]
async fn only_the_settings_asked_for_come_with_synonyms_and_documentation() {
    let client = Client::connect(&Cluster::new().start().await);
    client.create_topic("t", 1, &[("max.message.bytes", "5000")]).await;
    let resource = describe_configs::DescribeConfigsResource {
        resource_type: TOPIC,
        resource_name: "t",
        configuration_keys: Some(vec!["max.message.bytes", "no.such.setting", "retention.ms"].into()),
    };
    let request = describe_configs::Request {
        resources: vec![resource.clone(), resource].into(),
        include_synonyms: true,
        include_documentation: true,
    };
    let reply = client.call(4, &request).await;
    let response: describe_configs::Response<'_> = reply.read();
    assert_eq!(response.results.len(), 1, "a resource named twice is described once");
    let result = response.results.iter().next().unwrap();
    let configs: Vec<_> = result.configs.iter().collect();
    let [config, retention] = &configs[..] else { panic!("{configs:?}") };
    let synonyms = |config: &describe_configs::DescribeConfigsResourceResult<'_>| {
        let synonyms = config.synonyms.iter();
        synonyms.map(|s| (s.name.to_owned(), s.value.unwrap().to_owned(), s.source)).collect::<Vec<_>>()
    };
    let is = |name: &str, value: &str, source| (name.to_owned(), value.to_owned(), source);
    let own = is("max.message.bytes", "5000", SOURCE_TOPIC);
    assert_eq!(synonyms(config), [own, is("message.max.bytes", "1048588", SOURCE_DEFAULT)]);
    assert_eq!(retention.value, Some("604800000"));
    assert_eq!(synonyms(retention), [], "Kafka's default is one of log.retention.hours");
    assert_eq!(config.config_type, 3, "an int");
    assert!(config.documentation.is_some());
}

#[tokio::test]
async fn the_cluster_is_its_live_broker_wherever_that_is() {
    let mut cluster = Cluster::new();
    let mut ids = Vec::new();
    for port in [9092, 19092] {
        cluster.settings =
            Settings { node_id: 1, advertised_port: port, rack: Some("a".to_owned()), ..Settings::default() };
        let client = Client::connect(&cluster.start().await);
        let request = describe_cluster::Request { include_cluster_authorized_operations: true, ..Default::default() };
        let reply = client.call(2, &request).await;
        let response: describe_cluster::Response<'_> = reply.read();
        let brokers: Vec<_> = response.brokers.iter().map(|b| (b.broker_id, b.host, b.port, b.rack)).collect();
        assert_eq!(brokers, [(1, "127.0.0.1", i32::from(port), Some("a"))]);
        assert_eq!((response.error_code, response.controller_id), (ErrorCode::None, 1));
        assert_eq!(response.cluster_authorized_operations, 8096, "what Kafka reports without an authorizer");
        ids.push(response.cluster_id.to_owned());
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[0].len(), 22);
    let client = Client::connect(&cluster.start().await);
    for (endpoint_type, expected) in [(2, ErrorCode::MismatchedEndpointType), (9, ErrorCode::UnsupportedEndpointType)] {
        let reply = client.call(1, &describe_cluster::Request { endpoint_type, ..Default::default() }).await;
        assert_eq!(reply.read::<describe_cluster::Response<'_>>().error_code, expected);
    }
}

/// One page: topics with their partitions, and where the next begins.
async fn page(
    client: &Client,
    topics: &[&str],
    limit: i32,
    cursor: Option<(String, i32)>,
) -> (Vec<(String, ErrorCode, Vec<i32>)>, Option<(String, i32)>) {
    let cursor = cursor.as_ref();
    let request = describe_topic_partitions::Request {
        topics: topics.iter().map(|&name| describe_topic_partitions::TopicRequest { name }).collect(),
        response_partition_limit: limit,
        cursor: cursor
            .map(|(topic_name, index)| describe_topic_partitions::Cursor { topic_name, partition_index: *index }),
    };
    let reply = client.call(0, &request).await;
    let response: describe_topic_partitions::Response<'_> = reply.read();
    let topic = |topic: describe_topic_partitions::DescribeTopicPartitionsResponseTopic<'_>| {
        let partitions = topic.partitions.iter().map(|partition| partition.partition_index).collect();
        (topic.name.unwrap().to_owned(), topic.error_code, partitions)
    };
    let next = response.next_cursor.as_ref().map(|cursor| (cursor.topic_name.to_owned(), cursor.partition_index));
    (response.topics.iter().map(topic).collect(), next)
}

#[tokio::test]
async fn topics_come_page_by_page_in_the_order_of_their_names() {
    let client = Client::connect(&Cluster::new().start().await);
    for (name, partitions) in [("c", 1), ("a", 2), ("b", 3)] {
        client.create_topic(name, partitions, &[]).await;
    }
    let topic = |name: &str, partitions: &[i32]| (name.to_owned(), ErrorCode::None, partitions.to_vec());
    let (first, next) = page(&client, &[], 3, None).await;
    assert_eq!(first, [topic("a", &[0, 1]), topic("b", &[0])]);
    assert_eq!(next, Some(("b".to_owned(), 1)));
    let (second, next) = page(&client, &[], 2, next).await;
    assert_eq!((second, &next), (vec![topic("b", &[1, 2])], &Some(("c".to_owned(), 0))));
    let (third, next) = page(&client, &[], 2, next).await;
    assert_eq!((third, next), (vec![topic("c", &[0])], None));

    let (asked, next) = page(&client, &["c", "nowhere", "a", "c"], 2000, None).await;
    let missing = ("nowhere".to_owned(), ErrorCode::UnknownTopicOrPartition, vec![]);
    assert_eq!((asked, next), (vec![topic("a", &[0, 1]), topic("c", &[0]), missing], None));
    // The cursor's topic may be gone by the time of the next page, and a bad one is refused.
    let (after, _) = page(&client, &[], 2000, Some(("bb".to_owned(), 7))).await;
    assert_eq!(after, [topic("c", &[0])]);
    let (refused, _) = page(&client, &["a"], 2000, Some(("a".to_owned(), -1))).await;
    assert_eq!(refused, [("a".to_owned(), ErrorCode::InvalidRequest, vec![])]);
}

async fn epoch_end(client: &Client, partition: i32, current: i32, epoch: i32) -> (ErrorCode, i32, i64) {
    let asked = offset_for_leader_epoch::OffsetForLeaderPartition {
        partition,
        current_leader_epoch: current,
        leader_epoch: epoch,
    };
    let topic = offset_for_leader_epoch::OffsetForLeaderTopic { topic: "t", partitions: vec![asked].into() };
    let request = offset_for_leader_epoch::Request { topics: vec![topic].into(), ..Default::default() };
    let reply = client.call(4, &request).await;
    let response: offset_for_leader_epoch::Response<'_> = reply.read();
    let end = response.topics.iter().next().unwrap().partitions.iter().next().unwrap();
    (end.error_code, end.leader_epoch, end.end_offset)
}

#[tokio::test]
async fn incompatibility_17_the_only_leader_epoch_ends_where_the_log_ends() {
    let client = Client::connect(&Cluster::new().start().await);
    assert_eq!(epoch_end(&client, 0, -1, 0).await, (ErrorCode::UnknownTopicOrPartition, -1, -1));
    client.create_topic("t", 1, &[]).await;
    assert_eq!(epoch_end(&client, 0, 0, 0).await, (ErrorCode::None, 0, 0));
    client.produce("t", 0, batch(5).build()).await.offset();
    assert_eq!(epoch_end(&client, 0, 0, 0).await, (ErrorCode::None, 0, 5));
    assert_eq!(epoch_end(&client, 0, -1, 0).await, (ErrorCode::None, 0, 5));
    assert_eq!(epoch_end(&client, 0, -1, 3).await, (ErrorCode::None, -1, -1), "an epoch that never was");
    assert_eq!(epoch_end(&client, 0, 1, 0).await, (ErrorCode::UnknownLeaderEpoch, -1, -1));
    assert_eq!(epoch_end(&client, 1, -1, 0).await, (ErrorCode::UnknownTopicOrPartition, -1, -1));
}

#[tokio::test]
async fn coordinators_are_this_broker() {
    let settings = Settings { node_id: 5, advertised_host: "broker.example".to_owned(), ..Settings::default() };
    let client = Client::connect(&Cluster::with(settings).start().await);
    for version in 0..4 {
        let reply = client.call(version, &find_coordinator::Request { key: "g", ..Default::default() }).await;
        let found: find_coordinator::Response<'_> = reply.read();
        assert_eq!((found.error_code, found.node_id, found.host), (ErrorCode::None, 5, "broker.example"));
    }
    let many = |key_type| find_coordinator::Request {
        key_type,
        coordinator_keys: vec!["g", "h"].into(),
        ..Default::default()
    };
    let reply = client.call(4, &many(0)).await;
    let found: find_coordinator::Response<'_> = reply.read();
    let keys: Vec<_> = found.coordinators.iter().map(|c| (c.key, c.error_code, c.node_id)).collect();
    assert_eq!(keys, [("g", ErrorCode::None, 5), ("h", ErrorCode::None, 5)]);
    let reply = client.call(4, &many(2)).await;
    let refused: find_coordinator::Response<'_> = reply.read();
    assert!(refused.coordinators.iter().all(|c| c.error_code == ErrorCode::InvalidRequest && c.node_id == -1));
    let none = find_coordinator::Request { coordinator_keys: Array::EMPTY, ..Default::default() };
    let reply = client.call(6, &none).await;
    assert!(reply.read::<find_coordinator::Response<'_>>().coordinators.is_empty());
}
