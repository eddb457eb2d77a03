//! The work of `kafscale consume`: where partitions begin and end, reading them, printing, committing.

mod point;
mod print;
mod refusals;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Context;
use krafka::{
    admin::OffsetSpec,
    consumer::{Consumer, ConsumerRecord, OffsetAndMetadata, TopicPartition},
    error::{ErrorCode, KrafkaError},
};

pub use point::Point;
pub use print::{Form, Printer};
use refusals::{GIVEN_UP_AFTER, Refusals};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    client::{
        self, AbsentTopic, Properties, Session, failure, failure_of,
        offsets::{self, Offsets, Partition},
    },
    exit::{Exit, Failure},
    logging,
};

/// How long a poll waits for records.
const POLL: Duration = Duration::from_millis(500);
/// How often a group's offsets are committed while it reads.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// Who wants an end and gets nothing for so long has lost the Kafka.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What to read and what to do with it.
pub struct Plan {
    /// The topics.
    pub topics: Vec<String>,
    /// Only these partitions of each.
    pub partitions: Option<Vec<i32>>,
    /// Where to begin.
    pub from: Point,
    /// Where to end; none reads for ever.
    pub to: Option<Point>,
    /// How many records at most.
    pub count: Option<u64>,
    /// Whether a group's offsets are committed.
    pub commit: bool,
    /// How a record is printed.
    pub form: Form,
}

/// Reads and prints until the end, the count, Ctrl-C, or until nobody reads stdout any more.
pub fn run(properties: Properties, plan: Plan) -> Result<(), Failure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the client")?;
    runtime.block_on(async {
        let session = Session::open(properties, AbsentTopic::Leave).await?;
        let mut reader = Reader::start(&session, plan).await?;
        let read = reader.read().await;
        let ended = reader.end().await;
        read.and(ended)
    })
}

struct Reader {
    consumer: Consumer,
    plan: Plan,
    printer: Printer,
    /// Where each partition ends; empty for one that never does.
    ends: Offsets,
    /// Partitions that are read by assignment and not yet to their end.
    open: Vec<Partition>,
    /// The next offset of each partition of which something was printed since the last commit.
    printed: Offsets,
    committed_at: Instant,
    refusals: Refusals,
    /// Partitions of whose errors a word was said.
    told: Vec<(Partition, ErrorCode)>,
    group: bool,
    left: u64,
}

impl Reader {
    async fn start(session: &Session, plan: Plan) -> Result<Self, Failure> {
        let group = session.properties.some("group.id").is_some();
        let all = partitions(session, &plan).await?;
        let ends = match plan.to {
            Some(point) => point.resolve(session, &all).await?,
            None => Offsets::new(),
        };
        let consumer = client::consumer(&session.kafka, &session.properties)?.build().await;
        let consumer = consumer.map_err(failure_of("cannot start a consumer"))?;
        let (left, printer) = (plan.count.unwrap_or(u64::MAX), Printer::new(&plan.form));
        let mut reader = Self {
            consumer,
            plan,
            printer,
            ends,
            open: Vec::new(),
            printed: Offsets::new(),
            committed_at: Instant::now(),
            refusals: Refusals::listen(),
            told: Vec::new(),
            group,
            left,
        };
        if group {
            let subscribed = reader.consumer.subscribe(&reader.plan.topics).await;
            subscribed.map_err(failure_of("cannot join the group"))?;
        } else {
            let starts = reader.plan.from.resolve(session, &all).await?;
            reader.assign(starts).await?;
        }
        Ok(reader)
    }

    /// Assigns the partitions that have something between their start and their end.
    async fn assign(&mut self, mut starts: Offsets) -> Result<(), Failure> {
        starts.retain(|at, start| self.ends.get(at).is_none_or(|end| *start < *end));
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in starts.keys() {
            topics.entry(topic).or_default().push(*partition);
        }
        for (topic, partitions) in topics {
            self.consumer.assign(topic, partitions).await.map_err(failure_of("cannot assign partitions"))?;
        }
        let seeks = starts.iter().map(|((topic, partition), offset)| (TopicPartition::new(topic, *partition), *offset));
        self.consumer.seek_many(seeks).await.map_err(failure_of("cannot assign partitions"))?;
        self.open = starts.into_keys().collect();
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Failure> {
        let (interrupt, mut interrupted) = tokio::sync::oneshot::channel();
        let mut signals = signal(SignalKind::interrupt()).map_err(|error| anyhow::anyhow!("no signals: {error}"))?;
        tokio::spawn(async move {
            signals.recv().await;
            _ = interrupt.send(());
            // A second one waits for nothing, such as a commit that is not answered.
            signals.recv().await;
            std::process::exit(Exit::Interrupted as i32);
        });
        let mut heard = Instant::now();
        while self.left > 0 && !self.is_at_end().await {
            let polled = tokio::select! {
                biased;
                _ = &mut interrupted => return Ok(()),
                polled = self.consumer.poll(POLL) => polled,
            };
            if let Some(failure) = polled.as_ref().err().and_then(refusals::undecodable) {
                return Err(failure);
            }
            let records = match polled {
                Ok(records) => records,
                Err(error) if error.is_retriable() => {
                    logging::say("WARN", &format!("reading again after: {}", client::plain(&error)));
                    Vec::new()
                }
                Err(error) => return Err(failure(error, "cannot read")),
            };
            if !records.is_empty() {
                heard = Instant::now();
            } else if self.plan.to.is_some() && heard.elapsed() > SILENCE_MAX {
                let text = format!("nothing came for {SILENCE_MAX:?}, and the end is not reached");
                return Err(Failure::new(Exit::Unreachable, anyhow::anyhow!(text)));
            }
            if !self.print(records)? {
                return Ok(());
            }
            self.heed_refusals().await?;
            if self.group && self.committed_at.elapsed() >= COMMIT_INTERVAL {
                self.commit().await?;
            }
        }
        Ok(())
    }

    /// Says which partitions answer with errors again and again. Who follows waits on, and who wants an end gives up.
    async fn heed_refusals(&mut self) -> Result<(), Failure> {
        for (at, refusal) in self.refusals.standing() {
            let offset = self.consumer.position(&at.0, at.1).await;
            let failure = refusals::told(&at, offset, refusal);
            if self.plan.to.is_some() && refusal.times >= GIVEN_UP_AFTER {
                return Err(failure);
            }
            let one = (at, refusal.code);
            if !self.told.contains(&one) {
                logging::say("WARN", &format!("asking again: {failure}"));
                self.told.push(one);
            }
        }
        Ok(())
    }

    /// Prints what is wanted; false where nobody reads stdout any more.
    fn print(&mut self, records: Vec<ConsumerRecord>) -> Result<bool, Failure> {
        for record in records {
            let at = (record.topic.to_string(), record.partition);
            let beyond = !self.group && self.ends.get(&at).is_some_and(|end| record.offset >= *end);
            if beyond || self.left == 0 {
                continue;
            }
            if !self.printer.print(&record)? {
                return Ok(false);
            }
            self.left -= 1;
            self.refusals.forget(&at);
            self.printed.insert(at, record.offset + 1);
        }
        self.printer.flush()
    }

    /// Whether everything up to the ends was read. Positions count and not records: an end may lie behind the last one.
    async fn is_at_end(&mut self) -> bool {
        if self.plan.to.is_none() {
            return false;
        }
        if self.group {
            return self.group_is_at_end().await;
        }
        let mut open = Vec::new();
        for at in std::mem::take(&mut self.open) {
            if self.is_read(&at).await {
                self.consumer.pause(&at.0, &[at.1]).await;
            } else {
                open.push(at);
            }
        }
        self.open = open;
        self.open.is_empty()
    }

    async fn group_is_at_end(&self) -> bool {
        let assigned = self.consumer.assignment().await;
        let partitions: Vec<Partition> = assigned
            .iter()
            .flat_map(|(topic, partitions)| partitions.iter().map(|partition| (topic.clone(), *partition)))
            .collect();
        for at in &partitions {
            if !self.is_read(at).await {
                return false;
            }
        }
        // Nothing may be assigned because the group has more members than partitions; then there is nothing to wait for
        // but a change, as for everybody else before the first assignment.
        !partitions.is_empty()
    }

    async fn is_read(&self, at: &Partition) -> bool {
        let Some(end) = self.ends.get(at) else { return false };
        self.consumer.position(&at.0, at.1).await.is_some_and(|position| position >= *end)
    }

    /// Commits what was printed of the partitions that are still this member's.
    async fn commit(&mut self) -> Result<(), Failure> {
        self.committed_at = Instant::now();
        if !self.plan.commit || self.printed.is_empty() {
            return Ok(());
        }
        let assigned = self.consumer.assignment().await;
        let ours = |at: &Partition| assigned.get(&at.0).is_some_and(|partitions| partitions.contains(&at.1));
        let offsets: Vec<(TopicPartition, OffsetAndMetadata)> = std::mem::take(&mut self.printed)
            .into_iter()
            .filter(|(at, _)| ours(at))
            .map(|((topic, partition), offset)| (TopicPartition::new(topic, partition), OffsetAndMetadata::new(offset)))
            .collect();
        match self.consumer.commit_offsets(offsets).await {
            Err(KrafkaError::Broker { code, .. }) if code.is_retriable() => {
                // A rebalance is under way: the next owner begins at the last commit and prints some records again.
                logging::say("WARN", &format!("the offsets were not committed: {code:?}"));
                Ok(())
            }
            outcome => outcome.map_err(failure_of("cannot commit the group's offsets")),
        }
    }

    async fn end(&mut self) -> Result<(), Failure> {
        let committed = if self.group { self.commit().await } else { Ok(()) };
        let closed = self.consumer.close().await.map_err(failure_of("cannot leave the group"));
        committed.and(closed)
    }
}

/// The partitions to read.
async fn partitions(session: &Session, plan: &Plan) -> Result<Vec<Partition>, Failure> {
    let mut all = offsets::partitions(&session.admin, &plan.topics).await?;
    let Some(wanted) = &plan.partitions else { return Ok(all) };
    for topic in &plan.topics {
        let absent = wanted.iter().find(|partition| !all.contains(&(topic.clone(), **partition)));
        if let Some(absent) = absent {
            let error = anyhow::anyhow!("topic {topic} has no partition {absent}");
            return Err(Failure::new(Exit::NotFound, error));
        }
    }
    all.retain(|(_, partition)| wanted.contains(partition));
    Ok(all)
}

/// First and next offsets of partitions.
async fn bounds(session: &Session, of: &[Partition]) -> Result<(Offsets, Offsets), Failure> {
    let starts = offsets::list(&session.admin, of, OffsetSpec::Earliest).await?;
    let ends = offsets::list(&session.admin, of, OffsetSpec::Latest).await?;
    Ok((starts, ends))
}
