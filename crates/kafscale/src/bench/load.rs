//! Producers under load: the part that `produce` and `e2e` share.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context;
use rdkafka::{
    ClientConfig, ClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};

use super::{
    client,
    options::{Limit, Load, Options},
    payload::Payload,
    tally::Tally,
};

/// How long to wait where the client's queue is full.
const QUEUE_PAUSE: Duration = Duration::from_millis(1);
/// How long to wait for the answers to what was sent; the client itself gives up after `message.timeout.ms`.
const FLUSH_PATIENCE: Duration = Duration::from_secs(330);

/// The producers of a run, connected; nothing is sent yet.
pub struct Workers {
    workers: Vec<Worker>,
    /// What each counts.
    pub tallies: Vec<Arc<Tally>>,
    /// The partitions of the topic.
    pub partitions: Vec<i32>,
}

impl Workers {
    /// Creates the clients, and the topic if that was asked for. Times count from `epoch`.
    pub fn connect(config: &ClientConfig, options: &Options, load: &Load, epoch: Instant) -> anyhow::Result<Self> {
        if let Some(partitions) = load.partitions {
            client::create_topic(options, partitions)?;
        }
        let tallies: Vec<Arc<Tally>> = (0..load.producers).map(|_| Arc::new(Tally::new(epoch))).collect();
        let mut workers = Vec::new();
        let mut partitions = Vec::new();
        for (index, tally) in (0..).zip(&tallies) {
            let worker = Worker::new(config, index, load, options.limit, Arc::clone(tally))?;
            partitions = client::partitions(worker.producer.client(), &options.topic)?;
            workers.push(worker);
        }
        Ok(Self { workers, tallies, partitions })
    }

    /// Starts them all, the first record due at `begin` after the epoch. The receiver disconnects when all are done.
    pub fn start(self, topic: &str, begin: Duration, stamp: Option<&Stamp>) -> (Vec<JoinHandle<()>>, Receiver<()>) {
        let (done, all_done) = mpsc::channel();
        let start = |worker: Worker| worker.start(topic.to_owned(), begin, stamp.cloned(), done.clone());
        (self.workers.into_iter().map(start).collect(), all_done)
    }
}

/// One producer.
struct Worker {
    producer: ThreadedProducer<Deliveries>,
    tally: Arc<Tally>,
    payload: Payload,
    schedule: Schedule,
}

/// Counts what the client reports.
pub struct Deliveries {
    tally: Arc<Tally>,
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        self.tally.error(format!("{error}: {reason}"));
    }
}

impl ProducerContext for Deliveries {
    /// When the record was due, in nanoseconds after the start.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, due: usize) {
        match result {
            Ok(record) => self.tally.arrived(record.payload_len(), Duration::from_nanos(due as u64)),
            Err((error, _)) => self.tally.failed(error.to_string()),
        }
    }
}

/// When each record of one producer is due.
#[derive(Debug, Clone)]
struct Schedule {
    /// Nanoseconds from one record to the next; none means at once.
    interval_ns: Option<f64>,
    /// The producers of a run begin evenly spread over one interval.
    offset_ns: f64,
    records: u64,
    end: Option<Duration>,
}

impl Schedule {
    /// Of producer `index` of all.
    fn new(index: u32, load: &Load, limit: Limit) -> Self {
        let producers = f64::from(load.producers);
        let interval_ns = load.rate.map(|rate| 1e9 * producers / rate);
        let share = |records: u64| {
            let (all, index) = (u64::from(load.producers), u64::from(index));
            records / all + u64::from(index < records % all)
        };
        Self {
            interval_ns,
            offset_ns: interval_ns.unwrap_or(0.0) * f64::from(index) / producers,
            records: limit.records.map_or(u64::MAX, share),
            end: limit.duration,
        }
    }

    /// When record `n` is due, none if the run is over by then. `now` is the time since the start.
    fn due(&self, n: u64, now: Duration) -> Option<Duration> {
        let due = match self.interval_ns {
            Some(interval) => Duration::from_nanos((self.offset_ns + n as f64 * interval) as u64),
            None => now,
        };
        (n < self.records && self.end.is_none_or(|end| due < end)).then_some(due)
    }
}

/// Something that a record must carry, made from the time at which it is due.
pub type Stamp = Arc<dyn Fn(Duration) -> Vec<u8> + Send + Sync>;

impl Worker {
    /// Producer `index` of a run; nothing is sent yet.
    fn new(config: &ClientConfig, index: u32, load: &Load, limit: Limit, tally: Arc<Tally>) -> anyhow::Result<Self> {
        let deliveries = Deliveries { tally: Arc::clone(&tally) };
        let producer = config.create_with_context(deliveries).context("the client refuses its settings")?;
        let payload = Payload::new(load.record_size, u64::from(index));
        Ok(Self { producer, tally, payload, schedule: Schedule::new(index, load, limit) })
    }

    /// Sends everything and waits for the answers, in a thread of its own; `done` is dropped at the end. The first record
    /// is due at `begin` on the tally's clock.
    fn start(mut self, topic: String, begin: Duration, stamp: Option<Stamp>, done: Sender<()>) -> JoinHandle<()> {
        std::thread::spawn(move || {
            self.send_all(&topic, begin, stamp.as_ref());
            if let Err(error) = self.producer.flush(FLUSH_PATIENCE) {
                self.tally.error(format!("flush: {error}"));
            }
            drop(done);
        })
    }

    fn send_all(&mut self, topic: &str, begin: Duration, stamp: Option<&Stamp>) {
        let mut n = 0;
        while let Some(due) = self.schedule.due(n, self.tally.now().saturating_sub(begin)) {
            let due = begin + due;
            let early = due.saturating_sub(self.tally.now());
            if !early.is_zero() {
                std::thread::sleep(early);
            }
            let value = match stamp {
                Some(stamp) => self.payload.next_stamped(&stamp(due)),
                None => self.payload.next(),
            };
            send(&self.producer, &self.tally, topic, value, due);
            n += 1;
        }
    }
}

/// Hands one record to the client, waiting while its queue is full.
fn send(producer: &ThreadedProducer<Deliveries>, tally: &Tally, topic: &str, value: &[u8], due: Duration) {
    let opaque = usize::try_from(due.as_nanos()).unwrap_or(usize::MAX);
    let mut record: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(topic, opaque).payload(value);
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                std::thread::sleep(QUEUE_PAUSE);
            }
            Err((error, _)) => return tally.failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedules(rate: Option<f64>, producers: u32, limit: Limit) -> Vec<Schedule> {
        let load = Load { record_size: 1, rate, partitions: None, producers };
        (0..producers).map(|index| Schedule::new(index, &load, limit)).collect()
    }

    #[test]
    fn an_open_loop_does_not_look_at_the_clock() {
        let limit = Limit { records: None, duration: Some(Duration::from_secs(1)) };
        let all = schedules(Some(1000.0), 2, limit);
        let mut due: Vec<Duration> = Vec::new();
        for schedule in &all {
            due.extend((0..).map_while(|n| schedule.due(n, Duration::from_secs(9))));
        }
        due.sort();
        assert_eq!(due.len(), 1000);
        assert!(due.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_millis(1)), "evenly spread");
    }

    #[test]
    fn a_closed_loop_sends_now_until_the_end() {
        let limit = Limit { records: None, duration: Some(Duration::from_secs(1)) };
        let schedule = &schedules(None, 1, limit)[0];
        let now = Duration::from_millis(999);
        assert_eq!(schedule.due(77, now), Some(now));
        assert_eq!(schedule.due(78, Duration::from_secs(1)), None);
    }

    #[test]
    fn records_are_shared_out_without_loss() {
        let all = schedules(None, 3, Limit { records: Some(10), duration: None });
        assert_eq!(all.iter().map(|schedule| schedule.records).collect::<Vec<_>>(), [4, 3, 3]);
    }
}
