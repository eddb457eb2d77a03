//! `kafscale bench consume`: reads all partitions from their start to the end that they have when the run starts.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use anyhow::Context;
use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    client::{self, Kind, PATIENCE},
    options::{Limit, Options},
    progress,
    report::{self, Frame, Report},
    tally::{self, Tally},
};
use crate::exit::Failure;

/// How long a run waits for the next record before it looks at its limit again.
const POLL: Duration = Duration::from_millis(100);
/// A run to which nothing is given for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Notes the client's own errors.
pub struct Errors {
    tally: Arc<Tally>,
}

impl ClientContext for Errors {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.tally.error(format!("{error}: {reason}"));
        }
    }
}

impl ConsumerContext for Errors {}

/// A consumer of all partitions of a topic, and where it begins and ends.
pub struct Reader {
    /// The client.
    pub consumer: BaseConsumer<Errors>,
    /// First offset and the offset after the last, of every partition.
    pub bounds: BTreeMap<i32, (i64, i64)>,
}

impl Reader {
    /// Asks for the bounds of all partitions; nothing is assigned yet.
    pub fn connect(config: &ClientConfig, topic: &str, tally: Arc<Tally>) -> anyhow::Result<Self> {
        let consumer: BaseConsumer<Errors> =
            config.create_with_context(Errors { tally }).context("the client refuses its settings")?;
        let mut bounds = BTreeMap::new();
        for partition in client::partitions(consumer.client(), topic)? {
            let asked = consumer.fetch_watermarks(topic, partition, PATIENCE);
            bounds.insert(partition, asked.with_context(|| format!("no offsets of partition {partition}"))?);
        }
        Ok(Self { consumer, bounds })
    }

    /// Assigns these partitions from these offsets.
    pub fn assign(&self, topic: &str, from: impl Iterator<Item = (i32, i64)>) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in from {
            list.add_partition_offset(topic, partition, Offset::Offset(offset)).context("a wrong offset")?;
        }
        self.consumer.assign(&list).context("cannot assign partitions")
    }
}

/// Consumes and reports; the time runs from the assignment to the last record.
pub fn run(options: &Options) -> Result<Report, Failure> {
    let mut config = client::config(options, Kind::Consumer);
    config.set("enable.partition.eof", "true");
    let settings = client::effective(&config, Kind::Consumer)?;
    let epoch = Instant::now();
    let tally = Arc::new(Tally::new(epoch));
    let reader = Reader::connect(&config, &options.topic, Arc::clone(&tally))?;
    let partitions = reader.bounds.len();
    let expected: u64 = reader.bounds.values().map(|(start, end)| end.saturating_sub(*start).max(0) as u64).sum();

    let begin = epoch.elapsed();
    let (done, all_done) = mpsc::channel();
    let (topic, limit, counted) = (options.topic.clone(), options.limit, Arc::clone(&tally));
    let thread = std::thread::spawn(move || {
        let times = read(&reader, &topic, limit, begin, &counted);
        drop(done);
        times
    });
    let expected = Limit { records: limit.records.or(Some(expected)), duration: limit.duration };
    progress::watch(expected, &[&*tally], &all_done);
    let times = thread.join().map_err(|_| anyhow::anyhow!("the consumer's thread failed"))??;

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

fn read(reader: &Reader, topic: &str, limit: Limit, begin: Duration, tally: &Tally) -> anyhow::Result<Times> {
    let mut open: BTreeMap<i32, (i64, i64)> = reader.bounds.clone();
    open.retain(|_, (start, end)| start < end);
    reader.assign(topic, open.iter().map(|(partition, (start, _))| (*partition, *start)))?;
    let mut times = Times { first: None, last: begin };
    let mut records = 0;
    let within = |records: u64| {
        let time = limit.duration.is_none_or(|duration| tally.now() < begin + duration);
        time && limit.records.is_none_or(|most| records < most)
    };
    while !open.is_empty() && within(records) {
        match reader.consumer.poll(POLL) {
            Some(Ok(record)) => {
                tally.read(record.payload_len());
                records += 1;
                times.last = tally.now();
                times.first.get_or_insert(times.last);
                let end = open.get(&record.partition()).map_or(0, |(_, end)| *end);
                if record.offset() + 1 >= end {
                    open.remove(&record.partition());
                }
            }
            // The end may lie beyond the last record (markers of transactions, cleaned offsets).
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            // Other errors were noted by `Errors` already.
            Some(Err(_)) => {}
            None if tally.now() > times.last + SILENCE_MAX => {
                anyhow::bail!("no record for {SILENCE_MAX:?}; {} partitions are not read to their end", open.len());
            }
            None => {}
        }
    }
    Ok(times)
}
