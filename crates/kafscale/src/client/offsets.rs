//! Partitions and their offsets: what several commands ask for.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use krafka::{
    admin::{AdminClient, DescribeTopicsOptions, ListOffsetsOptions, OffsetSpec, TopicPartition},
    error::KrafkaError,
};

use super::{Session, failure, failure_of};
use crate::exit::{Exit, Failure};

/// A topic and one of its partitions.
pub type Partition = (String, i32);
/// Offsets of partitions.
pub type Offsets = BTreeMap<Partition, i64>;

/// Requests for different points in time that are under way at once.
const LOOKUPS_AT_ONCE: usize = 8;

/// All partitions of these topics, in order.
pub async fn partitions(admin: &AdminClient, topics: &[String]) -> Result<Vec<Partition>, Failure> {
    let described = admin.describe_topics(topics, DescribeTopicsOptions::default()).await;
    let described = described.map_err(failure_of("cannot describe topics"))?;
    let mut all = Vec::new();
    for (topic, described) in BTreeMap::from_iter(described) {
        let described = described.map_err(|error| failure(error, &format!("topic {topic}")))?;
        all.extend(described.partitions.iter().map(|partition| (topic.clone(), partition.partition)));
    }
    all.sort();
    Ok(all)
}

/// The first or the next offset of partitions. The first error counts for all.
pub async fn list(admin: &AdminClient, of: &[Partition], spec: OffsetSpec) -> Result<Offsets, Failure> {
    let mut offsets = Offsets::new();
    for ((topic, partition), listed) in try_list(admin, of, spec).await? {
        let listed = listed.map_err(|error| failure(error, &format!("no offset of {topic} [{partition}]")))?;
        offsets.insert((topic, partition), listed);
    }
    Ok(offsets)
}

/// The same with an outcome for each partition.
pub async fn try_list(
    admin: &AdminClient,
    of: &[Partition],
    spec: OffsetSpec,
) -> Result<BTreeMap<Partition, Result<i64, KrafkaError>>, Failure> {
    let asked = of.iter().map(|(topic, partition)| (TopicPartition::new(topic, *partition), spec));
    let listed = admin.list_offsets(asked, ListOffsetsOptions::default()).await;
    let listed = listed.map_err(failure_of("cannot list offsets"))?.into_iter();
    Ok(listed.map(|(at, listed)| ((at.topic, at.partition), listed.map(|listed| listed.offset))).collect())
}

/// The first offset whose record is at least as new as this; where there is none, the partition's end.
pub async fn at_time(session: &Session, of: &[Partition], ms: i64) -> Result<Offsets, Failure> {
    // The admin client takes "no such record" for an answer that is still to come and asks until its time is over.
    let consumer = session.kafka.consumer_without_group().metrics_push(false).build().await;
    let consumer = consumer.map_err(failure_of("cannot start a consumer"))?;
    let consumer = &consumer;
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in of {
        topics.entry(topic).or_default().push(*partition);
    }
    let found: Vec<Vec<(Partition, i64)>> = stream::iter(topics)
        .map(|(topic, partitions)| async move {
            let asked: Vec<(&str, i32)> = partitions.iter().map(|partition| (topic, *partition)).collect();
            let found = consumer.offsets_for_times(&asked, ms).await;
            let one = |(at, found): (Partition, Result<i64, KrafkaError>)| {
                found
                    .map_err(|error| failure(error, &format!("no offset of {} [{}]", at.0, at.1)))
                    .map(|offset| (at, offset))
            };
            found.into_iter().map(one).collect::<Result<Vec<_>, Failure>>()
        })
        .buffer_unordered(LOOKUPS_AT_ONCE)
        .try_collect()
        .await?;
    let mut offsets: Offsets = found.into_iter().flatten().collect();
    let newer: Vec<Partition> = offsets.iter().filter(|(_, offset)| **offset < 0).map(|(at, _)| at.clone()).collect();
    if !newer.is_empty() {
        offsets.extend(list(&session.admin, &newer, OffsetSpec::Latest).await?);
    }
    consumer.close().await.map_err(failure_of("cannot end the consumer"))?;
    Ok(offsets)
}

/// Reads `topic` or `topic:0,1,5-7`; without partitions it means all.
pub fn parse_selection(text: &str) -> Result<(String, Option<Vec<i32>>), Failure> {
    match text.split_once(':') {
        None => Ok((text.to_owned(), None)),
        Some((topic, list)) => Ok((topic.to_owned(), Some(parse_partitions(list)?))),
    }
}

/// Reads `0,1,5-7`.
pub fn parse_partitions(text: &str) -> Result<Vec<i32>, Failure> {
    let wrong = || Failure::new(Exit::Usage, anyhow::anyhow!("{text}: expected partitions such as 0,1,5-7"));
    let number = |text: &str| text.parse::<i32>().ok().filter(|number| *number >= 0).ok_or_else(wrong);
    let mut partitions = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            None => partitions.push(number(part)?),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last || last - first >= PARTITIONS_MAX {
                    return Err(wrong());
                }
                partitions.extend(first..=last);
            }
        }
    }
    partitions.sort_unstable();
    partitions.dedup();
    Ok(partitions)
}

/// A range wider than this is a typing error.
const PARTITIONS_MAX: i32 = 1_000_000;

/// The partitions that selections name. A partition that a topic does not have is an error.
pub async fn select(admin: &AdminClient, selections: &[String]) -> Result<Vec<Partition>, Failure> {
    let selections = selections.iter().map(|text| parse_selection(text)).collect::<Result<Vec<_>, _>>()?;
    let mut topics: Vec<String> = selections.iter().map(|(topic, _)| topic.clone()).collect();
    topics.sort();
    topics.dedup();
    let known = partitions(admin, &topics).await?;
    let mut selected = Vec::new();
    for (topic, partitions) in selections {
        let all = known.iter().filter(|(of, _)| *of == topic);
        match partitions {
            None => selected.extend(all.cloned()),
            Some(wanted) => {
                let all: Vec<i32> = all.map(|(_, partition)| *partition).collect();
                if let Some(absent) = wanted.iter().find(|partition| !all.contains(partition)) {
                    let count = all.len();
                    let error = anyhow::anyhow!("topic {topic} has no partition {absent}; it has {count}");
                    return Err(Failure::new(Exit::NotFound, error));
                }
                selected.extend(wanted.into_iter().map(|partition| (topic.clone(), partition)));
            }
        }
    }
    selected.sort();
    selected.dedup();
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_are_read() {
        assert_eq!(parse_selection("t").unwrap(), ("t".into(), None));
        assert_eq!(parse_selection("t:3,0-1,1").unwrap(), ("t".into(), Some(vec![0, 1, 3])));
        for wrong in ["t:", "t:x", "t:2-1", "t:-1", "t:0-99999999"] {
            assert_eq!(parse_selection(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }
}
