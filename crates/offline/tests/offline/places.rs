//! Stores that brokers come to and go from, and what is in them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_broker::{Broker, LifeSettings, Settings, StartError, Stores};
use kafscale_offline::{
    Bucket, Known, Until,
    fsck::{self, Depth, Severity},
    records,
    tile::tiles,
};
use kafscale_protocol::{
    Array, ErrorCode, Uuid,
    messages::{
        fetch::{self, FetchPartition, FetchTopic},
        offset_commit,
    },
};
use kafscale_records::batches;
use kafscale_sim::executor::{EPOCH_MS, Node, World};
use kafscale_store::{MemoryStore, Store};

use crate::common::{Client, NOW_MS, batch, sequenced};

pub const MINUTE: Duration = Duration::from_secs(60);

/// Records by topic and partition: offset and value.
pub type Records = BTreeMap<(String, i32), Vec<(i64, Vec<u8>)>>;

/// One store, or two.
pub struct Place {
    pub world: World,
    pub data: Arc<MemoryStore>,
    pub log: Option<Arc<MemoryStore>>,
    running: Option<Node>,
}

impl Place {
    pub fn new(world: &World, apart: bool) -> Self {
        Self { world: world.clone(), data: Arc::default(), log: apart.then(Arc::default), running: None }
    }

    pub fn stores(&self) -> Stores {
        let data: Arc<dyn Store> = Arc::<MemoryStore>::clone(&self.data);
        match &self.log {
            Some(log) => Stores::apart(data, Arc::<MemoryStore>::clone(log)),
            None => data.into(),
        }
    }

    /// Where the log is.
    pub fn log(&self) -> &MemoryStore {
        self.log.as_ref().unwrap_or(&self.data)
    }

    pub fn bucket(&self) -> Bucket {
        Bucket::new(self.stores(), self.world.node("tool").runtime())
    }

    /// A broker that merges within minutes.
    pub async fn start(&mut self) -> Arc<Broker> {
        self.try_start().await.expect("it starts")
    }

    /// The same, where it may refuse.
    pub async fn try_start(&mut self) -> Result<Arc<Broker>, StartError> {
        self.kill();
        let node = self.world.node("broker");
        node.set_wall_offset_ms(NOW_MS - EPOCH_MS);
        let life = LifeSettings {
            merge_age: MINUTE,
            segment_age: 10 * MINUTE,
            segment_small_age: 20 * MINUTE,
            ..LifeSettings::default()
        };
        let settings = Settings { life, ..Settings::default() };
        let broker = Broker::start(self.stores(), node.runtime(), Arc::default(), settings).await?;
        self.running = Some(node);
        Ok(broker)
    }

    pub fn kill(&mut self) {
        if let Some(node) = self.running.take() {
            node.kill();
        }
    }

    pub async fn names(&self, of: &MemoryStore, prefix: &str) -> Vec<String> {
        of.list(prefix, "", 100_000).await.expect("memory").into_iter().map(|row| row.name).collect()
    }

    pub async fn delete(&self, of: &MemoryStore, prefix: &str) -> usize {
        let names = self.names(of, prefix).await;
        of.delete(&names).await.expect("memory");
        names.len()
    }

    /// What a tool reads of everything.
    pub async fn cat(&self) -> Records {
        let bucket = self.bucket();
        let known = Known::open(&bucket, Until::Tail).await.expect("it can be read");
        let mut found = Records::new();
        for topic in known.state.topics() {
            for (index, handle) in (0..).zip(topic.handles()) {
                let tiles: Result<Vec<_>, _> = tiles(&known.state, known.cluster, handle, 0).into_iter().collect();
                let mut row = Vec::new();
                records::visit(&bucket, &tiles.expect("known places"), 0, i64::MAX, &mut |_, record| {
                    row.push((record.offset, record.value.unwrap_or_default().to_vec()));
                    true
                })
                .await
                .expect("it is whole");
                found.insert((topic.name().to_owned(), index), row);
            }
        }
        found
    }

    /// Fails if a check finds damage or flaws.
    pub async fn is_sound(&self) {
        let report = fsck::check(&self.bucket(), Depth::Whole, &|_, _| ()).await.expect("it can be checked");
        assert!(report.worst().is_none_or(|worst| worst == Severity::Note), "{:#?}", report.findings);
    }
}

/// Everything that a consumer gets.
pub async fn consume(broker: &Arc<Broker>) -> Records {
    let client = Client::connect(broker);
    let topics = broker.replica().read(|state| {
        let topics = state.topics().map(|topic| (topic.name().to_owned(), topic.partition_count()));
        topics.collect::<Vec<_>>()
    });
    let mut found = Records::new();
    for (topic, count) in topics {
        for partition in 0..count as i32 {
            found.insert((topic.clone(), partition), consume_one(broker, &client, &topic, partition).await);
        }
    }
    found
}

async fn consume_one(broker: &Arc<Broker>, client: &Client, topic: &str, partition: i32) -> Vec<(i64, Vec<u8>)> {
    let start = broker.replica().read(|state| {
        let handle = state.topic(topic).and_then(|topic| topic.handle(partition as u32)).expect("it is there");
        state.partition(handle).expect("it is there").log_start_offset()
    });
    let (mut found, mut next) = (Vec::new(), start);
    loop {
        let ask = FetchPartition { partition, fetch_offset: next, partition_max_bytes: 1 << 20, ..Default::default() };
        let topics = Array::from(vec![FetchTopic { topic, partitions: Array::from(vec![ask]), ..Default::default() }]);
        let request =
            fetch::Request { max_wait_ms: 100, min_bytes: 1, max_bytes: 1 << 20, topics, ..Default::default() };
        let reply = client.call(11, &request).await;
        let response: fetch::Response<'_> = reply.read();
        let topic = response.responses.iter().next().expect("one topic");
        let data = topic.partitions.iter().next().expect("one partition");
        assert_eq!(data.error_code, ErrorCode::None, "at {next}");
        if next == data.high_watermark {
            return found;
        }
        let before = next;
        for batch in batches(data.records.as_slice().expect("decoded")).map(|batch| batch.expect("whole batches")) {
            next = batch.header().next_offset();
            for record in batch.open(1 << 20).expect("it opens").records() {
                let record = record.expect("it is whole");
                if record.offset >= before {
                    found.push((record.offset, record.value.unwrap_or_default().to_vec()));
                }
            }
        }
        assert!(next > before, "{before} of {} and nothing comes", data.high_watermark);
    }
}

/// What has records, so that offsets that hold none do not matter.
pub fn filled(records: Records) -> Records {
    records.into_iter().filter(|(_, row)| !row.is_empty()).collect()
}

/// Commits an offset of partition 0.
pub async fn commit(client: &Client, group: &str, topic: &str, offset: i64) {
    let partition = offset_commit::OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_leader_epoch: -1,
        committed_metadata: Some("note"),
    };
    let topic = offset_commit::OffsetCommitRequestTopic {
        name: topic,
        topic_id: Uuid::ZERO,
        partitions: vec![partition].into(),
    };
    let request = offset_commit::Request {
        group_id: group,
        generation_id_or_member_epoch: -1,
        topics: vec![topic].into(),
        ..Default::default()
    };
    let reply = client.call(8, &request).await;
    let answer: offset_commit::Response<'_> = reply.read();
    let code = answer.topics.iter().next().expect("one").partitions.iter().next().expect("one").error_code;
    assert_eq!(code, ErrorCode::None);
}

/// All committed offsets by group and topic.
pub fn offsets(broker: &Broker) -> Vec<(String, String, i64)> {
    broker.replica().read(|state| {
        let groups = state.groups().flat_map(|(id, group)| group.offsets().map(move |offset| (id, offset)));
        let named = groups.filter_map(|(id, (handle, committed))| {
            let view = state.partition(handle)?;
            Some((id.to_owned(), view.topic().name().to_owned(), committed.offset))
        });
        let mut all: Vec<_> = named.collect();
        all.sort();
        all
    })
}

/// A producer of batches that all differ.
pub struct Load {
    client: Client,
    count: u64,
    epoch: i16,
    sequence: i32,
}

impl Load {
    pub fn new(broker: &Arc<Broker>) -> Self {
        Self { client: Client::connect(broker), count: 0, epoch: 0, sequence: 0 }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Goes on through another broker.
    pub fn reconnect(&mut self, broker: &Arc<Broker>) {
        self.client = Client::connect(broker);
    }

    /// A few batches to each partition of `orders`, by turns plain and of one idempotent producer, and to `events`.
    pub async fn produce(&mut self, rounds: usize) {
        for _ in 0..rounds {
            for partition in 0..2 {
                self.count += 1;
                let text = format!("order {}", self.count);
                let plain = batch(1).record(NOW_MS, None, Some(text.as_bytes())).build();
                self.client.produce("orders", partition, plain).await.offset();
            }
            self.idempotent().await;
            let event = format!("event {}", self.count);
            let events = batch(2).record(NOW_MS, Some(b"k"), Some(event.as_bytes())).build();
            self.client.produce("events", 0, events).await.offset();
        }
    }

    /// The idempotent producer begins a new epoch, as one does that hears of a gap in its sequence.
    pub fn next_epoch(&mut self) {
        (self.epoch, self.sequence) = (self.epoch + 1, 0);
    }

    /// One batch of the idempotent producer.
    pub async fn idempotent(&mut self) -> i64 {
        let bytes: Bytes = sequenced(0, self.epoch, self.sequence, 2);
        let offset = self.client.produce("orders", 1, bytes).await.offset();
        self.sequence += 2;
        offset
    }
}

/// A store as months make it: merged objects, segments, frames; groups; a snapshot somewhere in between.
pub async fn lived(place: &mut Place) -> (Arc<Broker>, Load) {
    let broker = place.start().await;
    let mut load = Load::new(&broker);
    load.client().create_topic("orders", 2, &[("retention.ms", "-1")]).await;
    load.client().create_topic("events", 1, &[]).await;
    let request = kafscale_protocol::messages::init_producer_id::Request {
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let reply = load.client().call(4, &request).await;
    assert_eq!(reply.read::<kafscale_protocol::messages::init_producer_id::Response>().producer_id, 0);
    load.produce(5).await;
    place.world.sleep(25 * MINUTE).await;
    load.produce(5).await;
    place.world.sleep(3 * MINUTE).await;
    commit(load.client(), "readers", "orders", 7).await;
    load.produce(3).await;
    let kinds = broker.replica().read(|state| {
        let partitions =
            || state.topics().flat_map(|topic| topic.handles()).filter_map(|handle| state.partition(handle));
        let extents = partitions().flat_map(|view| view.extents_from(0)).map(|extent| extent.place.level());
        extents.collect::<std::collections::BTreeSet<u8>>()
    });
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [0, 1, u8::MAX], "frames, merged objects and segments");
    (broker, load)
}

/// A batch whose checksum is right and whose records cannot be read.
pub fn spoiled(batch: &[u8]) -> Vec<u8> {
    let mut batch = batch.to_vec();
    // The length of the first record becomes a negative one.
    batch[kafscale_records::HEADER_LEN] = 0x7f;
    let crc = kafscale_segment::kfs::checksum(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// Tells a story on a virtual clock.
pub fn story<F>(tell: impl FnOnce(World) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let world = World::new(1);
    world.run(Duration::from_secs(7 * 24 * 60 * 60), tell(world.clone())).expect("the story ends");
}
