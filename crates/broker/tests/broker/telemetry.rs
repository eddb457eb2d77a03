//! Clients are asked for metrics, push them, and see them on the broker's page.

use kafscale_protocol::{
    ErrorCode, Uuid,
    messages::{
        api_versions, get_telemetry_subscriptions as get, incremental_alter_configs as alter, push_telemetry as push,
    },
};
use kafscale_records::Codec;

use crate::common::{Client, Cluster};

const CLIENT_METRICS: i8 = 16;

async fn subscribe(client: &Client, settings: &[(&str, &str)]) {
    let config = |&(name, value)| alter::AlterableConfig { name, config_operation: 0, value: Some(value) };
    let resource = alter::AlterConfigsResource {
        resource_type: CLIENT_METRICS,
        resource_name: "everything",
        configs: settings.iter().map(config).collect(),
    };
    let request = alter::Request { resources: vec![resource].into(), validate_only: false };
    let reply = client.call(1, &request).await;
    let response: alter::Response<'_> = reply.read();
    assert_eq!(response.responses.iter().next().unwrap().error_code, ErrorCode::None);
}

/// Error, instance, subscription, interval and metrics of an answer.
async fn ask(client: &Client, client_instance_id: Uuid) -> (ErrorCode, Uuid, i32, i32, Vec<String>) {
    let reply = client.call(0, &get::Request { client_instance_id }).await;
    let asked: get::Response<'_> = reply.read();
    let metrics = asked.requested_metrics.iter().map(str::to_owned).collect();
    (asked.error_code, asked.client_instance_id, asked.subscription_id, asked.push_interval_ms, metrics)
}

async fn tell(client: &Client, id: Uuid, subscription_id: i32, codec: Codec, metrics: &[u8]) -> ErrorCode {
    let metrics = &codec.compress(metrics);
    let request = push::Request {
        client_instance_id: id,
        subscription_id,
        compression_type: codec.id() as i8,
        metrics,
        ..Default::default()
    };
    client.call(0, &request).await.read::<push::Response>().error_code
}

/// One gauge of OpenTelemetry's metrics with the integer 5.
fn gauge(name: &str) -> Vec<u8> {
    let field = |number: u8, body: &[u8]| [&[number << 3 | 2, body.len() as u8][..], body].concat();
    let point = [&[6 << 3 | 1][..], &5_i64.to_le_bytes()].concat();
    let metric = [field(1, name.as_bytes()), field(5, &field(1, &point))].concat();
    field(1, &field(2, &field(2, &metric)))
}

#[tokio::test]
async fn what_a_subscription_asks_for_is_pushed_and_shown() {
    let broker = Cluster::new().start().await;
    let client = Client::connect(&broker);
    let software = api_versions::Request { client_software_name: "librdkafka", client_software_version: "2.15" };
    client.call(3, &software).await;
    let (code, id, _, interval_ms, metrics) = ask(&client, Uuid::default()).await;
    assert_eq!((code, interval_ms, metrics), (ErrorCode::None, 300_000, vec![]), "nothing is asked for yet");
    assert!(!id.is_zero());
    subscribe(
        &client,
        &[("metrics", "org.apache.kafka.,other"), ("interval.ms", "60000"), ("match", "client_id=te.t")],
    )
    .await;
    let (code, same, subscription, interval_ms, metrics) = ask(&client, id).await;
    assert_eq!((code, same, interval_ms), (ErrorCode::None, id, 60_000), "a changed question may be asked for at once");
    assert_eq!(metrics, ["org.apache.kafka.", "other"]);
    assert_eq!(ask(&client, id).await.0, ErrorCode::ThrottlingQuotaExceeded);
    assert_eq!(tell(&client, id, subscription + 1, Codec::None, &[]).await, ErrorCode::UnknownSubscriptionId);
    assert_eq!(ask(&client, id).await.0, ErrorCode::None);
    assert_eq!(tell(&client, id, subscription, Codec::Zstd, &gauge("org.apache.kafka.lag")).await, ErrorCode::None);
    assert_eq!(tell(&client, id, subscription, Codec::None, &[]).await, ErrorCode::ThrottlingQuotaExceeded);
    assert_eq!(tell(&client, Uuid::default(), subscription, Codec::None, &[]).await, ErrorCode::InvalidRequest);
    let page = broker.metrics_text();
    assert!(page.contains("kafscale_client_value{metric=\"org.apache.kafka.lag\"} 5.0"), "{page}");
    assert!(page.contains("kafscale_client_pushes_total{software=\"librdkafka\"} 1"));
}

#[tokio::test]
async fn clients_that_no_pattern_fits_are_asked_for_nothing() {
    let client = Client::connect(&Cluster::new().start().await);
    subscribe(&client, &[("metrics", "*"), ("match", "client_id=somebody else")]).await;
    assert_eq!(ask(&client, Uuid([1; 16])).await.4, Vec::<String>::new());
    subscribe(&client, &[("match", "client_source_address=127\\.0\\.0\\..*")]).await;
    assert_eq!(ask(&client, Uuid([1; 16])).await.4, ["*"]);
}

#[tokio::test]
async fn telemetry_is_advertised_while_somebody_subscribes() {
    let client = Client::connect(&Cluster::new().start().await);
    let request = api_versions::Request { client_software_name: "kcat", client_software_version: "1.7.1" };
    let advertised = async || {
        let reply = client.call(4, &request).await;
        let response: api_versions::Response<'_> = reply.read();
        response.api_keys.iter().filter(|api| [71, 72].contains(&api.api_key)).count()
    };
    assert_eq!(advertised().await, 0);
    subscribe(&client, &[("metrics", "org.apache.kafka.producer.")]).await;
    assert_eq!(advertised().await, 2);
}
