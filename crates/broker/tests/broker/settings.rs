//! Settings change, are seen, and take effect.

use kafscale_broker::{Settings, config::group::GroupConfig};
use kafscale_protocol::{
    ErrorCode,
    messages::{
        alter_configs, describe_configs, incremental_alter_configs as incremental, list_config_resources, produce,
    },
};
use kafscale_records::{BatchBuilder, Codec};

use crate::common::{Client, Cluster, NOW_MS, batch};

pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
const CLIENT_METRICS: i8 = 16;
pub const GROUP: i8 = 32;

pub const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// One change: name, operation, value.
pub type Change<'a> = (&'a str, i8, Option<&'a str>);

/// What IncrementalAlterConfigs answers for one resource: error and text.
pub async fn alter(client: &Client, kind: i8, name: &str, changes: &[Change<'_>]) -> (ErrorCode, String) {
    alter_all(client, &[(kind, name, changes)], false).await.remove(0)
}

async fn alter_all(
    client: &Client,
    resources: &[(i8, &str, &[Change<'_>])],
    validate_only: bool,
) -> Vec<(ErrorCode, String)> {
    let resources = resources.iter().map(|&(resource_type, resource_name, changes)| {
        let configs = changes.iter().map(|&(name, config_operation, value)| incremental::AlterableConfig {
            name,
            config_operation,
            value,
        });
        incremental::AlterConfigsResource { resource_type, resource_name, configs: configs.collect() }
    });
    let request = incremental::Request { resources: resources.collect(), validate_only };
    let reply = client.call(1, &request).await;
    let response: incremental::Response<'_> = reply.read();
    let told = |result: incremental::AlterConfigsResourceResponse<'_>| {
        (result.error_code, result.error_message.unwrap_or_default().to_owned())
    };
    response.responses.iter().map(told).collect()
}

/// Value and source of a setting.
pub async fn shown(client: &Client, resource_type: i8, resource_name: &str, name: &str) -> (Option<String>, i8) {
    let resource = describe_configs::DescribeConfigsResource {
        resource_type,
        resource_name,
        configuration_keys: Some(vec![name].into()),
    };
    let request = describe_configs::Request { resources: vec![resource].into(), ..Default::default() };
    let reply = client.call(4, &request).await;
    let response: describe_configs::Response<'_> = reply.read();
    let result = response.results.iter().next().expect("one resource");
    assert_eq!(result.error_code, ErrorCode::None, "{:?}", result.error_message);
    let config = result.configs.iter().next().expect("the setting exists");
    (config.value.map(str::to_owned), config.config_source)
}

pub fn value(text: &str, source: i8) -> (Option<String>, i8) {
    (Some(text.to_owned()), source)
}

pub fn ok() -> (ErrorCode, String) {
    (ErrorCode::None, String::new())
}

fn refused(code: ErrorCode, text: &str) -> (ErrorCode, String) {
    (code, text.to_owned())
}

#[tokio::test]
async fn single_settings_of_a_topic_change_and_outlive_the_broker() {
    let cluster = Cluster::new();
    let client = Client::connect(&cluster.start().await);
    client.create_topic("t", 1, &[("retention.ms", "1000")]).await;
    assert_eq!(alter(&client, TOPIC, "t", &[("max.message.bytes", SET, Some("500"))]).await, ok());
    assert_eq!(shown(&client, TOPIC, "t", "max.message.bytes").await, value("500", 1));
    assert_eq!(shown(&client, TOPIC, "t", "retention.ms").await, value("1000", 1));
    assert_eq!(client.produce("t", 0, batch(100).build()).await.error, ErrorCode::MessageTooLarge);
    let changes: &[Change<'_>] = &[("cleanup.policy", APPEND, Some("compact")), ("retention.ms", DELETE, None)];
    assert_eq!(alter(&client, TOPIC, "t", changes).await, ok());
    assert_eq!(alter(&client, TOPIC, "t", &[("cleanup.policy", SUBTRACT, Some("delete"))]).await, ok());
    let client = Client::connect(&cluster.start().await);
    assert_eq!(shown(&client, TOPIC, "t", "cleanup.policy").await, value("compact", 1));
    assert_eq!(shown(&client, TOPIC, "t", "retention.ms").await, value("604800000", 5));
    assert_eq!(alter(&client, TOPIC, "t", &[("max.message.bytes", DELETE, None)]).await, ok());
    assert_eq!(client.produce("t", 0, batch(100).build()).await.offset(), 0);
}

#[tokio::test]
async fn what_only_validates_or_is_refused_changes_nothing() {
    let client = Client::connect(&Cluster::new().start().await);
    client.create_topic("t", 1, &[]).await;
    let changes: &[Change<'_>] = &[("retention.ms", SET, Some("5"))];
    assert_eq!(alter_all(&client, &[(TOPIC, "t", changes)], true).await, [ok()]);
    let changes: &[Change<'_>] = &[("retention.ms", SET, Some("5")), ("max.message.bytes", SET, Some("x"))];
    let text = "Invalid value x for configuration max.message.bytes: Not a number of type INT";
    assert_eq!(alter(&client, TOPIC, "t", changes).await, refused(ErrorCode::InvalidConfig, text));
    assert_eq!(shown(&client, TOPIC, "t", "retention.ms").await, value("604800000", 5));
}

#[tokio::test]
async fn bad_changes_are_refused_with_kafkas_code_and_words() {
    let client = Client::connect(&Cluster::new().start().await);
    client.create_topic("t", 1, &[]).await;
    let set = |name, value| (name, SET, Some(value));
    let invalid_config = |text| refused(ErrorCode::InvalidConfig, text);
    let invalid_request = |text| refused(ErrorCode::InvalidRequest, text);
    let unknown = "Unknown topic config name: no.such";
    assert_eq!(alter(&client, TOPIC, "t", &[set("no.such", "1")]).await, invalid_config(unknown));
    let no_list = "Can't APPEND to key retention.ms because its type is not LIST.";
    assert_eq!(alter(&client, TOPIC, "t", &[("retention.ms", APPEND, Some("1"))]).await, invalid_config(no_list));
    let twice = [set("retention.ms", "1"), set("retention.ms", "2")];
    assert_eq!(alter(&client, TOPIC, "t", &twice).await, invalid_request("Error due to duplicate config keys"));
    let null = "Null value not supported for : retention.ms";
    assert_eq!(alter(&client, TOPIC, "t", &[("retention.ms", SET, None)]).await, invalid_request(null));
    let operation = "Unknown operations type 9";
    assert_eq!(alter(&client, TOPIC, "t", &[("retention.ms", 9, Some("1"))]).await, invalid_request(operation));
    let retention: &[Change<'_>] = &[set("retention.ms", "1")];
    let absent = refused(ErrorCode::UnknownTopicOrPartition, "The topic 'no' does not exist.");
    assert_eq!(alter(&client, TOPIC, "no", retention).await, absent);
    assert_eq!(alter(&client, TOPIC, "a\u{7}b", retention).await.0, ErrorCode::InvalidTopicException);
    assert_eq!(alter(&client, TOPIC, &"x".repeat(30_000), retention).await.0, ErrorCode::InvalidTopicException);
    assert_eq!(alter(&client, TOPIC, "", retention).await, invalid_request("Default topic resources are not allowed."));
    assert_eq!(alter(&client, 99, "t", retention).await, invalid_request("Unknown resource type 99"));
    let text = "Each resource must appear at most once.";
    let both = alter_all(&client, &[(TOPIC, "t", retention), (TOPIC, "t", retention)], false).await;
    assert_eq!(both, [invalid_request(text), invalid_request(text)]);
    let huge = "1".repeat(32_000);
    assert_eq!(alter(&client, TOPIC, "t", &[set("retention.ms", &huge)]).await.0, ErrorCode::InvalidConfig);
}

#[tokio::test]
async fn alter_configs_replaces_all_settings_of_a_resource() {
    let client = Client::connect(&Cluster::new().start().await);
    client.create_topic("t", 1, &[("retention.ms", "1000")]).await;
    let alter = async |value: Option<&str>, validate_only| {
        let configs = vec![alter_configs::AlterableConfig { name: "max.message.bytes", value }].into();
        let resource = alter_configs::AlterConfigsResource { resource_type: TOPIC, resource_name: "t", configs };
        let request = alter_configs::Request { resources: vec![resource].into(), validate_only };
        let reply = client.call(2, &request).await;
        reply.read::<alter_configs::Response<'_>>().responses.iter().next().unwrap().error_code
    };
    assert_eq!(alter(Some("5000"), true).await, ErrorCode::None);
    assert_eq!(alter(None, false).await, ErrorCode::InvalidRequest);
    assert_eq!(shown(&client, TOPIC, "t", "retention.ms").await, value("1000", 1));
    assert_eq!(alter(Some("5000"), false).await, ErrorCode::None);
    assert_eq!(shown(&client, TOPIC, "t", "max.message.bytes").await, value("5000", 1));
    assert_eq!(shown(&client, TOPIC, "t", "retention.ms").await, value("604800000", 5), "it was not named");
}

#[tokio::test]
async fn brokers_give_topics_their_defaults_the_nearest_first() {
    let client = Client::connect(&Cluster::with(Settings { node_id: 3, ..Settings::default() }).start().await);
    client.create_topic("t", 1, &[]).await;
    let set = |value| [("message.max.bytes", SET, Some(value))];
    assert_eq!(alter(&client, BROKER, "", &set("500")).await, ok());
    assert_eq!(shown(&client, TOPIC, "t", "max.message.bytes").await, value("500", 3));
    assert_eq!(shown(&client, BROKER, "", "message.max.bytes").await, value("500", 3));
    assert_eq!(client.produce("t", 0, batch(100).build()).await.error, ErrorCode::MessageTooLarge);
    assert_eq!(alter(&client, BROKER, "3", &set("50000")).await, ok());
    assert_eq!(shown(&client, BROKER, "3", "message.max.bytes").await, value("50000", 2));
    assert_eq!(shown(&client, TOPIC, "t", "max.message.bytes").await, value("50000", 2));
    assert_eq!(client.produce("t", 0, batch(100).build()).await.offset(), 0);
    assert_eq!(alter(&client, BROKER, "4", &set("1")).await.0, ErrorCode::InvalidRequest);
    let fixed = "Cannot update these configs dynamically: [num.partitions]";
    let change = [("num.partitions", SET, Some("2"))];
    assert_eq!(alter(&client, BROKER, "", &change).await, refused(ErrorCode::InvalidRequest, fixed));
    let broker = std::sync::Arc::clone(client.session.broker());
    assert_eq!(alter(&client, BROKER, "", &[("producer.id.expiration.ms", SET, Some("5000"))]).await, ok());
    assert_eq!(broker.replica().read(|state| state.producer_id_expiration_ms()), 5_000);
}

#[tokio::test]
async fn groups_and_client_metrics_have_settings_by_name() {
    let cluster = Cluster::new();
    let client = Client::connect(&cluster.start().await);
    assert_eq!(shown(&client, GROUP, "g", "consumer.session.timeout.ms").await, value("45000", 5));
    let change = [("consumer.session.timeout.ms", SET, Some("50000"))];
    assert_eq!(alter(&client, GROUP, "g", &change).await, ok());
    let text = "consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms";
    let change = [("consumer.session.timeout.ms", SET, Some("70000"))];
    assert_eq!(alter(&client, GROUP, "g", &change).await, refused(ErrorCode::InvalidConfig, text));
    let change = [("metrics", SET, Some("org.apache.kafka.")), ("interval.ms", SET, Some("1000"))];
    assert_eq!(alter(&client, CLIENT_METRICS, "m", &change).await, ok());
    let broker = cluster.start().await;
    let client = Client::connect(&broker);
    assert_eq!(shown(&client, GROUP, "g", "consumer.session.timeout.ms").await, value("50000", 8));
    assert_eq!(shown(&client, CLIENT_METRICS, "m", "interval.ms").await, value("1000", 7));
    assert_eq!(broker.replica().read(|state| GroupConfig::of(state, "g")).session_timeout_ms, 50_000);
    let listed = async |version, kinds: &[i8]| {
        let request = list_config_resources::Request { resource_types: kinds.to_vec().into() };
        let reply = client.call(version, &request).await;
        let response: list_config_resources::Response<'_> = reply.read();
        let resource = |r: list_config_resources::ConfigResource<'_>| (r.resource_type, r.resource_name.to_owned());
        (response.error_code, response.config_resources.iter().map(resource).collect::<Vec<_>>())
    };
    client.create_topic("t", 1, &[]).await;
    let named = |kind, name: &str| (kind, name.to_owned());
    assert_eq!(listed(0, &[]).await, (ErrorCode::None, vec![named(CLIENT_METRICS, "m")]));
    assert_eq!(listed(1, &[GROUP]).await, (ErrorCode::None, vec![named(GROUP, "g")]));
    let all = vec![named(TOPIC, "t"), named(BROKER, "0"), named(CLIENT_METRICS, "m"), named(GROUP, "g")];
    assert_eq!(listed(1, &[]).await, (ErrorCode::None, all));
    assert_eq!(listed(1, &[3]).await.0, ErrorCode::UnsupportedVersion);
}

#[tokio::test]
async fn compacted_topics_take_only_records_with_keys() {
    let client = Client::connect(&Cluster::new().start().await);
    client.create_topic("t", 1, &[("cleanup.policy", "compact,delete")]).await;
    for codec in Codec::ALL {
        let keys: [Option<&[u8]>; 3] = [Some(b"k"), None, None];
        let batch = keys.into_iter().fold(BatchBuilder::new(codec), |batch, key| batch.record(NOW_MS, key, Some(b"v")));
        let bytes = batch.build();
        let data = produce::PartitionProduceData { index: 0, records: Some(bytes.into()) };
        let topic = produce::TopicProduceData { name: "t", partition_data: vec![data].into(), ..Default::default() };
        let request =
            produce::Request { acks: -1, timeout_ms: 1_000, topic_data: vec![topic].into(), ..Default::default() };
        let reply = client.call(9, &request).await;
        let response: produce::Response<'_> = reply.read();
        let partition = response.responses.iter().next().unwrap().partition_responses.iter().next().unwrap();
        assert_eq!(partition.error_code, ErrorCode::InvalidRecord, "{codec}");
        let blamed: Vec<_> = partition.record_errors.iter().map(|record| record.batch_index).collect();
        assert_eq!(blamed, [1, 2]);
    }
    assert_eq!(client.produce("t", 0, batch(2).build()).await.offset(), 0, "nothing was written before");
    let tombstone = BatchBuilder::new(Codec::None).record(NOW_MS, Some(b"k"), None);
    assert_eq!(client.produce("t", 0, tombstone.build()).await.offset(), 2);
    assert_eq!(alter(&client, TOPIC, "t", &[("cleanup.policy", DELETE, None)]).await, ok());
    let keyless = BatchBuilder::new(Codec::None).record(NOW_MS, None, Some(b"v"));
    assert_eq!(client.produce("t", 0, keyless.build()).await.offset(), 3);
}
