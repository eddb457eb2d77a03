//! DescribeProducers (61): the idempotent producers that partitions remember.

use std::sync::Arc;

use kafscale_protocol::{
    ApiKey, Array, ErrorCode,
    messages::describe_producers::{PartitionResponse, ProducerState, Request, Response, TopicResponse},
};
use kafscale_state::State;

use super::{Answer, Call, Refusal, Session, error_codes, find_partition};

/// Kafka's coordinator epoch of a producer that is in no transaction.
const NO_COORDINATOR: i32 = -1;

/// Answers once the replica has caught up. Producers whose state has expired are left out: nothing of them counts.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.topics.iter().map(|topic| topic.partition_indexes.len().max(1)).sum())?;
    let broker = session.broker();
    let reached = broker.barrier().await;
    let state = broker.replica().snapshot();
    let topics = request.topics.iter().map(|topic| {
        let partition = |partition_index| {
            let found = match &reached {
                Err(error) => Err(error_codes::of_barrier(error)),
                Ok(()) => producers(&state, topic.name, partition_index),
            };
            if let Err(code) = found {
                broker.metrics().error(ApiKey::DescribeProducers, code);
            }
            PartitionResponse {
                partition_index,
                error_code: found.as_ref().err().copied().unwrap_or(ErrorCode::None),
                active_producers: Array::from(found.unwrap_or_default()),
                ..Default::default()
            }
        };
        TopicResponse { name: topic.name, partitions: topic.partition_indexes.iter().map(partition).collect() }
    });
    call.respond(&Response { topics: topics.collect(), ..Default::default() })
}

fn producers(state: &State, topic: &str, index: i32) -> Result<Vec<ProducerState>, ErrorCode> {
    let partition = find_partition(state, topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let (now_ms, expiration_ms) = (state.cluster_time_ms(), state.producer_id_expiration_ms());
    let live = state.producers(partition.handle()).filter(|(_, producer)| !producer.is_expired(now_ms, expiration_ms));
    let told = live.map(|(producer_id, producer)| ProducerState {
        producer_id,
        producer_epoch: i32::from(producer.epoch()),
        last_sequence: producer.last_sequence(),
        last_timestamp: producer.last_time_ms(),
        coordinator_epoch: NO_COORDINATOR,
        ..Default::default()
    });
    Ok(told.collect())
}
