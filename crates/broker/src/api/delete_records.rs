//! DeleteRecords (21): clients let go of the records below an offset. The low watermark of the answer is the log start
//! offset that apply gave.

use std::sync::Arc;

use kafscale_protocol::{
    ApiKey, Array, ErrorCode,
    messages::delete_records::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult, Request, Response},
};
use kafscale_state::{
    Handle, State, Verdict,
    entry::{Entry, RecordsDeleted},
    verdict::StartRefused,
};

use super::{Answer, Call, Refusal, Session, error_codes};
use crate::config::{layers::Layers, topic::TopicConfig};

/// The low watermark of a partition that has none to tell.
const NO_WATERMARK: i64 = -1;

/// Moves every start that can be moved, all of them by one entry; every partition has its own result. A partition is called
/// unknown once the replica has caught up.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.topics.iter().map(|topic| topic.partitions.len().max(1)).sum())?;
    let broker = session.broker();
    let reached = broker.barrier().await;
    let unreached = reached.as_ref().err().map(error_codes::of_barrier);
    let node_id = session.settings().node_id;
    let found = broker.replica().read(|state| find(state, node_id, &request));
    let found: Vec<_> = found.into_iter().map(|found| unreached.map_or(found, Err)).collect();
    let starts: Vec<(Handle, i64)> = found.iter().filter_map(|found| found.ok()).collect();
    let mut moved = match starts.is_empty() {
        true => Vec::new(),
        false => submit(&session, starts).await,
    }
    .into_iter();
    let outcomes = found.into_iter().map(|found| found.and_then(|_| moved.next().expect("one for each start")));
    let mut outcomes = outcomes.collect::<Vec<_>>().into_iter();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics.iter() {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions.iter() {
            let outcome = outcomes.next().expect("one for each partition");
            if let Err(code) = outcome {
                broker.metrics().error(ApiKey::DeleteRecords, code);
            }
            partitions.push(DeleteRecordsPartitionResult {
                partition_index: partition.partition_index,
                low_watermark: outcome.unwrap_or(NO_WATERMARK),
                error_code: outcome.err().unwrap_or(ErrorCode::None),
            });
        }
        topics.push(DeleteRecordsTopicResult { name: topic.name, partitions: Array::from(partitions) });
    }
    call.respond(&Response { topics: Array::from(topics), ..Default::default() })
}

/// Every partition of the request and its new start, in order. Where only compaction may remove records, nobody else may.
fn find(state: &State, node_id: i32, request: &Request<'_>) -> Vec<Result<(Handle, i64), ErrorCode>> {
    let mut found = Vec::new();
    for asked in request.topics.iter() {
        let topic = state.topic(asked.name).ok_or(ErrorCode::UnknownTopicOrPartition);
        let topic = topic.map(|topic| (topic, TopicConfig::new(&Layers::of_topic(state, node_id, topic))));
        found.extend(asked.partitions.iter().map(|partition| {
            let (topic, config) = topic?;
            let index = u32::try_from(partition.partition_index).ok();
            let handle = index.and_then(|index| topic.handle(index)).ok_or(ErrorCode::UnknownTopicOrPartition)?;
            match config.delete {
                true => Ok((handle, partition.offset)),
                false => Err(ErrorCode::PolicyViolation),
            }
        }));
    }
    found
}

async fn submit(session: &Session, starts: Vec<(Handle, i64)>) -> Vec<Result<i64, ErrorCode>> {
    let count = starts.len();
    let entry = Entry::RecordsDeleted(RecordsDeleted { starts });
    match session.broker().writer().submit(Some(session.id()), entry, false).await {
        Ok(Verdict::RecordsDeleted(moved)) => moved.into_iter().map(|moved| moved.map_err(code)).collect(),
        Ok(other) => unreachable!("apply answers deleted records with {other:?}"),
        Err(error) => vec![Err(error_codes::of_entry(error)); count],
    }
}

fn code(refused: StartRefused) -> ErrorCode {
    match refused {
        StartRefused::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
        StartRefused::OffsetOutOfRange => ErrorCode::OffsetOutOfRange,
    }
}
