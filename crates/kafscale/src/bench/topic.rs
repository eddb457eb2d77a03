//! The topic that a run needs: creating it, and learning its partitions.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use krafka::{
    Kafka,
    admin::{
        AdminClient, CreateTopicsOptions, DescribeTopicsOptions, ListOffsetsOptions, NewTopic, OffsetSpec,
        TopicPartition,
    },
    error::{ErrorCode, KrafkaError},
};

use super::options::Options;
use crate::{
    client::{self, AbsentTopic},
    exit::Failure,
};

/// How long a new topic may take to be known.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a topic that is not known yet.
const PAUSE: Duration = Duration::from_millis(100);

/// Creates the topic with so many partitions, if it is absent. The replication is the server's default.
pub async fn create(options: &Options, partitions: u32) -> Result<(), Failure> {
    let what = format!("cannot create topic {}", options.topic);
    let kafka = client::connect(&options.properties, AbsentTopic::Leave).await?;
    let admin = client::admin(&kafka, &options.properties)?;
    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
    let topic = NewTopic::new(&options.topic, partitions, -1).map_err(client::failure_of(&what))?;
    let created = admin.create_topics([topic], CreateTopicsOptions::default()).await;
    for result in created.map_err(client::failure_of(&what))?.into_values() {
        match result {
            Ok(()) | Err(KrafkaError::Broker { code: ErrorCode::TopicAlreadyExists, .. }) => {}
            Err(error) => return Err(client::failure(error, &what)),
        }
    }
    Ok(())
}

/// First offset and the offset after the last, of every partition.
pub type Bounds = BTreeMap<i32, (i64, i64)>;

/// Whether a topic that nobody knows may become known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// It was there before the run, or it is not there.
    Old,
    /// The run itself has asked for it just now.
    New,
}

/// Asks for the bounds of all partitions, once every one has a leader.
pub async fn bounds(kafka: &Kafka, options: &Options, age: Age) -> Result<Bounds, Failure> {
    let admin = client::admin(kafka, &options.properties)?;
    let partitions = partitions(&admin, &options.topic, age).await?;
    let starts = offsets(&admin, &options.topic, &partitions, OffsetSpec::Earliest).await?;
    let ends = offsets(&admin, &options.topic, &partitions, OffsetSpec::Latest).await?;
    Ok(starts.into_iter().zip(ends.into_values()).map(|((partition, start), end)| (partition, (start, end))).collect())
}

async fn partitions(admin: &AdminClient, topic: &str, age: Age) -> Result<Vec<i32>, Failure> {
    let started = Instant::now();
    loop {
        let described = admin.describe_topics([topic], DescribeTopicsOptions::default()).await;
        let described =
            described.and_then(|mut all| all.remove(topic).unwrap_or(Err(KrafkaError::unknown_topic(topic))));
        match described {
            Ok(known) if known.partitions.iter().all(|partition| partition.leader.is_some()) => {
                return Ok(known.partitions.iter().map(|partition| partition.partition).collect());
            }
            Err(error) if started.elapsed() > PATIENCE || is_final(&error, age) => {
                return Err(client::failure(error, &format!("topic {topic} is not known")));
            }
            Ok(_) if started.elapsed() > PATIENCE => {
                return Err(anyhow::anyhow!("not every partition of topic {topic} has a leader").into());
            }
            Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// An absent topic is told at once, unless it is being made.
fn is_final(error: &KrafkaError, age: Age) -> bool {
    let absent = matches!(
        error,
        KrafkaError::UnknownTopic { .. } | KrafkaError::Broker { code: ErrorCode::UnknownTopicOrPartition, .. }
    );
    if absent { age == Age::Old } else { !error.is_retriable() }
}

async fn offsets(
    admin: &AdminClient,
    topic: &str,
    partitions: &[i32],
    spec: OffsetSpec,
) -> Result<BTreeMap<i32, i64>, Failure> {
    let what = || format!("no offsets of topic {topic}");
    let asked = partitions.iter().map(|partition| (TopicPartition::new(topic, *partition), spec));
    let listed = admin.list_offsets(asked, ListOffsetsOptions::default()).await.map_err(client::failure_of(what()))?;
    let offset = |(at, listed): (TopicPartition, Result<krafka::admin::ListedOffset, KrafkaError>)| {
        listed.map(|listed| (at.partition, listed.offset)).map_err(client::failure_of(what()))
    };
    listed.into_iter().map(offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_topic_that_is_being_made_is_waited_for() {
        let absent = KrafkaError::broker(ErrorCode::UnknownTopicOrPartition, "");
        assert_eq!([Age::Old, Age::New].map(|age| is_final(&absent, age)), [true, false]);
        let unready = KrafkaError::broker(ErrorCode::LeaderNotAvailable, "");
        let denied = KrafkaError::broker(ErrorCode::TopicAuthorizationFailed, "");
        assert_eq!([&unready, &denied].map(|error| is_final(error, Age::Old)), [false, true]);
    }
}
