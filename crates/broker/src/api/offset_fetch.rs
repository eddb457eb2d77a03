//! OffsetFetch (9): committed offsets; from version 8 of many groups.

use std::{collections::BTreeMap, sync::Arc};

use kafscale_protocol::{
    ApiKey, Array, ErrorCode, Uuid,
    messages::offset_fetch::{
        OffsetFetchRequestGroup, OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
        OffsetFetchResponseTopic, OffsetFetchResponseTopics, Request, Response,
    },
};
use kafscale_state::group::Committed;

use super::{Answer, Call, Refusal, Session, error_codes, offset_commit};

/// The first version that asks for many groups.
const MANY_GROUPS: i16 = 8;
/// The first version that names topics by id.
const TOPIC_IDS: i16 = 10;
/// The first version with an error for the whole group.
const GROUP_ERROR: i16 = 2;

/// Answers after a barrier: an offset that was acknowledged anywhere is seen. No offset is pending in a transaction, so
/// every one is stable, whether the client requires that or not.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    let caught_up = match session.broker().barrier().await {
        Ok(()) => Ok(()),
        Err(error) => Err(error_codes::of_group_barrier(&error)),
    };
    if let Err(error_code) = caught_up {
        session.broker().metrics().error(ApiKey::OffsetFetch, error_code);
    }
    match call.version {
        MANY_GROUPS.. => many(&session, &call, &request, caught_up),
        _ => one(&session, &call, &request, caught_up),
    }
}

/// Whether this broker may say what a group has committed.
fn may_tell(session: &Session, group: &str, caught_up: Result<(), ErrorCode>) -> Result<(), ErrorCode> {
    caught_up?;
    match session.broker().groups().is_coordinator(group) {
        true => Ok(()),
        false => Err(ErrorCode::NotCoordinator),
    }
}

/// A partition's offset as it is told: -1 for none.
fn told(committed: Option<&Committed>) -> (i64, i32, &str) {
    committed.map_or((-1, -1, ""), |committed| (committed.offset, committed.leader_epoch, &committed.metadata))
}

/// Offsets of one topic's partitions by index.
type Offsets = Vec<(u32, Committed)>;

/// All offsets of a group: topic, its id, and what is committed there.
fn all(session: &Session, group: &str) -> Vec<(String, u128, Offsets)> {
    let mut topics: BTreeMap<String, (u128, Offsets)> = BTreeMap::new();
    for (name, id, index, committed) in session.broker().groups().all_committed(group) {
        topics.entry(name).or_insert((id, Vec::new())).1.push((index, committed));
    }
    topics.into_iter().map(|(name, (id, offsets))| (name, id, offsets)).collect()
}

fn one(
    session: &Session,
    call: &Call,
    request: &Request<'_>,
    caught_up: Result<(), ErrorCode>,
) -> Result<Answer, Refusal> {
    let named = request.topics.iter().flatten().map(|topic| topic.partition_indexes.len().max(1)).sum();
    Refusal::unless_few(named)?;
    let may_tell = may_tell(session, request.group_id, caught_up);
    let topics = tell_one(session, call.version, request, may_tell);
    let topics = topics.iter().map(|(name, partitions)| OffsetFetchResponseTopic {
        name,
        partitions: partitions
            .iter()
            .map(|(index, committed, error_code)| {
                let (offset, epoch, metadata) = told(committed.as_ref());
                OffsetFetchResponsePartition {
                    partition_index: *index,
                    committed_offset: offset,
                    committed_leader_epoch: epoch,
                    metadata: Some(metadata),
                    error_code: *error_code,
                }
            })
            .collect(),
    });
    let topics: Array<'_, _> = topics.collect();
    let error_code = may_tell.err().unwrap_or_default();
    call.respond(&Response { topics, error_code, ..Default::default() })
}

/// A topic, and what is said of its partitions: index, what is committed, and an error.
type ToldTopic = (String, Vec<(i32, Option<Committed>, ErrorCode)>);

/// What is said to a request for one group.
fn tell_one(session: &Session, version: i16, request: &Request<'_>, may_tell: Result<(), ErrorCode>) -> Vec<ToldTopic> {
    let group = request.group_id;
    match (&request.topics, may_tell) {
        (Some(topics), Ok(())) => topics
            .iter()
            .map(|topic| {
                let row = |index| {
                    let committed = committed(session, version, group, topic.name, Uuid::ZERO, index);
                    (index, committed.ok().flatten(), ErrorCode::None)
                };
                (topic.name.to_owned(), topic.partition_indexes.iter().map(row).collect())
            })
            .collect(),
        (None, Ok(())) => all(session, group)
            .into_iter()
            .map(|(name, _, offsets)| {
                let row = |(index, committed)| (index as i32, Some(committed), ErrorCode::None);
                (name, offsets.into_iter().map(row).collect())
            })
            .collect(),
        // The oldest version has no other place for the error.
        (Some(topics), Err(error_code)) if version < GROUP_ERROR => topics
            .iter()
            .map(|topic| {
                let row = |index| (index, None, error_code);
                (topic.name.to_owned(), topic.partition_indexes.iter().map(row).collect())
            })
            .collect(),
        (_, Err(_)) => Vec::new(),
    }
}

/// What a group has committed for a partition that exists; an error where the topic's id is nobody's.
fn committed(
    session: &Session,
    version: i16,
    group: &str,
    name: &str,
    id: Uuid,
    index: i32,
) -> Result<Option<Committed>, ErrorCode> {
    session.broker().replica().read(|state| {
        let (topic, unknown) = offset_commit::find(state, version, name, id);
        if topic.is_none() && version >= TOPIC_IDS {
            return Err(unknown);
        }
        let handle = topic.and_then(|topic| topic.handle(u32::try_from(index).ok()?));
        Ok(handle.and_then(|handle| state.committed(group, handle).cloned()))
    })
}

/// What is said of a partition by its index.
type ToldPartition = (i32, Result<Option<Committed>, ErrorCode>);

/// One group's answer, owned.
struct Told<'a> {
    group_id: &'a str,
    topics: Vec<(String, Uuid, Vec<ToldPartition>)>,
    error_code: ErrorCode,
}

fn many(
    session: &Session,
    call: &Call,
    request: &Request<'_>,
    caught_up: Result<(), ErrorCode>,
) -> Result<Answer, Refusal> {
    let partitions = |group: &OffsetFetchRequestGroup<'_>| -> usize {
        1 + group.topics.iter().flatten().map(|topic| topic.partition_indexes.len().max(1)).sum::<usize>()
    };
    Refusal::unless_few(request.groups.iter().map(|group| partitions(&group)).sum())?;
    let groups: Vec<Told<'_>> =
        request.groups.iter().map(|group| tell(session, call.version, &group, caught_up)).collect();
    let groups = groups.iter().map(|told_of| OffsetFetchResponseGroup {
        group_id: told_of.group_id,
        topics: told_of
            .topics
            .iter()
            .map(|(name, topic_id, partitions)| OffsetFetchResponseTopics {
                name,
                topic_id: *topic_id,
                partitions: partitions
                    .iter()
                    .map(|(index, committed)| {
                        let (offset, epoch, metadata) = told(committed.as_ref().ok().and_then(Option::as_ref));
                        OffsetFetchResponsePartitions {
                            partition_index: *index,
                            committed_offset: offset,
                            committed_leader_epoch: epoch,
                            metadata: Some(metadata),
                            error_code: committed.as_ref().err().copied().unwrap_or_default(),
                        }
                    })
                    .collect(),
            })
            .collect(),
        error_code: told_of.error_code,
    });
    let groups: Array<'_, _> = groups.collect();
    call.respond(&Response { groups, ..Default::default() })
}

fn tell<'a>(
    session: &Session,
    version: i16,
    group: &OffsetFetchRequestGroup<'a>,
    caught_up: Result<(), ErrorCode>,
) -> Told<'a> {
    let group_id = group.group_id;
    let may_fetch = || {
        let judged = session.broker().groups().may_fetch(group_id, group.member_id, group.member_epoch);
        judged.map_err(error_codes::of_group)
    };
    if let Err(error_code) = may_tell(session, group_id, caught_up).and_then(|()| may_fetch()) {
        return Told { group_id, topics: Vec::new(), error_code };
    }
    let topics = match &group.topics {
        Some(topics) => topics
            .iter()
            .map(|topic| {
                let offset = |index| (index, committed(session, version, group_id, topic.name, topic.topic_id, index));
                (topic.name.to_owned(), topic.topic_id, topic.partition_indexes.iter().map(offset).collect())
            })
            .collect(),
        None => all(session, group_id)
            .into_iter()
            .map(|(name, id, offsets)| {
                let offsets = offsets.into_iter().map(|(index, committed)| (index as i32, Ok(Some(committed))));
                (name, Uuid(id.to_be_bytes()), offsets.collect())
            })
            .collect(),
    };
    Told { group_id, topics, error_code: ErrorCode::None }
}
