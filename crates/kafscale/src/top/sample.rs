//! One look at a cluster.

use std::{collections::BTreeMap, time::Instant};

use krafka::admin::{
    DescribeTopicsOptions, ListConsumerGroupOffsetsOptions, ListConsumerGroupsOptions, ListTopicsOptions, OffsetSpec,
};

use crate::{
    client::{
        Session, failure_of,
        offsets::{self, Partition},
    },
    exit::Failure,
};

/// Groups whose offsets are read in one look; each costs a request.
const GROUPS_MAX: usize = 500;

/// What was seen, and when.
pub struct Sample {
    /// When it was complete.
    pub at: Instant,
    /// The id of the cluster.
    pub cluster: String,
    /// Its brokers.
    pub brokers: usize,
    /// The partitions of all topics that are not internal.
    pub partitions: BTreeMap<Partition, Seen>,
    /// The groups.
    pub groups: BTreeMap<String, Group>,
    /// What could not be asked, in words.
    pub missing: Vec<String>,
}

/// A partition as it was seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Its leader.
    pub leader: Option<i32>,
    /// Whether fewer replicas are in sync than there are.
    pub under_replicated: bool,
    /// The first offset.
    pub start: i64,
    /// The next offset.
    pub end: i64,
}

/// A group as it was seen.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Its state.
    pub state: String,
    /// What it has committed.
    pub committed: BTreeMap<Partition, i64>,
}

impl Sample {
    /// Looks. Groups that cannot be asked are named in `missing`: a Kafka without groups is still shown.
    pub async fn take(session: &Session) -> Result<Self, Failure> {
        let admin = &session.admin;
        let what = || failure_of("cannot look at the cluster");
        let cluster = admin.describe_cluster(Default::default()).await.map_err(what())?;
        let names = admin.list_topics(ListTopicsOptions::default()).await.map_err(what())?;
        let described = admin.describe_topics(&names, DescribeTopicsOptions::default()).await.map_err(what())?;
        let mut partitions = BTreeMap::new();
        for (topic, described) in BTreeMap::from_iter(described) {
            // A topic that was deleted meanwhile is not shown.
            for partition in described.iter().flat_map(|topic| &topic.partitions) {
                let under_replicated = partition.isr.len() < partition.replicas.len();
                let seen = Seen { leader: partition.leader, under_replicated, ..Seen::default() };
                partitions.insert((topic.clone(), partition.partition), seen);
            }
        }
        let all: Vec<Partition> = partitions.keys().cloned().collect();
        for (at, start) in offsets::try_list(admin, &all, OffsetSpec::Earliest).await? {
            if let (Some(seen), Ok(start)) = (partitions.get_mut(&at), start) {
                seen.start = start;
            }
        }
        for (at, end) in offsets::try_list(admin, &all, OffsetSpec::Latest).await? {
            if let (Some(seen), Ok(end)) = (partitions.get_mut(&at), end) {
                seen.end = end;
            }
        }
        let mut missing = Vec::new();
        let groups = groups(session, &mut missing).await;
        Ok(Self {
            at: Instant::now(),
            cluster: cluster.cluster_id,
            brokers: cluster.brokers.len(),
            partitions,
            groups,
            missing,
        })
    }
}

async fn groups(session: &Session, missing: &mut Vec<String>) -> BTreeMap<String, Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    match session.admin.list_consumer_groups(ListConsumerGroupsOptions::default()).await {
        Ok(by_broker) => {
            for (broker, listed) in BTreeMap::from_iter(by_broker) {
                match listed {
                    Ok(listed) => groups.extend(listed.into_iter().map(|group| {
                        let state = group.state.unwrap_or_default();
                        (group.group_id, Group { state, committed: BTreeMap::new() })
                    })),
                    Err(error) => missing.push(format!("groups of broker {broker}: {error}")),
                }
            }
        }
        Err(error) => missing.push(format!("groups: {error}")),
    }
    if groups.len() > GROUPS_MAX {
        missing.push(format!("the offsets of {} groups beyond the first {GROUPS_MAX}", groups.len() - GROUPS_MAX));
    }
    for (name, group) in groups.iter_mut().take(GROUPS_MAX) {
        let asked = session.admin.list_consumer_group_offsets(name, ListConsumerGroupOffsetsOptions::default()).await;
        let Ok(offsets) = asked else { continue };
        group.committed = offsets
            .into_iter()
            .filter_map(|(at, offset)| Some(((at.topic, at.partition), offset.ok()?.offset?)))
            .collect();
    }
    groups
}
