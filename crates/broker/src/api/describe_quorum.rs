//! DescribeQuorum (55): who votes on the log of the cluster's metadata.
//!
//! A lone broker is the only voter on its log. Kafka's words mean: the leader epoch is the session (each take-over begins
//! one), offsets are positions of the log.

use std::sync::Arc;

use kafscale_protocol::{
    ApiKey, ErrorCode,
    messages::describe_quorum::{Listener, Node, PartitionData, ReplicaState, Request, Response, TopicData},
};

use super::{Answer, Call, Refusal, Session, error_codes};

/// The partition under whose name Kafka keeps the metadata.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// Answers once the replica has caught up; another partition has no quorum.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.topics.iter().map(|topic| topic.partitions.len().max(1)).sum())?;
    let broker = session.broker();
    if let Err(error) = broker.barrier().await {
        let error_code = error_codes::of_barrier(&error);
        broker.metrics().error(ApiKey::DescribeQuorum, error_code);
        return call.respond(&Response { error_code, ..Default::default() });
    }
    let settings = session.settings();
    let (session_number, position) = broker.replica().read(|state| (state.session(), state.position()));
    let end = i64::try_from(position + 1).unwrap_or(i64::MAX);
    let now_ms = broker.cluster_time_ms();
    let own = ReplicaState {
        replica_id: settings.node_id,
        log_end_offset: end,
        last_fetch_timestamp: now_ms,
        last_caught_up_timestamp: now_ms,
        ..Default::default()
    };
    let quorum = |partition_index| PartitionData {
        partition_index,
        leader_id: settings.node_id,
        leader_epoch: i32::try_from(session_number).unwrap_or(i32::MAX),
        high_watermark: end,
        current_voters: vec![own.clone()].into(),
        ..Default::default()
    };
    let none = |partition_index| {
        broker.metrics().error(ApiKey::DescribeQuorum, ErrorCode::UnknownTopicOrPartition);
        PartitionData { partition_index, error_code: ErrorCode::UnknownTopicOrPartition, ..Default::default() }
    };
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| match (topic.topic_name, partition.partition_index) {
            (METADATA_TOPIC, 0) => quorum(0),
            (_, index) => none(index),
        });
        TopicData { topic_name: topic.topic_name, partitions: partitions.collect() }
    });
    let listener = Listener { name: "PLAINTEXT", host: &settings.advertised_host, port: settings.advertised_port };
    let node = Node { node_id: settings.node_id, listeners: vec![listener].into() };
    let nodes = if call.version >= 2 { vec![node] } else { Vec::new() };
    call.respond(&Response { topics: topics.collect(), nodes: nodes.into(), ..Default::default() })
}
