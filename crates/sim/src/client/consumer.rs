//! A consumer by assignment: fetches from where it is, writes down what it saw, goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use kafscale_protocol::{
    ErrorCode,
    messages::fetch::{FetchPartition, FetchTopic, PartitionData, Request, Response},
};
use kafscale_records::{Batch, batches};
use kafscale_runtime::Runtime;

use super::{
    Partition,
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
}

/// How a consumer behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Habits {
    /// Permille of requests after which the connection breaks.
    pub fragile: u64,
    /// Pause between fetches at most.
    pub pause_max: Duration,
}

impl Consumer {
    /// A consumer that begins at the beginning of these partitions.
    pub fn new(node: Node, brokers: Brokers, history: History, partitions: &[Partition], habits: Habits) -> Self {
        let client = history.value();
        let at = partitions.iter().map(|partition| (partition.clone(), 0)).collect();
        Self { node, brokers, history, client, at, habits }
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
                    }
                    Err(Lost) => break,
                }
            }
            self.node.sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Now and then reads again from somewhere before, often from within a batch.
    fn seek_back(&mut self) {
        if self.node.random_u64().is_multiple_of(20) {
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
        let ops: Vec<OpId> = self
            .at
            .iter()
            .map(|(partition, at)| self.history.read(self.client, &partition.line(), *at, is_final))
            .collect();
        let answer = self.ask(link, is_final).await;
        let Ok(answers) = answer else {
            ops.into_iter().for_each(|op| self.history.found(op, Found::Unknown));
            return Err(Lost);
        };
        let mut fetched = Fetched::default();
        for ((op, answer), (_, at)) in ops.into_iter().zip(answers).zip(&mut self.at) {
            let found = match answer {
                Seen::Values(values) => {
                    fetched.records += values.len();
                    *at = values.last().map_or(*at, |(place, _)| place + 1);
                    Found::Values(values)
                }
                Seen::OutOfRange => Found::OutOfRange,
                Seen::Retriable => Found::Unknown,
                Seen::Wrong(wrong) => {
                    fetched.fatal = Some(wrong);
                    Found::Unknown
                }
            };
            self.history.found(op, found);
        }
        Ok(fetched)
    }

    /// One Fetch of all partitions; what it gave for each.
    async fn ask(&self, link: &mut Link, is_final: bool) -> Result<Vec<Seen>, Lost> {
        let mut topics: Vec<FetchTopic<'_>> = Vec::new();
        for (partition, at) in &self.at {
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
        let request =
            Request { max_wait_ms: 500, min_bytes: 1, max_bytes: 1 << 20, topics: topics.into(), ..Request::default() };
        let frame = link.ask(VERSION, &request).await?;
        let response: Response<'_> = link.read(VERSION, &frame);
        let seen = self.at.iter().map(|(partition, at)| {
            let topic = response.responses.iter().find(|topic| topic.topic_id == partition.id);
            let data =
                topic.and_then(|topic| topic.partitions.iter().find(|data| data.partition_index == partition.index));
            match data {
                Some(data) => look(partition, *at, &data),
                None if response.error_code.is_retriable() => Seen::Retriable,
                None => Seen::Wrong(format!("no answer for {partition:?}: {:?}", response.error_code)),
            }
        });
        Ok(seen.collect())
    }
}

/// What one Fetch gave.
#[derive(Default)]
struct Fetched {
    records: usize,
    fatal: Option<String>,
}

enum Seen {
    Values(Vec<(Place, Option<Value>)>),
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
    let mut values = Vec::new();
    for batch in batches(bytes) {
        let batch = batch.map_err(|error| format!("{partition:?} at {at}: {error}"));
        match batch.and_then(|batch| values_of(batch, at)) {
            Ok(more) => values.extend(more),
            Err(wrong) => return Seen::Wrong(wrong),
        }
    }
    let end = values.last().map_or(at, |(place, _)| place + 1);
    if i64::try_from(end).expect("small") > data.high_watermark {
        return Seen::Wrong(format!("{partition:?}: records up to {end}, high watermark {}", data.high_watermark));
    }
    Seen::Values(values)
}

fn values_of(batch: Batch<'_>, from: Place) -> Result<Vec<(Place, Option<Value>)>, String> {
    let wrong = |error| format!("an unreadable batch at {}: {error}", batch.header().base_offset);
    batch.verify_crc().map_err(wrong)?;
    let opened = batch.open(OPENED_MAX).map_err(wrong)?;
    let mut values = Vec::new();
    for record in opened.records() {
        let record = record.map_err(wrong)?;
        let place = Place::try_from(record.offset).map_err(|_| format!("negative offset {}", record.offset))?;
        let value = record.value.and_then(|value| value.try_into().ok()).map(Value::from_be_bytes);
        // A fetch from within a batch gives all of it.
        if place >= from {
            values.push((place, value));
        }
    }
    Ok(values)
}
