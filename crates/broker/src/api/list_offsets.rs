//! ListOffsets (2): the offset at a time, or at one of the named places.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::future::join_all;
use kafscale_protocol::{
    ApiKey, Array, ErrorCode,
    messages::list_offsets::{
        ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopicResponse, Request, Response,
    },
};
use kafscale_state::Handle;

use super::{Answer, Call, LEADER_EPOCH, Refusal, Session, error_codes, fetch::READ_COMMITTED};
use crate::read::TimeQuery;

/// The first version that tells leader epochs.
const LEADER_EPOCHS: i16 = 4;

/// What a client asks of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Query {
    /// The end, for the request's isolation level.
    Latest,
    /// The log start; all data counts as local.
    Earliest,
    /// What has no answer where there is no second tier.
    Tiered,
    /// A record by its time.
    Time(TimeQuery),
}

/// An offset and the timestamp of its record; -1 for what there is not.
type Place = (i64, i64);

/// The special timestamps and the versions that brought them.
fn query(timestamp: i64, version: i16) -> Result<Query, ErrorCode> {
    let (query, since) = match timestamp {
        -1 => (Query::Latest, 0),
        -2 | -4 => (Query::Earliest, if timestamp == -4 { 8 } else { 0 }),
        -3 => (Query::Time(TimeQuery::Greatest), 7),
        -5 => (Query::Tiered, 9),
        -6 => (Query::Tiered, 11),
        0.. => (Query::Time(TimeQuery::AtOrAfter(timestamp)), 0),
        _ => return Err(ErrorCode::UnsupportedVersion),
    };
    if version >= since { Ok(query) } else { Err(ErrorCode::UnsupportedVersion) }
}

/// Answers after a barrier: every answer but the log start claims an end, or that something does not exist.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.topics.iter().map(|topic| topic.partitions.len().max(1)).sum())?;
    let caught_up = session.broker().barrier().await.map_err(|error| error_codes::of_barrier(&error));
    let duplicates = duplicates(&request);
    let reads_committed = request.isolation_level == READ_COMMITTED;
    let version = call.version;
    let topics: Vec<_> = request.topics.iter().collect();
    let answers = topics.iter().flat_map(|topic| {
        let (session, duplicates) = (&session, &duplicates);
        topic.partitions.iter().map(move |partition| async move {
            let place = match caught_up {
                _ if duplicates.contains(&(topic.name, partition.partition_index)) => Err(ErrorCode::InvalidRequest),
                Err(error) => Err(error),
                Ok(()) => find(session, topic.name, &partition, version, reads_committed).await,
            };
            respond(session, partition.partition_index, place, version)
        })
    });
    let mut answers = join_all(answers).await.into_iter();
    let topics = topics.iter().map(|topic| ListOffsetsTopicResponse {
        name: topic.name,
        partitions: answers.by_ref().take(topic.partitions.len()).collect(),
    });
    call.respond(&Response { topics: Array::from(topics.collect::<Vec<_>>()), ..Default::default() })
}

/// Partitions that the request names more than once.
fn duplicates<'a>(request: &Request<'a>) -> BTreeSet<(&'a str, i32)> {
    let mut seen = BTreeSet::new();
    let mut duplicates = BTreeSet::new();
    for topic in request.topics.iter() {
        for partition in topic.partitions.iter() {
            let place = (topic.name, partition.partition_index);
            if !seen.insert(place) {
                duplicates.insert(place);
            }
        }
    }
    duplicates
}

async fn find(
    session: &Session,
    topic: &str,
    asked: &ListOffsetsPartition,
    version: i16,
    reads_committed: bool,
) -> Result<Place, ErrorCode> {
    let query = query(asked.timestamp, version)?;
    let handle = handle_of(session, topic, asked.partition_index)?;
    if asked.current_leader_epoch > LEADER_EPOCH {
        return Err(ErrorCode::UnknownLeaderEpoch);
    }
    let reader = session.broker().reader();
    let offsets = reader.view().offsets(handle).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    match query {
        Query::Latest if reads_committed => Ok((offsets.last_stable, -1)),
        Query::Latest => Ok((offsets.high_watermark, -1)),
        Query::Earliest => Ok((offsets.log_start, -1)),
        Query::Tiered => Ok((-1, -1)),
        Query::Time(query) => match reader.offset_by_time(handle, query).await {
            Ok(found) => Ok(found.map_or((-1, -1), |found| (found.offset, found.timestamp))),
            Err(error) => Err(error_codes::of_read(&error, false)),
        },
    }
}

fn handle_of(session: &Session, topic: &str, partition: i32) -> Result<Handle, ErrorCode> {
    let index = u32::try_from(partition).map_err(|_| ErrorCode::UnknownTopicOrPartition)?;
    let handle = session.broker().replica().read(|state| state.topic(topic)?.handle(index));
    handle.ok_or(ErrorCode::UnknownTopicOrPartition)
}

fn respond(
    session: &Session,
    partition_index: i32,
    place: Result<Place, ErrorCode>,
    version: i16,
) -> ListOffsetsPartitionResponse {
    match place {
        Ok((offset, timestamp)) => {
            let has_epoch = version >= LEADER_EPOCHS && offset >= 0;
            let leader_epoch = if has_epoch { LEADER_EPOCH } else { -1 };
            ListOffsetsPartitionResponse { partition_index, timestamp, offset, leader_epoch, ..Default::default() }
        }
        Err(error_code) => {
            session.broker().metrics().error(ApiKey::ListOffsets, error_code);
            ListOffsetsPartitionResponse { partition_index, error_code, ..Default::default() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_timestamps_need_the_version_that_brought_them() {
        for (timestamp, since) in [(-1, 1), (-2, 1), (-3, 7), (-4, 8), (-5, 9), (-6, 11)] {
            assert_eq!(query(timestamp, since - 1).is_ok(), since == 1, "{timestamp}");
            assert!(query(timestamp, since).is_ok(), "{timestamp}");
        }
        assert_eq!(query(-7, 11), Err(ErrorCode::UnsupportedVersion));
        assert_eq!(query(i64::MIN, 11), Err(ErrorCode::UnsupportedVersion));
        assert_eq!(query(0, 1), Ok(Query::Time(TimeQuery::AtOrAfter(0))));
    }
}
