//! OffsetDelete (47): committed offsets are forgotten, unless the group reads their topic.

use std::sync::Arc;

use kafscale_protocol::{
    ApiKey, Array, ErrorCode,
    messages::offset_delete::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic, Request, Response},
};
use kafscale_state::Handle;

use super::{Answer, Call, Refusal, Session, error_codes};
use crate::groups::{classic::Phase, subscription};

/// Answers after a barrier: groups and topics may be said not to exist.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.topics.iter().map(|topic| topic.partitions.len().max(1)).sum())?;
    let outcome = delete(&session, &request).await;
    let error_code = outcome.as_ref().err().copied().unwrap_or_default();
    if error_code != ErrorCode::None {
        session.broker().metrics().error(ApiKey::OffsetDelete, error_code);
    }
    let mut places = outcome.unwrap_or_default().into_iter();
    let topics: Vec<_> = if error_code == ErrorCode::None { request.topics.iter().collect() } else { Vec::new() };
    let topics = topics.iter().map(|topic| OffsetDeleteResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code: places.next().and_then(Result::err).unwrap_or_default(),
            })
            .collect(),
    });
    let topics: Array<'_, _> = topics.collect();
    call.respond(&Response { error_code, topics, ..Default::default() })
}

async fn delete(session: &Session, request: &Request<'_>) -> Result<Vec<Result<Handle, ErrorCode>>, ErrorCode> {
    let broker = session.broker();
    let groups = broker.groups();
    broker.barrier().await.map_err(|error| error_codes::of_group_barrier(&error))?;
    groups.ready(request.group_id).await.map_err(error_codes::of_group)?;
    let group = groups.describe(request.group_id).ok_or(ErrorCode::GroupIdNotFound)?;
    if group.phase != Phase::Empty && group.protocol_type != subscription::CONSUMER {
        return Err(ErrorCode::NonEmptyGroup);
    }
    let read = groups.subscribed(request.group_id);
    let mut places = Vec::new();
    broker.replica().read(|state| {
        for topic in &request.topics {
            let is_read = read.as_ref().is_none_or(|read| read.contains(topic.name));
            let found = state.topic(topic.name);
            places.extend(topic.partitions.iter().map(|partition| {
                let index = u32::try_from(partition.partition_index).ok();
                match found.zip(index).and_then(|(topic, index)| topic.handle(index)) {
                    None => Err(ErrorCode::UnknownTopicOrPartition),
                    Some(_) if is_read => Err(ErrorCode::GroupSubscribedToTopic),
                    Some(handle) => Ok(handle),
                }
            }));
        }
    });
    let handles: Vec<Handle> = places.iter().filter_map(|place| place.ok()).collect();
    if !handles.is_empty() {
        groups.delete_offsets(request.group_id, &handles).await.map_err(error_codes::of_group)?;
    }
    Ok(places)
}
