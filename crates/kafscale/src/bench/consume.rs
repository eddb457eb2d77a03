//! `kafscale bench consume`: reads all partitions from their start to the end that they have when the run starts.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use krafka::{
    admin::TopicPartition,
    consumer::{Consumer, ConsumerRecord},
};

use super::{
    options::{Limit, Options},
    progress,
    report::{self, Frame, Report},
    tally::{self, Tally},
    topic::{self, Age, Bounds},
};
use crate::{
    client::{self, AbsentTopic, catalogue::Part},
    exit::Failure,
};

/// How long a run waits for the next record before it looks at its limit again.
const POLL: Duration = Duration::from_millis(200);
/// A run to which nothing is given for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A consumer of all partitions of a topic on a connection of its own, and where it begins and ends.
pub struct Reader {
    consumer: Consumer,
    topic: String,
    /// First offset and the offset after the last, of every partition.
    pub bounds: Bounds,
    tally: Arc<Tally>,
}

impl Reader {
    /// Asks for the bounds of all partitions; nothing is assigned yet. Errors are noted in the tally.
    pub async fn connect(options: &Options, age: Age, tally: Arc<Tally>) -> Result<Self, Failure> {
        let kafka = client::connect(&options.properties, AbsentTopic::Leave).await?;
        let bounds = topic::bounds(&kafka, options, age).await?;
        let consumer = client::consumer(&kafka, &options.properties)?.max_buffered_records(0).build().await;
        let consumer = consumer.map_err(client::failure_of("the client refuses its settings"))?;
        Ok(Self { consumer, topic: options.topic.clone(), bounds, tally })
    }

    /// Assigns these partitions from these offsets.
    pub async fn assign(&self, from: &BTreeMap<i32, i64>) -> Result<(), Failure> {
        let what = || client::failure_of("cannot assign partitions");
        self.consumer.assign(&self.topic, from.keys().copied().collect()).await.map_err(what())?;
        let seeks = from.iter().map(|(partition, offset)| (TopicPartition::new(&*self.topic, *partition), *offset));
        self.consumer.seek_many(seeks).await.map_err(what())
    }

    /// What came since the last call; nothing after a while without records or after an error.
    pub async fn poll(&self) -> Vec<ConsumerRecord> {
        self.consumer.poll(POLL).await.unwrap_or_else(|error| {
            self.tally.error(error.to_string());
            Vec::new()
        })
    }

    /// Ends the consumer's sessions.
    pub async fn close(&self) {
        if let Err(error) = self.consumer.close().await {
            self.tally.error(error.to_string());
        }
    }

    /// Whether a partition was read up to this offset. The end may lie beyond the last record (markers of transactions,
    /// cleaned offsets).
    async fn has_reached(&self, partition: i32, end: i64) -> bool {
        self.consumer.position(&self.topic, partition).await.is_some_and(|position| position >= end)
    }
}

/// Consumes and reports; the time runs from the assignment to the last record.
pub fn run(options: &Options) -> Result<Report, Failure> {
    let settings = options.properties.effective(Part::Consumer);
    let runtime = super::runtime()?;
    let epoch = Instant::now();
    let tally = Arc::new(Tally::new(epoch));
    let reader = runtime.block_on(Reader::connect(options, Age::Old, Arc::clone(&tally)))?;
    let partitions = reader.bounds.len();
    let expected: u64 = reader.bounds.values().map(|(start, end)| end.saturating_sub(*start).max(0) as u64).sum();

    let begin = epoch.elapsed();
    let (done, all_done) = mpsc::channel();
    let (limit, counted) = (options.limit, Arc::clone(&tally));
    let reading = runtime.spawn(async move {
        let times = read(&reader, limit, begin, &counted).await;
        reader.close().await;
        drop(done);
        times
    });
    let expected = Limit { records: limit.records.or(Some(expected)), duration: limit.duration };
    progress::watch(expected, &[&*tally], &all_done);
    let times = runtime.block_on(reading).map_err(|_| anyhow::anyhow!("the consumer's task failed"))??;

    let totals = tally::total([&*tally]);
    let frame = Frame { bench: "consume", topic: options.topic.clone(), partitions, settings };
    let mut report = Report::new(frame, totals, times.last.saturating_sub(begin));
    report.first_record_ms = times.first.map(|first| report::round(first.saturating_sub(begin).as_secs_f64() * 1000.0));
    Ok(report)
}

/// When the first and the last record came, since the epoch.
struct Times {
    first: Option<Duration>,
    last: Duration,
}

async fn read(reader: &Reader, limit: Limit, begin: Duration, tally: &Tally) -> Result<Times, Failure> {
    let mut open: Bounds = reader.bounds.clone();
    open.retain(|_, (start, end)| start < end);
    reader.assign(&open.iter().map(|(partition, (start, _))| (*partition, *start)).collect()).await?;
    let mut times = Times { first: None, last: begin };
    let mut records = 0;
    let within = |records: u64| {
        let time = limit.duration.is_none_or(|duration| tally.now() < begin + duration);
        time && limit.records.is_none_or(|most| records < most)
    };
    while !open.is_empty() && within(records) {
        let came = reader.poll().await;
        let now = tally.now();
        if came.is_empty() && now > times.last + SILENCE_MAX {
            let left = open.len();
            return Err(
                anyhow::anyhow!("no record for {SILENCE_MAX:?}; {left} partitions are not read to their end").into()
            );
        }
        for record in came {
            // What was written since the start is not part of the run.
            let counts = open.get(&record.partition).is_some_and(|(_, end)| record.offset < *end);
            if counts && limit.records.is_none_or(|most| records < most) {
                tally.read(record.value.as_ref().map_or(0, |value| value.len()));
                records += 1;
                times.last = now;
                times.first.get_or_insert(now);
            }
        }
        let mut read_up = Vec::new();
        for (partition, (_, end)) in &open {
            if reader.has_reached(*partition, *end).await {
                read_up.push(*partition);
            }
        }
        open.retain(|partition, _| !read_up.contains(partition));
    }
    Ok(times)
}
