//! A consumer by assignment: fetches from where it is, writes down what it saw, goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use kafscale_protocol::{
    ErrorCode,
    messages::fetch::{FetchPartition, FetchTopic, ForgottenTopic, PartitionData, Request, Response},
};
use kafscale_records::{Batch, batches};
use kafscale_runtime::Runtime;

use super::{
    Partition, admin,
    fetch_session::{FetchSession, Index},
    link::{Brokers, Link, Lost},
};
use crate::{
    executor::Node,
    history::{Found, History, OpId, Place, Value},
};

/// Fetch by topic id.
const VERSION: i16 = 16;

/// Pause after a fetch that brought nothing: stock clients wait as long after an error.
const RETRY_BACKOFF: Duration = Duration::from_millis(100);

/// Answers in a row that bring nothing, after which a follower takes it that there is no more.
const IDLE_ANSWERS: u32 = 20;

/// What a batch may hold once it is opened.
const OPENED_MAX: usize = 1 << 20;

/// One consumer.
pub struct Consumer {
    node: Node,
    brokers: Brokers,
    history: History,
    client: u64,
    at: Vec<(Partition, Place)>,
    habits: Habits,
    session: FetchSession,
    /// Partitions that it does not want now.
    paused: BTreeSet<Index>,
}

/// How a consumer behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Habits {
    /// Permille of requests after which the connection breaks.
    pub fragile: u64,
    /// Pause between fetches at most.
    pub pause_max: Duration,
    /// Whether it fetches within a session. On a connection that may break it also says wrong epochs, pauses partitions and
    /// seeks; on a good one it only goes on, so that nothing hides what a session has forgotten.
    pub in_session: bool,
}

impl Consumer {
    /// A consumer that begins at the beginning of these partitions.
    pub fn new(node: Node, brokers: Brokers, history: History, partitions: &[Partition], habits: Habits) -> Self {
        let client = history.value();
        let at = partitions.iter().map(|partition| (partition.clone(), 0)).collect();
        let (session, paused) = Default::default();
        Self { node, brokers, history, client, at, habits, session, paused }
    }

    /// Reads until `stop` is set; an error is something that a stock client would report to its user.
    pub async fn run(mut self, stop: Arc<AtomicBool>) -> Result<(), String> {
        while !stop.load(Relaxed) {
            let mut link = self.brokers.connect(&self.node).await.fragile(self.habits.fragile);
            while !stop.load(Relaxed) {
                match self.fetch(&mut link, false).await {
                    Ok(Fetched { fatal: Some(wrong), .. }) => return Err(wrong),
                    Ok(_) => {
                        self.pause().await;
                        self.seek_back();
                        self.pause_partitions();
                    }
                    Err(Lost) => break,
                }
            }
            self.node.sleep(Duration::from_millis(100)).await;
        }
        if self.habits.in_session { self.follow().await } else { Ok(()) }
    }

    /// Goes on in its session until nothing comes any more, and takes it that this is the end of every partition: what a
    /// session has forgotten is never heard of again.
    async fn follow(mut self) -> Result<(), String> {
        self.paused.clear();
        let ops: Vec<OpId> =
            self.at.iter().map(|(partition, _)| self.history.ask_end(self.client, &partition.line())).collect();
        let mut link = self.brokers.connect(&self.node).await;
        let mut idle = 0;
        while idle < IDLE_ANSWERS {
            match self.fetch(&mut link, false).await {
                Ok(Fetched { fatal: Some(wrong), .. }) => return Err(wrong),
                Ok(Fetched { records: 0, failed: 0, .. }) => idle += 1,
                Ok(Fetched { failed: 1.., .. }) => self.node.sleep(RETRY_BACKOFF).await,
                Ok(_) => idle = 0,
                Err(Lost) => link = self.brokers.connect(&self.node).await,
            }
        }
        ops.into_iter().zip(&self.at).for_each(|(op, (_, at))| self.history.told_end(op, Some(*at)));
        Ok(())
    }

    /// Where it is.
    pub fn places(&self) -> &[(Partition, Place)] {
        &self.at
    }

    /// From now on it reads these, from there on.
    pub fn assign(&mut self, at: Vec<(Partition, Place)>) {
        self.at = at;
    }

    /// Who it is in the history.
    pub fn client(&self) -> u64 {
        self.client
    }

    /// One Fetch; something that a stock client would report to its user, if there is.
    pub async fn poll(&mut self, link: &mut Link) -> Result<Option<String>, Lost> {
        self.fetch(link, false).await.map(|fetched| fetched.fatal)
    }

    /// Now and then no longer wants a partition, or wants it again.
    fn pause_partitions(&mut self) {
        if self.habits.in_session && self.habits.fragile > 0 && self.node.random_u64().is_multiple_of(10) {
            let index = usize::try_from(self.node.random_u64() % self.at.len() as u64).expect("below a length");
            if !self.paused.remove(&index) && self.paused.len() + 1 < self.at.len() {
                self.paused.insert(index);
            }
        }
    }

    /// Now and then reads again from somewhere before, often from within a batch.
    fn seek_back(&mut self) {
        let is_steady = self.habits.in_session && self.habits.fragile == 0;
        if !is_steady && self.node.random_u64().is_multiple_of(20) {
            let index = usize::try_from(self.node.random_u64() % self.at.len() as u64).expect("below a length");
            let at = &mut self.at[index].1;
            *at -= self.node.random_u64() % (*at + 1);
        }
    }

    async fn pause(&self) {
        let most = u64::try_from(self.habits.pause_max.as_micros()).expect("short");
        self.node.sleep(Duration::from_micros(self.node.random_u64() % (most + 1))).await;
    }

    /// Reads each partition to its end at that moment, as the judge does.
    pub async fn read_all(mut self, ends: &[Place]) -> Result<(), String> {
        let mut idle = 0;
        let mut link = self.brokers.connect(&self.node).await;
        while self.at.iter().zip(ends).any(|((_, at), end)| at < end) {
            match self.fetch(&mut link, true).await {
                Ok(Fetched { fatal: Some(wrong), .. }) => return Err(wrong),
                Ok(Fetched { records: 0, .. }) => {
                    idle += 1;
                    self.node.sleep(RETRY_BACKOFF).await;
                }
                Ok(_) => idle = 0,
                Err(Lost) => link = self.brokers.connect(&self.node).await,
            }
            if idle > 200 {
                return Err(format!("the final reading does not come to its end: {:?} of {ends:?}", self.at));
            }
        }
        Ok(())
    }

    async fn fetch(&mut self, link: &mut Link, is_final: bool) -> Result<Fetched, Lost> {
        let places = self.at.iter().enumerate().map(|(index, (_, at))| (index, *at));
        let wanted: BTreeMap<Index, Place> = places.filter(|(index, _)| !self.paused.contains(index)).collect();
        let read = |index: &Index| {
            let (partition, at) = &self.at[*index];
            self.history.read(self.client, &partition.line(), *at, is_final)
        };
        let ops: Vec<OpId> = wanted.keys().map(read).collect();
        let answer = self.ask(link, &wanted, is_final).await;
        let Ok(answers) = answer else {
            ops.into_iter().for_each(|op| self.history.found(op, Found::Unknown));
            self.session.lost();
            return Err(Lost);
        };
        let (mut fetched, mut lost) = (Fetched::default(), Vec::new());
        for ((op, answer), index) in ops.into_iter().zip(answers).zip(wanted.into_keys()) {
            let (partition, at) = &mut self.at[index];
            let found = match answer {
                Seen::Records(records) => {
                    fetched.records += records.len();
                    *at = records.last().map_or(*at, |record| record.at + 1);
                    records.iter().for_each(|record| self.history.dated(&partition.line(), record.at, record.time));
                    Found::Values(records.iter().map(|record| (record.at, record.value)).collect())
                }
                Seen::OutOfRange => {
                    if self.history.expiry(&partition.line()).is_some() {
                        lost.push(index);
                    }
                    Found::OutOfRange
                }
                Seen::Retriable => {
                    fetched.failed += 1;
                    Found::Unknown
                }
                Seen::Wrong(wrong) => {
                    fetched.fatal = Some(wrong);
                    Found::Unknown
                }
            };
            self.history.found(op, found);
        }
        self.reset(link, &lost).await?;
        Ok(fetched)
    }

    /// What it wanted is gone: it goes on where the partitions begin now.
    async fn reset(&mut self, link: &mut Link, lost: &[Index]) -> Result<(), Lost> {
        if lost.is_empty() {
            return Ok(());
        }
        self.node.world().mark("consumer reset to the start");
        let partitions: Vec<Partition> = lost.iter().map(|index| self.at[*index].0.clone()).collect();
        let starts = admin::starts(&self.node, &self.history, link, &partitions).await?;
        for (index, start) in lost.iter().zip(starts) {
            self.at[*index].1 = start.unwrap_or(self.at[*index].1);
        }
        Ok(())
    }

    /// One Fetch; what it gave for each partition wanted.
    async fn ask(
        &mut self,
        link: &mut Link,
        wanted: &BTreeMap<Index, Place>,
        is_final: bool,
    ) -> Result<Vec<Seen>, Lost> {
        let is_incremental = self.habits.in_session && self.session.is_open();
        let mut request = Request { max_wait_ms: 500, min_bytes: 1, max_bytes: 1 << 20, ..Request::default() };
        let mut named: Vec<Index> = wanted.keys().copied().collect();
        let mut is_wrong = false;
        if self.habits.in_session {
            let ask = self.session.ask(wanted);
            is_wrong = is_incremental && self.habits.fragile > 0 && self.node.random_u64().is_multiple_of(40);
            let epoch = if is_wrong { ask.epoch.saturating_add(7) } else { ask.epoch };
            (request.session_id, request.session_epoch, named) = (ask.id, epoch, ask.named);
            let forgotten = ask.forgotten.iter().map(|index| &self.at[*index].0);
            let forgotten = forgotten.map(|partition| ForgottenTopic {
                topic_id: partition.id,
                partitions: vec![partition.index].into(),
                ..ForgottenTopic::default()
            });
            request.forgotten_topics_data = forgotten.collect();
        }
        request.topics = self.topics(&named, is_final).into();
        let frame = link.ask(VERSION, &request).await?;
        let response: Response<'_> = link.read(VERSION, &frame);
        if self.habits.in_session && response.error_code == ErrorCode::None {
            let outcome = match (is_incremental, response.session_id) {
                (true, _) => "fetch session went on",
                (false, 0) => "no fetch session given",
                (false, _) => "fetch session begun",
            };
            self.node.world().mark(outcome);
            self.session.answered(response.session_id);
        } else if self.habits.in_session {
            self.refused(response.error_code);
        }
        if is_wrong && response.error_code == ErrorCode::None {
            let wrong = "a fetch session took a wrong epoch".to_owned();
            return Ok(wanted.keys().map(|_| Seen::Wrong(wrong.clone())).collect());
        }
        let seen = wanted.iter().map(|(index, at)| {
            let partition = &self.at[*index].0;
            let topics = response.responses.iter().filter(|topic| topic.topic_id == partition.id);
            let mut rows = topics.flat_map(|topic| topic.partitions.iter().collect::<Vec<_>>());
            match rows.find(|data| data.partition_index == partition.index) {
                Some(data) => look(partition, *at, &data),
                None if response.error_code == ErrorCode::None && is_incremental => Seen::Records(Vec::new()),
                None if response.error_code.is_retriable() || self.habits.in_session => Seen::Retriable,
                None => Seen::Wrong(format!("no answer for {partition:?}: {:?}", response.error_code)),
            }
        });
        Ok(seen.collect())
    }

    fn refused(&mut self, error: ErrorCode) {
        self.session.refused(error);
        self.node.world().mark(match error {
            ErrorCode::FetchSessionIdNotFound => "fetch session not found",
            ErrorCode::InvalidFetchSessionEpoch => "fetch session epoch refused",
            _ => "fetch refused",
        });
    }

    fn topics(&self, named: &[Index], is_final: bool) -> Vec<FetchTopic<'static>> {
        let mut topics: Vec<FetchTopic<'static>> = Vec::new();
        for index in named {
            let (partition, at) = &self.at[*index];
            let fetch = FetchPartition {
                partition: partition.index,
                fetch_offset: i64::try_from(*at).expect("small"),
                partition_max_bytes: if is_final { 1 << 16 } else { 1 << (self.node.random_u64() % 14) },
                ..FetchPartition::default()
            };
            match topics.iter_mut().find(|topic| topic.topic_id == partition.id) {
                Some(topic) => topic.partitions = topic.partitions.iter().chain([fetch]).collect(),
                None => topics.push(FetchTopic {
                    topic_id: partition.id,
                    partitions: vec![fetch].into(),
                    ..FetchTopic::default()
                }),
            }
        }
        topics
    }
}

/// What one Fetch gave.
#[derive(Default)]
struct Fetched {
    records: usize,
    /// Partitions without an answer that counts.
    failed: usize,
    fatal: Option<String>,
}

/// One record.
struct Record {
    at: Place,
    time: i64,
    value: Option<Value>,
}

enum Seen {
    Records(Vec<Record>),
    OutOfRange,
    Retriable,
    Wrong(String),
}

fn look(partition: &Partition, at: Place, data: &PartitionData<'_>) -> Seen {
    match data.error_code {
        ErrorCode::None => {}
        ErrorCode::OffsetOutOfRange => return Seen::OutOfRange,
        error if error.is_retriable() => return Seen::Retriable,
        error => return Seen::Wrong(format!("fatal for a client: {error:?} for {partition:?}")),
    }
    let bytes = data.records.as_slice().expect("decoded records are one slice");
    let mut records = Vec::new();
    for batch in batches(bytes) {
        let batch = batch.map_err(|error| format!("{partition:?} at {at}: {error}"));
        match batch.and_then(|batch| records_of(batch, at)) {
            Ok(more) => records.extend(more),
            Err(wrong) => return Seen::Wrong(wrong),
        }
    }
    let end = records.last().map_or(at, |record| record.at + 1);
    if i64::try_from(end).expect("small") > data.high_watermark {
        return Seen::Wrong(format!("{partition:?}: records up to {end}, high watermark {}", data.high_watermark));
    }
    Seen::Records(records)
}

fn records_of(batch: Batch<'_>, from: Place) -> Result<Vec<Record>, String> {
    let wrong = |error| format!("an unreadable batch at {}: {error}", batch.header().base_offset);
    batch.verify_crc().map_err(wrong)?;
    let opened = batch.open(OPENED_MAX).map_err(wrong)?;
    let mut records = Vec::new();
    for record in opened.records() {
        let record = record.map_err(wrong)?;
        let at = Place::try_from(record.offset).map_err(|_| format!("negative offset {}", record.offset))?;
        let value = record.value.and_then(|value| value.try_into().ok()).map(Value::from_be_bytes);
        // A fetch from within a batch gives all of it.
        if at >= from {
            records.push(Record { at, time: record.timestamp, value });
        }
    }
    Ok(records)
}
