//! What happened between two looks.

use std::collections::BTreeMap;

use serde::Serialize;

use super::sample::Sample;
use crate::{output::Row, text::count::counted};

/// The cluster at the later of two looks, with what it did since the earlier.
#[derive(Debug, Clone, Serialize)]
pub struct Rates {
    /// The id of the cluster.
    pub cluster: String,
    /// Its brokers.
    pub brokers: usize,
    /// Records written a second, over all topics.
    pub written_per_s: f64,
    /// Its topics.
    pub topics: Vec<Topic>,
    /// Its partitions.
    pub partitions: Vec<Part>,
    /// Its groups.
    pub groups: Vec<Group>,
    /// What could not be asked, in words.
    pub missing: Vec<String>,
}

/// A topic.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Topic {
    /// Its name.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: usize,
    /// Partitions without a leader, or with too few replicas in sync.
    pub unhealthy: usize,
    /// Records that are there.
    pub records: i64,
    /// Records written a second.
    pub written_per_s: f64,
}

impl Row for Topic {
    const HEADINGS: &'static [&'static str] = &["TOPIC", "PARTITIONS", "UNHEALTHY", "RECORDS", "WRITTEN/S"];
    fn cells(&self) -> Vec<String> {
        let unhealthy = if self.unhealthy > 0 { self.unhealthy.to_string() } else { "-".to_owned() };
        vec![
            self.topic.clone(),
            self.partitions.to_string(),
            unhealthy,
            self.records.to_string(),
            rate(self.written_per_s),
        ]
    }
}

/// A partition.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Its leader.
    pub leader: Option<i32>,
    /// The first offset.
    pub earliest: i64,
    /// The next offset.
    pub latest: i64,
    /// Records written a second.
    pub written_per_s: f64,
}

impl Row for Part {
    const HEADINGS: &'static [&'static str] = &["TOPIC", "PARTITION", "LEADER", "EARLIEST", "LATEST", "WRITTEN/S"];
    fn cells(&self) -> Vec<String> {
        let leader = self.leader.map_or("none".to_owned(), |leader| leader.to_string());
        let offsets = [self.earliest.to_string(), self.latest.to_string()];
        [vec![self.topic.clone(), self.partition.to_string(), leader], offsets.into(), vec![rate(self.written_per_s)]]
            .concat()
    }
}

/// A group.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// Its name.
    pub group: String,
    /// Its state.
    pub state: String,
    /// Topics of which it has offsets.
    pub topics: usize,
    /// Records behind its offsets that it has not read.
    pub lag: i64,
    /// Records read a second, by its commits.
    pub read_per_s: f64,
}

impl Row for Group {
    const HEADINGS: &'static [&'static str] = &["GROUP", "STATE", "TOPICS", "LAG", "READ/S"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.group.clone(),
            self.state.clone(),
            self.topics.to_string(),
            self.lag.to_string(),
            rate(self.read_per_s),
        ]
    }
}

/// A rate for people: nothing, tenths, or whole numbers.
fn rate(per_s: f64) -> String {
    match per_s {
        0.0 => "-".to_owned(),
        rate if rate < 100.0 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

impl Rates {
    /// Between two looks; the first may be the second itself, which gives no rates.
    pub fn between(before: &Sample, now: &Sample) -> Self {
        let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
        // A topic that was made again begins at 0: that is no negative rate.
        let per_s = |count: i64| if seconds > 0.0 { count.max(0) as f64 / seconds } else { 0.0 };
        let mut topics: BTreeMap<&str, Topic> = BTreeMap::new();
        let mut partitions = Vec::with_capacity(now.partitions.len());
        for (at, seen) in &now.partitions {
            let written_per_s = before.partitions.get(at).map_or(0.0, |before| per_s(seen.end - before.end));
            let topic = topics.entry(&at.0).or_default();
            topic.partitions += 1;
            topic.unhealthy += usize::from(seen.leader.is_none() || seen.under_replicated);
            topic.records += seen.end - seen.start;
            topic.written_per_s += written_per_s;
            partitions.push(Part {
                topic: at.0.clone(),
                partition: at.1,
                leader: seen.leader,
                earliest: seen.start,
                latest: seen.end,
                written_per_s,
            });
        }
        let topics: Vec<Topic> =
            topics.into_iter().map(|(name, topic)| Topic { topic: name.to_owned(), ..topic }).collect();
        Self {
            cluster: now.cluster.clone(),
            brokers: now.brokers,
            written_per_s: topics.iter().map(|topic| topic.written_per_s).sum(),
            topics,
            partitions,
            groups: groups(before, now, per_s),
            missing: now.missing.clone(),
        }
    }

    /// One line about all of it.
    pub fn summary(&self) -> String {
        let counts = [
            counted(self.brokers, "broker"),
            counted(self.topics.len(), "topic"),
            counted(self.partitions.len(), "partition"),
            counted(self.groups.len(), "group"),
        ];
        format!("cluster {}: {}, {} records/s", self.cluster, counts.join(", "), rate(self.written_per_s))
    }
}

fn groups(before: &Sample, now: &Sample, per_s: impl Fn(i64) -> f64) -> Vec<Group> {
    let one = |(name, group): (&String, &super::sample::Group)| {
        let earlier = before.groups.get(name);
        let mut topics: Vec<&str> = group.committed.keys().map(|(topic, _)| &**topic).collect();
        topics.dedup();
        let lag = |(at, offset): (&crate::client::offsets::Partition, &i64)| {
            now.partitions.get(at).map_or(0, |seen| (seen.end - offset).max(0))
        };
        let read = |(at, offset): (&crate::client::offsets::Partition, &i64)| {
            earlier.and_then(|group| group.committed.get(at)).map_or(0, |before| (offset - before).max(0))
        };
        Group {
            group: name.clone(),
            state: group.state.clone(),
            topics: topics.len(),
            lag: group.committed.iter().map(lag).sum(),
            read_per_s: per_s(group.committed.iter().map(read).sum()),
        }
    };
    now.groups.iter().map(one).collect()
}

#[cfg(test)]
pub mod tests {
    use std::time::{Duration, Instant};

    use super::{
        super::sample::{Group, Seen},
        *,
    };

    pub fn sample(at: Instant, end: i64, committed: i64) -> Sample {
        let seen = Seen { leader: Some(1), under_replicated: false, start: 0, end };
        let partitions = [(("orders".to_owned(), 0), seen), (("quiet".to_owned(), 0), Seen::default())];
        let committed = [(("orders".to_owned(), 0), committed), (("gone".to_owned(), 0), 5)];
        let group = Group { state: "Stable".to_owned(), committed: committed.into() };
        Sample {
            at,
            cluster: "c".into(),
            brokers: 1,
            partitions: partitions.into(),
            groups: [("g".to_owned(), group)].into(),
            missing: Vec::new(),
        }
    }

    #[test]
    fn rates_are_differences_over_time() {
        let start = Instant::now();
        let rates = Rates::between(&sample(start, 100, 10), &sample(start + Duration::from_secs(2), 300, 250));
        assert_eq!((rates.written_per_s, rates.topics[0].written_per_s, rates.topics[0].records), (100.0, 100.0, 300));
        assert_eq!((rates.topics[1].unhealthy, rates.topics[1].written_per_s), (1, 0.0));
        assert_eq!((rates.groups[0].lag, rates.groups[0].read_per_s, rates.groups[0].topics), (50, 120.0, 2));
    }

    #[test]
    fn what_was_made_again_has_no_negative_rate() {
        let start = Instant::now();
        let rates = Rates::between(&sample(start, 100, 90), &sample(start + Duration::from_secs(1), 5, 0));
        assert_eq!((rates.written_per_s, rates.groups[0].read_per_s), (0.0, 0.0));
        let rates = Rates::between(&sample(start, 100, 90), &sample(start, 100, 90));
        assert_eq!(rates.written_per_s, 0.0);
    }
}
