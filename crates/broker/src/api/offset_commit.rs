//! OffsetCommit (8): a group commits offsets. It is acknowledged when they are in the log and applied.

use std::sync::Arc;

use kafscale_protocol::{
    ApiKey, Array, ErrorCode,
    messages::offset_commit::{
        OffsetCommitRequestPartition, OffsetCommitResponsePartition, OffsetCommitResponseTopic, Request, Response,
    },
};
use kafscale_state::{Handle, State, Topic, entry::OffsetChange};

use super::{Answer, Call, Refusal, Session, error_codes};
use crate::groups::{Commit, Error};

/// The first version that knows members of KIP-848 groups, and tells an unknown group from an old generation.
const EPOCHS: i16 = 9;
/// The first version that names topics by id.
const TOPIC_IDS: i16 = 10;

/// Partitions that do not exist say so whatever the group is; the others are committed together.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.topics.iter().map(|topic| topic.partitions.len().max(1)).sum())?;
    let mut codes = codes(&session, &call, &request).await.into_iter();
    let topics = request.topics.iter().map(|topic| OffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| {
                let error_code = codes.next().unwrap_or(ErrorCode::UnknownServerError);
                if error_code != ErrorCode::None {
                    session.broker().metrics().error(ApiKey::OffsetCommit, error_code);
                }
                OffsetCommitResponsePartition { partition_index: partition.partition_index, error_code }
            })
            .collect(),
    });
    let topics: Array<'_, _> = topics.collect();
    call.respond(&Response { topics, ..Default::default() })
}

/// What becomes of each partition, in the order of the request.
async fn codes(session: &Session, call: &Call, request: &Request<'_>) -> Vec<ErrorCode> {
    let broker = session.broker();
    let mut found = broker.replica().read(|state| places(state, call.version, request));
    if found.iter().any(|place| place.is_err()) {
        // That a topic does not exist is only said after a barrier.
        if let Err(error) = broker.barrier().await {
            return vec![error_codes::of_group_barrier(&error); found.len()];
        }
        found = broker.replica().read(|state| places(state, call.version, request));
    }
    // The group is not asked when there is nothing to commit.
    if found.iter().all(|place| place.is_err()) {
        return found.into_iter().filter_map(Result::err).collect();
    }
    let committed = commit(session, call, request, &found).await;
    let mut committed = committed.map(Vec::into_iter);
    let code = |place: Result<Handle, ErrorCode>| match (place, &mut committed) {
        (Err(error_code), _) | (Ok(_), &mut Err(error_code)) => error_code,
        (Ok(_), Ok(committed)) => committed.next().unwrap_or(ErrorCode::UnknownServerError),
    };
    found.into_iter().map(code).collect()
}

/// What becomes of each partition that exists, or of all of them.
async fn commit(
    session: &Session,
    call: &Call,
    request: &Request<'_>,
    found: &[Result<Handle, ErrorCode>],
) -> Result<Vec<ErrorCode>, ErrorCode> {
    let broker = session.broker();
    broker.groups().ready(request.group_id).await.map_err(error_codes::of_group)?;
    let now_ms = broker.cluster_time_ms();
    let expires_ms = (request.retention_time_ms >= 0).then(|| now_ms.saturating_add(request.retention_time_ms));
    let metadata_max = session.settings().groups.offset_metadata_max;
    let partitions = request.topics.iter().flat_map(|topic| topic.partitions.iter().collect::<Vec<_>>());
    let changes: Vec<Result<(Handle, OffsetChange), ErrorCode>> = found
        .iter()
        .zip(partitions)
        .filter_map(|(place, partition)| {
            let handle = place.ok()?;
            Some(change(&partition, expires_ms, metadata_max).map(|change| (handle, change)))
        })
        .collect();
    let commit = Commit {
        member_id: request.member_id.to_owned(),
        instance_id: request.group_instance_id.map(str::to_owned),
        generation: request.generation_id_or_member_epoch,
        knows_epochs: call.version >= EPOCHS,
        offsets: changes.iter().filter_map(|change| change.as_ref().ok().cloned()).collect(),
    };
    let committed = broker.groups().commit(request.group_id, commit).await.map_err(|error| match error {
        Error::GroupNotFound if call.version < EPOCHS => ErrorCode::IllegalGeneration,
        error => error_codes::of_group(error),
    })?;
    let mut committed = committed.into_iter();
    let code = |change: Result<_, ErrorCode>| match change {
        Err(error_code) => error_code,
        Ok(_) => committed.next().map_or(ErrorCode::UnknownServerError, |committed| {
            committed.map_or_else(error_codes::of_offset, |()| ErrorCode::None)
        }),
    };
    Ok(changes.into_iter().map(code).collect())
}

/// The handle of each partition, in the order of the request.
fn places(state: &State, version: i16, request: &Request<'_>) -> Vec<Result<Handle, ErrorCode>> {
    let mut places = Vec::new();
    for topic in &request.topics {
        let (found, unknown) = find(state, version, topic.name, topic.topic_id);
        places.extend(topic.partitions.iter().map(|partition| {
            let index = u32::try_from(partition.partition_index).ok();
            match found {
                None => Err(unknown),
                Some(topic) => index.and_then(|index| topic.handle(index)).ok_or(ErrorCode::UnknownTopicOrPartition),
            }
        }));
    }
    places
}

/// A topic by name or, from version 10, by id; and the error if there is none.
pub(super) fn find<'s>(
    state: &'s State,
    version: i16,
    name: &str,
    id: kafscale_protocol::Uuid,
) -> (Option<&'s Topic>, ErrorCode) {
    match version {
        TOPIC_IDS.. => (state.topic_by_id(u128::from_be_bytes(id.0)), ErrorCode::UnknownTopicId),
        _ => (state.topic(name), ErrorCode::UnknownTopicOrPartition),
    }
}

fn change(
    partition: &OffsetCommitRequestPartition<'_>,
    expires_ms: Option<i64>,
    metadata_max: usize,
) -> Result<OffsetChange, ErrorCode> {
    let metadata = partition.committed_metadata.unwrap_or_default();
    if metadata.encode_utf16().count() > metadata_max {
        return Err(ErrorCode::OffsetMetadataTooLarge);
    }
    Ok(OffsetChange::Commit {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: metadata.to_owned(),
        expires_ms,
    })
}
