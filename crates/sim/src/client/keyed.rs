//! Clients of compacted topics: one writer a partition, which knows where each record must come to lie, and readers who go from
//! the beginning to the end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use kafscale_protocol::{
    ErrorCode, Records,
    messages::{create_topics, fetch, incremental_alter_configs, produce},
};
use kafscale_records::{BatchBuilder, Codec, batches};
use kafscale_runtime::Runtime;

use super::{
    Partition, admin,
    link::{Brokers, Link},
    producer::Broken,
};
use crate::{
    executor::Node,
    ledger::{Entry, Ledger, Reading},
    rng::Rng,
};

const CREATE_TOPICS: i16 = 7;
const PRODUCE: i16 = 13;
const FETCH: i16 = 16;
const OPENED_MAX: usize = 1 << 20;
const TOPIC_RESOURCE: i8 = 2;

/// Creates a topic with these settings, however often that takes.
pub async fn create_topic(
    node: &Node,
    brokers: &Brokers,
    name: &Arc<str>,
    partitions: i32,
    settings: &[(&str, String)],
) -> Result<Vec<Partition>, String> {
    loop {
        let mut link = brokers.connect(node).await;
        let configs =
            settings.iter().map(|(name, value)| create_topics::CreatableTopicConfig { name, value: Some(value) });
        let topic = create_topics::CreatableTopic {
            name,
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.collect(),
            ..Default::default()
        };
        let request = create_topics::Request { topics: vec![topic].into(), timeout_ms: 30_000, ..Default::default() };
        if let Ok(frame) = link.ask(CREATE_TOPICS, &request).await {
            let response: create_topics::Response<'_> = link.read(CREATE_TOPICS, &frame);
            let error = response.topics.iter().next().map_or(ErrorCode::UnknownServerError, |topic| topic.error_code);
            match error {
                ErrorCode::None | ErrorCode::TopicAlreadyExists => return admin::find(node, brokers, name).await,
                error if error.is_retriable() => {}
                error => return Err(format!("CreateTopics {name}: {error:?}")),
            }
        }
        node.sleep(Duration::from_millis(100)).await;
    }
}

/// Sets one setting of a topic, however often that takes.
pub async fn set(node: &Node, brokers: &Brokers, topic: &str, name: &str, value: &str) -> Result<(), String> {
    loop {
        let mut link = brokers.connect(node).await;
        let config = incremental_alter_configs::AlterableConfig { name, config_operation: 0, value: Some(value) };
        let resource = incremental_alter_configs::AlterConfigsResource {
            resource_type: TOPIC_RESOURCE,
            resource_name: topic,
            configs: vec![config].into(),
        };
        let request = incremental_alter_configs::Request { resources: vec![resource].into(), validate_only: false };
        if let Ok(frame) = link.ask(1, &request).await {
            let response: incremental_alter_configs::Response<'_> = link.read(1, &frame);
            match response.responses.iter().next().map_or(ErrorCode::UnknownServerError, |it| it.error_code) {
                ErrorCode::None => return Ok(()),
                error if error.is_retriable() => {}
                error => return Err(format!("{name} of {topic}: {error:?}")),
            }
        }
        node.sleep(Duration::from_millis(100)).await;
    }
}

/// The one who writes to a partition.
pub struct Writer {
    /// Where it runs.
    pub node: Node,
    /// Whom it writes to.
    pub brokers: Brokers,
    /// Where it notes what it writes.
    pub ledger: Ledger,
    /// Where it writes.
    pub partition: Partition,
    /// How many keys there are.
    pub keys: u64,
    /// How many batches it writes.
    pub batches: u64,
    /// Pause between two at most.
    pub pause_max: Duration,
}

impl Writer {
    /// Writes until everything was acknowledged.
    pub async fn run(self) -> Result<(), String> {
        let mut rng = Rng::new(self.node.random_u64());
        let (mut id, mut sequence, mut value) = (None, 0, 0);
        for _ in 0..self.batches {
            self.node.sleep(Duration::from_micros(rng.below(self.pause_max.as_micros() as u64))).await;
            let entries: Vec<Entry> = (0..rng.within(1..=5))
                .map(|_| {
                    value += 1;
                    (rng.below(self.keys), (!rng.chance(250)).then_some(value))
                })
                .collect();
            let expected = self.ledger.write(&self.partition, &entries);
            let codec = *rng.pick(&Codec::ALL);
            loop {
                let mut link = self.brokers.connect(&self.node).await.fragile(30);
                match self.send(&mut link, &mut id, sequence, codec, &entries).await {
                    Ok(None) => {}
                    Ok(Some(base)) if base == expected => break,
                    Ok(Some(base)) => return Err(format!("written to {base} and not to {expected}")),
                    Err(Broken::Lost) => {}
                    Err(Broken::Fatal(wrong)) => return Err(wrong),
                }
                self.node.sleep(Duration::from_millis(100)).await;
            }
            sequence += i32::try_from(entries.len()).expect("few");
        }
        Ok(())
    }

    /// One attempt; where the batch lies, or nothing if it is to be tried again.
    async fn send(
        &self,
        link: &mut Link,
        id: &mut Option<(i64, i16)>,
        sequence: i32,
        codec: Codec,
        entries: &[Entry],
    ) -> Result<Option<u64>, Broken> {
        let (id, epoch) = match *id {
            Some(known) => known,
            None => *id.insert(admin::init_producer_id(&self.node, link).await?),
        };
        let now_ms = self.node.wall_clock_ms();
        let mut builder = BatchBuilder::new(codec).producer(id, epoch, sequence);
        for (key, value) in entries {
            let value = value.map(u64::to_be_bytes);
            builder = builder.record(now_ms, Some(&key.to_be_bytes()), value.as_ref().map(<[u8; 8]>::as_slice));
        }
        let records = Some(Records::from(builder.build()));
        let data = produce::PartitionProduceData { index: self.partition.index, records };
        let topic = produce::TopicProduceData {
            topic_id: self.partition.id,
            partition_data: vec![data].into(),
            ..Default::default()
        };
        let request =
            produce::Request { acks: -1, timeout_ms: 30_000, topic_data: vec![topic].into(), ..Default::default() };
        let frame = link.ask(PRODUCE, &request).await?;
        let response: produce::Response<'_> = link.read(PRODUCE, &frame);
        let answers = response.responses.iter().flat_map(|it| it.partition_responses.iter().collect::<Vec<_>>());
        let Some(answer) = answers.into_iter().next() else { return Ok(None) };
        match answer.error_code {
            ErrorCode::None => Ok(u64::try_from(answer.base_offset).ok()),
            error if error.is_retriable() => Ok(None),
            error => Err(Broken::Fatal(format!("fatal for a client: {error:?}"))),
        }
    }
}

/// Somebody who reads partitions from their beginning to their end.
pub struct Reader {
    /// Where it runs.
    pub node: Node,
    /// Whom it asks.
    pub brokers: Brokers,
    /// By what it is judged.
    pub ledger: Ledger,
    /// What it reads.
    pub partitions: Vec<Partition>,
    /// Pause between two fetches at most.
    pub pause_max: Duration,
    /// Bytes of a fetch.
    pub bytes_max: i32,
}

impl Reader {
    /// Reads one partition after another, over and over, until `stop` is set.
    pub async fn run(self, stop: Arc<AtomicBool>) -> Result<(), String> {
        while !stop.load(Relaxed) {
            for partition in &self.partitions {
                self.read(partition).await?;
            }
        }
        Ok(())
    }

    /// Reads a partition once, and is judged.
    pub async fn read(&self, partition: &Partition) -> Result<Reading, String> {
        let (mut reading, mut at, mut idle) = (Reading::default(), 0, 0);
        let started = self.node.now();
        loop {
            let mut link = self.brokers.connect(&self.node).await.fragile(20);
            loop {
                let pause = 1 + self.pause_max.as_micros() as u64;
                self.node.sleep(Duration::from_micros(self.node.random_u64() % pause)).await;
                let Some(Fetched { end, next, rows }) = self.fetch(&mut link, partition, at).await? else { break };
                idle = if next == at { idle + 1 } else { 0 };
                (reading.end, at) = (end, next);
                reading.rows.extend(rows);
                if at >= end {
                    reading.took = self.node.now() - started;
                    self.ledger.judge(partition, &reading)?;
                    return Ok(reading);
                }
                if idle > 50 {
                    return Err(format!("stuck: nothing comes at {at} of {partition:?}, which ends at {end}"));
                }
            }
            self.node.sleep(Duration::from_millis(100)).await;
        }
    }

    /// One fetch; nothing where it is to be tried again.
    async fn fetch(&self, link: &mut Link, partition: &Partition, at: u64) -> Result<Option<Fetched>, String> {
        let wanted = fetch::FetchPartition {
            partition: partition.index,
            fetch_offset: i64::try_from(at).expect("small"),
            partition_max_bytes: self.bytes_max,
            ..Default::default()
        };
        let topic = fetch::FetchTopic { topic_id: partition.id, partitions: vec![wanted].into(), ..Default::default() };
        let request = fetch::Request {
            max_wait_ms: 500,
            min_bytes: 0,
            max_bytes: 1 << 20,
            topics: vec![topic].into(),
            ..Default::default()
        };
        let Ok(frame) = link.ask(FETCH, &request).await else { return Ok(None) };
        let response: fetch::Response<'_> = link.read(FETCH, &frame);
        let answers = response.responses.iter().flat_map(|topic| topic.partitions.iter().collect::<Vec<_>>());
        let Some(data) = answers.into_iter().next() else { return Ok(None) };
        match data.error_code {
            ErrorCode::None => {}
            error if error.is_retriable() => return Ok(None),
            error => return Err(format!("fatal for a client: {error:?} at {at} of {partition:?}")),
        }
        let (mut next, mut rows) = (at, Vec::new());
        for batch in batches(data.records.as_slice().expect("decoded records are one slice")) {
            let batch = batch.map_err(|error| format!("{partition:?} at {next}: {error}"))?;
            let wrong = |error| format!("an unreadable batch at {}: {error}", batch.header().base_offset);
            batch.verify_crc().map_err(wrong)?;
            for record in batch.open(OPENED_MAX).map_err(wrong)?.records() {
                let record = record.map_err(wrong)?;
                let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
                let key = record.key.and_then(number).ok_or("a record without its key")?;
                let offset = u64::try_from(record.offset).map_err(|_| "a negative offset")?;
                if offset >= at {
                    rows.push((offset, (key, record.value.and_then(number))));
                }
            }
            // As stock clients do: behind the batch, whether or not its last record is still there.
            next = next.max(u64::try_from(batch.header().next_offset()).map_err(|_| "a negative offset")?);
        }
        let end = u64::try_from(data.high_watermark).map_err(|_| "no high watermark")?;
        Ok(Some(Fetched { end, next, rows }))
    }
}

/// What one fetch gave.
struct Fetched {
    /// Where the partition ends.
    end: u64,
    /// Where to go on.
    next: u64,
    rows: Vec<(u64, Entry)>,
}
