//! Producers under load: the part that `produce` and `e2e` share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use krafka::{
    Headers,
    error::KrafkaError,
    interceptor::{InterceptorResult, ProducerInterceptor, RecordContext},
    producer::{Producer, Record, RecordMetadata},
};
use tokio::runtime::{Handle, Runtime};

use super::{
    options::{Limit, Load, Options},
    payload::Payload,
    tally::Tally,
    topic,
};
use crate::{
    client::{self, AbsentTopic},
    exit::Failure,
};

/// The producers of a run, connected; nothing is sent yet.
pub struct Workers {
    workers: Vec<Worker>,
    /// What each counts.
    pub tallies: Vec<Arc<Tally>>,
    /// The partitions of the topic.
    pub partitions: usize,
}

impl Workers {
    /// Creates the clients, and the topic if that was asked for. Times count from `epoch`.
    pub fn connect(runtime: &Runtime, options: &Options, load: &Load, epoch: Instant) -> Result<Self, Failure> {
        let tallies: Vec<Arc<Tally>> = (0..load.producers).map(|_| Arc::new(Tally::new(epoch))).collect();
        let mut workers = Vec::new();
        let mut partitions = 0;
        runtime.block_on(async {
            if let Some(partitions) = load.partitions {
                topic::create(options, partitions).await?;
            }
            for (index, tally) in (0..).zip(&tallies) {
                let worker = Worker::connect(options, index, load, Arc::clone(tally)).await?;
                let known = worker.producer.partitions_for(&options.topic).await;
                let known = known.map_err(client::failure_of(format!("topic {} is not known", options.topic)))?;
                partitions = known.len();
                workers.push(worker);
            }
            Ok::<_, Failure>(())
        })?;
        Ok(Self { workers, tallies, partitions })
    }

    /// Starts them all, the first record due at `begin` after the epoch. The receiver disconnects when all are done.
    pub fn start(self, topic: &str, begin: Duration, stamp: Option<&Stamp>) -> (Vec<JoinHandle<()>>, Receiver<()>) {
        let (done, all_done) = mpsc::channel();
        let start = |worker: Worker| worker.start(topic.to_owned(), begin, stamp.cloned(), done.clone());
        (self.workers.into_iter().map(start).collect(), all_done)
    }
}

/// One producer with a connection of its own.
struct Worker {
    producer: Producer,
    runtime: Handle,
    deliveries: Arc<Deliveries>,
    payload: Payload,
    schedule: Schedule,
}

/// Counts what became of each record, at the moment at which the client learns it.
#[derive(Debug)]
struct Deliveries {
    tally: Arc<Tally>,
    record_size: usize,
    /// When the record that is being handed over was due, in nanoseconds after the epoch. One thread hands over.
    due: AtomicU64,
}

/// When a record was due, carried with it through the client.
struct Due(Duration);

impl ProducerInterceptor for Deliveries {
    fn on_send(&self, _: &mut Record, context: &mut RecordContext) -> InterceptorResult {
        context.insert(Due(Duration::from_nanos(self.due.load(Ordering::Relaxed))));
        Ok(())
    }

    fn on_acknowledgement(
        &self,
        _: &str,
        _: i32,
        result: Result<&RecordMetadata, &KrafkaError>,
        _: &Headers,
        context: &mut RecordContext,
    ) -> InterceptorResult {
        match (result, context.take::<Due>()) {
            (Ok(_), Some(Due(due))) => self.tally.arrived(self.record_size, due),
            (Ok(_), None) => self.tally.failed("a record came back without its time".into()),
            (Err(error), _) => self.tally.failed(client::plain(error)),
        }
        Ok(())
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
    async fn connect(options: &Options, index: u32, load: &Load, tally: Arc<Tally>) -> Result<Self, Failure> {
        let kafka = client::connect(&options.properties, AbsentTopic::Create).await?;
        let deliveries = Arc::new(Deliveries { tally, record_size: load.record_size, due: AtomicU64::new(0) });
        let builder = client::producer(&kafka, &options.properties)?.interceptor(Arc::clone(&deliveries));
        let producer = builder.build().await.map_err(client::failure_of("cannot start a producer"))?;
        let payload = Payload::new(load.record_size, u64::from(index));
        let schedule = Schedule::new(index, load, options.limit);
        Ok(Self { producer, runtime: Handle::current(), deliveries, payload, schedule })
    }

    /// Sends everything and waits for the answers, in a thread of its own, which sleeps more exactly than a task; `done`
    /// is dropped at the end. The first record is due at `begin` on the tally's clock.
    fn start(mut self, topic: String, begin: Duration, stamp: Option<Stamp>, done: Sender<()>) -> JoinHandle<()> {
        std::thread::spawn(move || {
            let runtime = self.runtime.clone();
            runtime.block_on(async {
                self.send_all(&topic, begin, stamp.as_ref()).await;
                // Waits for all that is under way: a record that fails is counted where it fails.
                if let Err(error) = self.producer.close().await {
                    self.deliveries.tally.error(format!("close: {}", client::plain(&error)));
                }
            });
            drop(done);
        })
    }

    async fn send_all(&mut self, topic: &str, begin: Duration, stamp: Option<&Stamp>) {
        let tally = Arc::clone(&self.deliveries.tally);
        let mut n = 0;
        while let Some(due) = self.schedule.due(n, tally.now().saturating_sub(begin)) {
            let due = begin + due;
            let early = due.saturating_sub(tally.now());
            if !early.is_zero() {
                std::thread::sleep(early);
            }
            let value = match stamp {
                Some(stamp) => self.payload.next_stamped(&stamp(due)),
                None => self.payload.next(),
            };
            let nanos = u64::try_from(due.as_nanos()).unwrap_or(u64::MAX);
            self.deliveries.due.store(nanos, Ordering::Relaxed);
            // Waits while the client's memory is full. Both outcomes are told to `Deliveries`.
            drop(self.producer.enqueue(Record::new(topic, value)).await);
            n += 1;
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
