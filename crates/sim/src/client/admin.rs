//! Single questions: producer ids, topics, ends of partitions.

use std::{sync::Arc, time::Duration};

use kafscale_protocol::{
    ErrorCode,
    messages::{create_partitions, create_topics, delete_topics, init_producer_id, list_offsets, metadata},
};
use kafscale_runtime::Runtime;

use super::{
    Partition, group,
    link::{Brokers, Link, Lost},
    producer::Broken,
};
use crate::{
    executor::Node,
    history::{Dated, History, Place},
};

const INIT_PRODUCER_ID: i16 = 5;
const CREATE_TOPICS: i16 = 7;
const CREATE_PARTITIONS: i16 = 3;
const DELETE_TOPICS: i16 = 6;
const METADATA: i16 = 12;
const LIST_OFFSETS: i16 = 7;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const GREATEST: i64 = -3;

/// A new producer id and its epoch.
pub async fn init_producer_id(node: &Node, link: &mut Link) -> Result<(i64, i16), Broken> {
    loop {
        let request = init_producer_id::Request { transaction_timeout_ms: 60_000, ..Default::default() };
        let frame = link.ask(INIT_PRODUCER_ID, &request).await?;
        let response: init_producer_id::Response = link.read(INIT_PRODUCER_ID, &frame);
        match response.error_code {
            ErrorCode::None => return Ok((response.producer_id, response.producer_epoch)),
            error if error.is_retriable() => node.sleep(Duration::from_millis(100)).await,
            error => return Err(Broken::Fatal(format!("InitProducerId: {error:?}"))),
        }
    }
}

/// Creates a topic, however often that takes, and tells its partitions.
pub async fn create_topic(
    node: &Node,
    brokers: &Brokers,
    name: &Arc<str>,
    partitions: i32,
    configs: &[(&str, &str)],
) -> Result<Vec<Partition>, String> {
    loop {
        let mut link = brokers.connect(node).await;
        match try_create(&mut link, name, partitions, configs).await {
            Ok(Some(created)) => return Ok(created),
            Ok(None) | Err(Broken::Lost) => node.sleep(Duration::from_millis(100)).await,
            Err(Broken::Fatal(wrong)) => return Err(wrong),
        }
    }
}

async fn try_create(
    link: &mut Link,
    name: &Arc<str>,
    partitions: i32,
    configs: &[(&str, &str)],
) -> Result<Option<Vec<Partition>>, Broken> {
    let configs = configs.iter().map(|(name, value)| create_topics::CreatableTopicConfig { name, value: Some(value) });
    let topic = create_topics::CreatableTopic {
        name,
        num_partitions: partitions,
        replication_factor: 1,
        configs: configs.collect::<Vec<_>>().into(),
        ..Default::default()
    };
    let request = create_topics::Request { topics: vec![topic].into(), timeout_ms: 30_000, ..Default::default() };
    let frame = link.ask(CREATE_TOPICS, &request).await?;
    let response: create_topics::Response<'_> = link.read(CREATE_TOPICS, &frame);
    let error = response.topics.iter().next().map_or(ErrorCode::UnknownServerError, |topic| topic.error_code);
    match error {
        // An earlier attempt may have done it.
        ErrorCode::None | ErrorCode::TopicAlreadyExists => describe(link, name).await,
        error if error.is_retriable() => Ok(None),
        error => Err(Broken::Fatal(format!("CreateTopics {name}: {error:?}"))),
    }
}

/// The partitions of a topic that exists, asked for until they are told.
pub async fn find(node: &Node, brokers: &Brokers, name: &Arc<str>) -> Result<Vec<Partition>, String> {
    loop {
        let mut link = brokers.connect(node).await;
        match describe(&mut link, name).await {
            Ok(Some(partitions)) => return Ok(partitions),
            Ok(None) | Err(Broken::Lost) => node.sleep(Duration::from_millis(100)).await,
            Err(Broken::Fatal(wrong)) => return Err(wrong),
        }
    }
}

/// The partitions of a topic that is known to exist, for a member of a group.
pub(super) async fn partitions(link: &mut Link, name: &Arc<str>) -> Result<Vec<Partition>, group::Broken> {
    match describe(link, name).await {
        Ok(Some(partitions)) => Ok(partitions),
        Ok(None) | Err(Broken::Lost) => Err(group::Broken::Lost),
        Err(Broken::Fatal(wrong)) => Err(group::Broken::Wrong(wrong)),
    }
}

async fn describe(link: &mut Link, name: &Arc<str>) -> Result<Option<Vec<Partition>>, Broken> {
    let topic = metadata::MetadataRequestTopic { name: Some(name), ..Default::default() };
    let request =
        metadata::Request { topics: Some(vec![topic].into()), allow_auto_topic_creation: false, ..Default::default() };
    let frame = link.ask(METADATA, &request).await?;
    let response: metadata::Response<'_> = link.read(METADATA, &frame);
    let Some(topic) = response.topics.iter().next() else { return Ok(None) };
    match topic.error_code {
        ErrorCode::None => {
            let partition = |found: metadata::MetadataResponsePartition<'_>| Partition {
                topic: Arc::clone(name),
                id: topic.topic_id,
                index: found.partition_index,
            };
            Ok(Some(topic.partitions.iter().map(partition).collect()))
        }
        // The broker said a moment ago that it exists.
        ErrorCode::UnknownTopicOrPartition => {
            Err(Broken::Fatal(format!("{name} was created and is unknown to the same broker")))
        }
        _ => Ok(None),
    }
}

/// One partition more for a topic that exists, however often that takes; none if it has all that were asked for already.
pub async fn grow(node: &Node, brokers: &Brokers, name: &Arc<str>) -> Result<Option<Partition>, String> {
    let mut wanted = None;
    loop {
        let mut link = brokers.connect(node).await;
        match try_grow(&mut link, name, &mut wanted).await {
            Ok(Some(grown)) => return Ok(grown.into_iter().last()),
            Ok(None) | Err(Broken::Lost) => node.sleep(Duration::from_millis(100)).await,
            Err(Broken::Fatal(wrong)) => return Err(wrong),
        }
    }
}

async fn try_grow(
    link: &mut Link,
    name: &Arc<str>,
    wanted: &mut Option<i32>,
) -> Result<Option<Vec<Partition>>, Broken> {
    let Some(before) = describe(link, name).await? else { return Ok(None) };
    let have = i32::try_from(before.len()).expect("few");
    let count = *wanted.get_or_insert(have + 1);
    // An earlier attempt may have done it.
    if have >= count {
        return Ok(Some(before));
    }
    let topic = create_partitions::CreatePartitionsTopic { name, count, assignments: None };
    let request = create_partitions::Request { topics: vec![topic].into(), timeout_ms: 30_000, ..Default::default() };
    let frame = link.ask(CREATE_PARTITIONS, &request).await?;
    let response: create_partitions::Response<'_> = link.read(CREATE_PARTITIONS, &frame);
    let error = response.results.iter().next().map_or(ErrorCode::UnknownServerError, |topic| topic.error_code);
    match error {
        ErrorCode::None | ErrorCode::InvalidPartitions => {}
        error if error.is_retriable() => return Ok(None),
        error => return Err(Broken::Fatal(format!("CreatePartitions {name}: {error:?}"))),
    }
    // Metadata is of this replica, which has applied the entry.
    Ok(describe(link, name).await?.filter(|now| now.len() > before.len()))
}

/// Deletes a topic by its id, however often that takes.
pub async fn delete_topic(node: &Node, brokers: &Brokers, partition: &Partition) -> Result<(), String> {
    loop {
        let mut link = brokers.connect(node).await;
        let state = delete_topics::DeleteTopicState { name: None, topic_id: partition.id };
        let request = delete_topics::Request { topics: vec![state].into(), timeout_ms: 30_000, ..Default::default() };
        let Ok(frame) = link.ask(DELETE_TOPICS, &request).await else { continue };
        let response: delete_topics::Response<'_> = link.read(DELETE_TOPICS, &frame);
        let error = response.responses.iter().next().map_or(ErrorCode::UnknownServerError, |topic| topic.error_code);
        match error {
            // An earlier attempt may have done it.
            ErrorCode::None | ErrorCode::UnknownTopicId => return Ok(()),
            error if error.is_retriable() => node.sleep(Duration::from_millis(100)).await,
            error => return Err(format!("DeleteTopics {}: {error:?}", partition.topic)),
        }
    }
}

/// Asks for the ends of partitions; none where there was no answer. Writes questions and answers down.
pub async fn ends(
    history: &History,
    client: u64,
    link: &mut Link,
    partitions: &[Partition],
) -> Result<Vec<Option<Place>>, Lost> {
    let ops: Vec<_> = partitions.iter().map(|partition| history.ask_end(client, &partition.line())).collect();
    let answer = list_offsets(link, partitions, LATEST).await;
    let end = |row: Option<(i64, i64)>| row.and_then(|(offset, _)| Place::try_from(offset).ok());
    let answer = answer.map(|rows| rows.into_iter().map(end).collect::<Vec<_>>());
    let ends = answer.clone().unwrap_or_else(|_| vec![None; partitions.len()]);
    for (op, end) in ops.into_iter().zip(&ends) {
        history.told_end(op, *end);
    }
    answer
}

/// Asks for the first places of partitions; none where there was no answer. Writes down what was told.
pub async fn starts(
    node: &Node,
    history: &History,
    link: &mut Link,
    partitions: &[Partition],
) -> Result<Vec<Option<Place>>, Lost> {
    let rows = list_offsets(link, partitions, EARLIEST).await?;
    let starts = rows.into_iter().map(|row| row.and_then(|(offset, _)| Place::try_from(offset).ok()));
    let starts: Vec<_> = starts.collect();
    for (partition, start) in partitions.iter().zip(&starts) {
        start.iter().for_each(|start| history.started(&partition.line(), *start, node.wall_clock_ms()));
    }
    Ok(starts)
}

/// Asks where a time begins in partitions, or for the greatest. Writes questions and answers down.
pub async fn times(
    history: &History,
    client: u64,
    link: &mut Link,
    partitions: &[Partition],
    at_or_after: Option<i64>,
) -> Result<(), Lost> {
    let ask = |partition: &Partition| history.ask_time(client, &partition.line(), at_or_after);
    let ops: Vec<_> = partitions.iter().map(ask).collect();
    let answer = list_offsets(link, partitions, at_or_after.unwrap_or(GREATEST)).await;
    let rows = answer.clone().unwrap_or_else(|_| vec![None; partitions.len()]);
    for (op, row) in ops.into_iter().zip(rows) {
        let dated = match row {
            Some((offset, time)) => Place::try_from(offset).map_or(Dated::Nowhere, |at| Dated::At(at, time)),
            None => Dated::Unknown,
        };
        history.told_time(op, dated);
    }
    answer.map(|_| ())
}

/// Offset and timestamp for each partition; none where there was an error.
async fn list_offsets(
    link: &mut Link,
    partitions: &[Partition],
    timestamp: i64,
) -> Result<Vec<Option<(i64, i64)>>, Lost> {
    let topics = partitions.iter().map(|partition| list_offsets::ListOffsetsTopic {
        name: &partition.topic,
        partitions: vec![list_offsets::ListOffsetsPartition {
            partition_index: partition.index,
            timestamp,
            ..Default::default()
        }]
        .into(),
    });
    let request = list_offsets::Request { replica_id: -1, topics: topics.collect(), ..Default::default() };
    let frame = link.ask(LIST_OFFSETS, &request).await?;
    let response: list_offsets::Response<'_> = link.read(LIST_OFFSETS, &frame);
    let told = partitions.iter().map(|partition| {
        let rows = response.topics.iter().filter(|topic| topic.name == &*partition.topic);
        let found = rows
            .flat_map(|topic| topic.partitions.iter().collect::<Vec<_>>())
            .find(|row| row.partition_index == partition.index && row.error_code == ErrorCode::None);
        found.map(|row| (row.offset, row.timestamp))
    });
    Ok(told.collect())
}
