//! DescribeLogDirs (35) and AlterReplicaLogDirs (34). There are no directories of partitions: all of them lie in the store,
//! which is shown as one directory, with the bytes that a partition's records take there.

use std::{collections::BTreeMap, sync::Arc};

use kafscale_protocol::{
    ApiKey, Array, ErrorCode,
    messages::{alter_replica_log_dirs as alter, describe_log_dirs as describe},
};
use kafscale_state::{State, Topic};

use super::{Answer, Call, Refusal, Session, error_codes, find_partition};

/// The one directory that there is.
const LOG_DIR: &str = "/object-store";

/// A topic's name, and index and bytes of its partitions.
type Sizes<'a> = (&'a str, Vec<(u32, u64)>);

/// Answers once the replica has caught up. Partitions that do not exist are left out, as by Apache Kafka.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: describe::Request<'_> = call.request()?;
    let named = request.topics.iter().flat_map(|topics| topics.iter().map(|topic| topic.partitions.len().max(1)));
    Refusal::unless_few(named.sum())?;
    let broker = session.broker();
    if let Err(error) = broker.barrier().await {
        let error_code = error_codes::of_barrier(&error);
        broker.metrics().error(ApiKey::DescribeLogDirs, error_code);
        return call.respond(&describe::Response { error_code, ..Default::default() });
    }
    let state = broker.replica().snapshot();
    let sizes = match &request.topics {
        None => state.topics().map(|topic| sizes(&state, topic)).collect(),
        Some(topics) => asked(&state, topics),
    };
    let topics = sizes.iter().map(|(name, partitions)| describe::DescribeLogDirsTopic {
        name,
        partitions: partitions.iter().map(|&(index, bytes)| partition(index, bytes)).collect(),
    });
    let dir = describe::DescribeLogDirsResult { log_dir: LOG_DIR, topics: topics.collect(), ..Default::default() };
    call.respond(&describe::Response { results: vec![dir].into(), ..Default::default() })
}

fn sizes<'a>(state: &'a State, topic: &'a Topic) -> Sizes<'a> {
    let partitions = topic.handles().filter_map(|handle| state.partition(handle));
    (topic.name(), partitions.map(|partition| (partition.index(), partition.bytes())).collect())
}

fn asked<'a>(state: &'a State, topics: &Array<'a, describe::DescribableLogDirTopic<'a>>) -> Vec<Sizes<'a>> {
    let mut found: BTreeMap<&str, BTreeMap<u32, u64>> = BTreeMap::new();
    for topic in topics.iter() {
        let partitions = topic.partitions.iter().filter_map(|index| find_partition(state, topic.topic, index));
        let partitions: Vec<_> = partitions.map(|partition| (partition.index(), partition.bytes())).collect();
        if !partitions.is_empty() {
            found.entry(topic.topic).or_default().extend(partitions);
        }
    }
    found.into_iter().map(|(name, partitions)| (name, partitions.into_iter().collect())).collect()
}

fn partition(index: u32, bytes: u64) -> describe::DescribeLogDirsPartition {
    describe::DescribeLogDirsPartition {
        partition_index: index as i32,
        partition_size: i64::try_from(bytes).unwrap_or(i64::MAX),
        ..Default::default()
    }
}

/// A partition that shall move to where it is has moved; another directory is not known.
pub async fn handle_alter(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: alter::Request<'_> = call.request()?;
    let named =
        request.dirs.iter().flat_map(|dir| dir.topics.iter().map(|topic| topic.partitions.len()).collect::<Vec<_>>());
    Refusal::unless_few(named.sum::<usize>() + request.dirs.len())?;
    let broker = session.broker();
    let reached = broker.barrier().await;
    let state = broker.replica().snapshot();
    let judge = |path: &str, topic: &str, index| match &reached {
        Err(error) => error_codes::of_barrier(error),
        Ok(()) if path != LOG_DIR => ErrorCode::LogDirNotFound,
        Ok(()) if find_partition(&state, topic, index).is_none() => ErrorCode::UnknownTopicOrPartition,
        Ok(()) => ErrorCode::None,
    };
    let mut results: BTreeMap<&str, Vec<alter::AlterReplicaLogDirPartitionResult>> = BTreeMap::new();
    for dir in request.dirs.iter() {
        for topic in dir.topics.iter() {
            let result = |partition_index| {
                let error_code = judge(dir.path, topic.name, partition_index);
                alter::AlterReplicaLogDirPartitionResult { partition_index, error_code }
            };
            results.entry(topic.name).or_default().extend(topic.partitions.iter().map(result));
        }
    }
    for result in results.values().flatten().filter(|result| result.error_code != ErrorCode::None) {
        broker.metrics().error(ApiKey::AlterReplicaLogDirs, result.error_code);
    }
    let results = results.into_iter().map(|(topic_name, partitions)| alter::AlterReplicaLogDirTopicResult {
        topic_name,
        partitions: partitions.into(),
    });
    call.respond(&alter::Response { results: results.collect(), ..Default::default() })
}
