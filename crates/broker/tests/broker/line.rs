//! A bucket at the end of a line of limited bandwidth, on a virtual clock: each request takes its latency, and all that is
//! under way shares the line fairly, whichever way it goes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_broker::{
    Broker, LifeSettings, Settings,
    read::{Ask, Limits},
};
use kafscale_records::{BatchBuilder, Codec, batches};
use kafscale_runtime::BoxFuture;
use kafscale_sim::{
    executor::{EPOCH_MS, Node, World},
    store::{Bucket, Client as BucketClient},
};
use kafscale_store::{
    Body, CreateError, DeleteError, Facts, Listed, ReadError, ReadRange, ReplaceError, Store, StoreDate,
};
use parking_lot::Mutex;

use crate::common::{Client, Cluster};

/// What the line carries in a second.
pub const LINE_BYTES: u64 = 100_000_000;
/// A transfer takes its turn on the line for so many bytes.
const TURN: u64 = 64 << 10;

/// See the module.
pub struct Line {
    world: World,
    bucket: Arc<BucketClient>,
    free_at: Mutex<Duration>,
}

impl Line {
    pub fn new(world: &World, bucket: &Bucket, node: &Node) -> Arc<Self> {
        Arc::new(Self { world: world.clone(), bucket: bucket.client(node), free_at: Mutex::default() })
    }

    async fn carry(&self, bytes: u64) {
        let mut left = bytes;
        while left > 0 {
            let turn = left.min(TURN);
            left -= turn;
            let until = {
                let mut free_at = self.free_at.lock();
                *free_at = self.world.now().max(*free_at) + Duration::from_nanos(turn * 1_000_000_000 / LINE_BYTES);
                *free_at
            };
            self.world.sleep(until - self.world.now()).await;
        }
    }
}

impl Store for Line {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(async move {
            self.carry(body.len()).await;
            self.bucket.create(name, body).await
        })
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        Box::pin(async move {
            self.carry(body.len()).await;
            self.bucket.replace(name, body).await
        })
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        Box::pin(async move {
            let bytes = self.bucket.get(name, range).await?;
            self.carry(bytes.len() as u64).await;
            Ok(bytes)
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        self.bucket.list(prefix, after, limit)
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        self.bucket.delete(names)
    }

    fn date(&self) -> Option<StoreDate> {
        self.bucket.date()
    }

    fn facts(&self) -> Facts {
        self.bucket.facts()
    }
}

/// A broker at the near end.
pub struct Process {
    pub node: Node,
    pub broker: Arc<Broker>,
}

impl Process {
    pub async fn start(world: &World, bucket: &Bucket, settings: Settings) -> Self {
        let node = world.node("broker");
        let store = Line::new(world, bucket, &node) as Arc<dyn Store>;
        let broker = Cluster { store, runtime: node.runtime(), settings }.start().await;
        Self { node, broker }
    }

    pub fn end(self) {
        self.node.kill();
    }
}

/// Settings under which nothing is rewritten.
pub fn at_rest() -> LifeSettings {
    let (hour, day) = (Duration::from_secs(60 * 60), Duration::from_secs(24 * 60 * 60));
    let life = LifeSettings { merge_interval: hour, merge_age: day, clean_interval: hour, ..LifeSettings::default() };
    LifeSettings { segment_age: 7 * day, segment_small_age: 7 * day, ..life }
}

/// What a topic is, of which each partition is one segment.
#[derive(Clone, Copy)]
pub struct Old {
    pub partitions: i32,
    pub batches: i64,
    pub batch_bytes: usize,
}

impl Old {
    /// Writes it, as topic `old`, and waits until it is in segments.
    pub async fn write(self, world: &World, bucket: &Bucket) {
        let second = Duration::from_secs(1);
        let life = LifeSettings { merge_interval: second, segment_age: second, segment_small_age: second, ..at_rest() };
        let process = Process::start(world, bucket, Settings { life, ..Settings::default() }).await;
        let client = Client::connect(&process.broker);
        client.create_topic("old", self.partitions, &[]).await;
        let value = vec![7; self.batch_bytes];
        for _ in 0..self.batches {
            let batch = BatchBuilder::new(Codec::None).record(EPOCH_MS, None, Some(&value)).build();
            let sent: Vec<_> = (0..self.partitions).map(|each| client.send_batch("old", each, batch.clone())).collect();
            for sent in sent {
                sent.await.offset();
            }
        }
        let in_segments = || process.broker.metrics_text().contains("\"segment_debt_partitions\"} 0");
        loop {
            world.sleep(20 * second).await;
            let segments = process.broker.replica().read(|state| state.segment_count());
            if segments >= self.partitions as u64 && in_segments() {
                break;
            }
        }
        process.end();
    }
}

/// A consumer of some partitions of topic `old` with the limits of Java's, which takes what it is given at once.
pub struct Consumer {
    asks: Vec<Ask>,
    ends_at: i64,
    pub received: u64,
}

impl Consumer {
    pub fn new(broker: &Broker, old: Old, partitions: impl Iterator<Item = i32>) -> Self {
        let handle = |partition: i32| {
            broker.replica().read(|state| state.topic("old").and_then(|topic| topic.handle(partition as u32)))
        };
        let ask = |partition| Ask { partition: handle(partition).expect("it exists"), offset: 0, bytes_max: 1 << 20 };
        Self { asks: partitions.map(ask).collect(), ends_at: old.batches, received: 0 }
    }

    /// One fetch; whether there is more.
    pub async fn step(&mut self, broker: &Broker) -> bool {
        let limits = Limits { bytes_max: 50 << 20, bytes_min: 1, wait_max: Duration::from_millis(500) };
        let asks: Vec<Ask> = self.asks.iter().filter(|ask| ask.offset < self.ends_at).copied().collect();
        if asks.is_empty() {
            return false;
        }
        let answer = broker.reader().fetch(&asks, limits).await;
        for (asked, taken) in asks.iter().zip(answer) {
            let ask = self.asks.iter_mut().find(|ask| ask.partition == asked.partition).expect("asked for");
            for batch in taken.records.expect("no error").iter().flat_map(|bytes| batches(bytes)) {
                let batch = batch.expect("whole batches");
                assert_eq!(batch.header().base_offset, ask.offset, "in order");
                ask.offset = batch.header().next_offset();
                self.received += batch.bytes().len() as u64;
            }
        }
        true
    }

    /// Goes on from here.
    pub fn begin(&mut self, offset: i64) {
        self.asks.iter_mut().for_each(|ask| ask.offset = offset);
    }
}
