//! A broker, and a client that speaks whole frames to it.

use std::sync::{
    Arc,
    atomic::{AtomicI32, AtomicU64, Ordering},
};

use bytes::{Bytes, BytesMut};
use kafscale_broker::{
    Broker, ConnectionId, Settings,
    api::{Answer, Session},
    metrics::Metrics,
};
use kafscale_protocol::{
    ApiKey, Array, Body, ErrorCode, Records, RequestBody, Uuid, encode_request,
    messages::{create_topics, produce},
    read_response_header,
};
use kafscale_records::{BatchBuilder, Codec};
use kafscale_runtime::{Handle, TokioRuntime};
use kafscale_store::{MemoryStore, Store};

/// Now, as every test says it.
pub const NOW_MS: i64 = 1_790_000_000_000;

/// A broker that may be killed and started again on the same store.
pub struct Cluster {
    pub store: Arc<dyn Store>,
    pub runtime: Handle,
    pub settings: Settings,
}

impl Cluster {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let runtime = TokioRuntime::handle();
        let store = Arc::new(MemoryStore::new());
        Self { store, runtime, settings }
    }

    pub async fn start(&self) -> Arc<Broker> {
        let metrics = Arc::new(Metrics::default());
        let store = Arc::clone(&self.store);
        Broker::start(store, Arc::clone(&self.runtime), metrics, self.settings.clone()).await.expect("it starts")
    }
}

/// One connection.
pub struct Client {
    pub session: Arc<Session>,
    correlation_id: AtomicI32,
}

/// The body of an answer.
pub struct Reply {
    body: Bytes,
    version: i16,
}

impl Reply {
    pub fn read<'a, R: Body<'a>>(&'a self) -> R {
        R::read(self.version, &self.body).expect("an answer in its version")
    }
}

static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

impl Client {
    pub fn connect(broker: &Arc<Broker>) -> Self {
        let id = ConnectionId(CONNECTIONS.fetch_add(1, Ordering::Relaxed));
        Self { session: broker.session(id, "/127.0.0.1"), correlation_id: AtomicI32::new(0) }
    }

    /// Sends a request; it has taken its place when this returns.
    pub fn send<'a, R: RequestBody<'a>>(&self, version: i16, request: &R) -> impl Future<Output = Reply> + use<'a, R> {
        let correlation_id = self.correlation_id.fetch_add(1, Ordering::Relaxed);
        let frame = encode_request(version, correlation_id, Some("test"), request).expect("fits").to_bytes();
        self.send_frame(R::API, version, correlation_id, &frame)
    }

    fn send_frame(
        &self,
        api: ApiKey,
        version: i16,
        correlation_id: i32,
        frame: &[u8],
    ) -> impl Future<Output = Reply> + use<> {
        let answer = self.session.on_frame(BytesMut::from(&frame[4..]));
        async move {
            match answer.await {
                Answer::Respond { parts, .. } => {
                    let frame = parts.concat();
                    assert_eq!(frame.len() - 4, i32::from_be_bytes(frame[..4].try_into().unwrap()) as usize);
                    let (answered, body) = read_response_header(api, version, &frame[4..]).expect("a header");
                    assert_eq!(answered, correlation_id);
                    Reply { body: Bytes::copy_from_slice(body), version }
                }
                other => panic!("no answer but {other:?}"),
            }
        }
    }

    pub async fn call<'a, R: RequestBody<'a>>(&self, version: i16, request: &R) -> Reply {
        self.send(version, request).await
    }

    pub async fn create_topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Uuid {
        let configs =
            configs.iter().map(|(name, value)| create_topics::CreatableTopicConfig { name, value: Some(value) });
        let topic = create_topics::CreatableTopic {
            name,
            num_partitions: partitions,
            replication_factor: 1,
            configs: Array::from(configs.collect::<Vec<_>>()),
            ..Default::default()
        };
        let request = create_topics::Request { topics: Array::from(vec![topic]), ..Default::default() };
        let reply = self.call(7, &request).await;
        let response: create_topics::Response<'_> = reply.read();
        let result = response.topics.iter().next().expect("one topic");
        assert_eq!(result.error_code, ErrorCode::None, "{:?}", result.error_message);
        result.topic_id
    }

    /// Produces one batch and returns what became of it.
    pub async fn produce(&self, topic: &str, partition: i32, batch: Bytes) -> Produced {
        self.send_batch(topic, partition, batch).await
    }

    /// The same; it has taken its place when this returns.
    pub fn send_batch(&self, topic: &str, partition: i32, batch: Bytes) -> impl Future<Output = Produced> + use<> {
        let data = produce::PartitionProduceData { index: partition, records: Some(Records::from(batch)) };
        let topic =
            produce::TopicProduceData { name: topic, partition_data: Array::from(vec![data]), ..Default::default() };
        let request = produce::Request {
            acks: -1,
            timeout_ms: 30_000,
            topic_data: Array::from(vec![topic]),
            ..Default::default()
        };
        let correlation_id = self.correlation_id.fetch_add(1, Ordering::Relaxed);
        let frame = encode_request(9, correlation_id, Some("test"), &request).expect("fits").to_bytes();
        let reply = self.send_frame(ApiKey::Produce, 9, correlation_id, &frame);
        async move {
            let reply = reply.await;
            let response: produce::Response<'_> = reply.read();
            let topic = response.responses.iter().next().expect("one topic");
            let partition = topic.partition_responses.iter().next().expect("one partition");
            Produced {
                error: partition.error_code,
                base_offset: partition.base_offset,
                log_append_time_ms: partition.log_append_time_ms,
                log_start_offset: partition.log_start_offset,
            }
        }
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Produced {
    pub error: ErrorCode,
    pub base_offset: i64,
    pub log_append_time_ms: i64,
    pub log_start_offset: i64,
}

impl Produced {
    pub fn offset(&self) -> i64 {
        assert_eq!(self.error, ErrorCode::None);
        self.base_offset
    }
}

/// A batch of `records` small records.
pub fn batch(records: usize) -> BatchBuilder {
    (0..records).fold(BatchBuilder::new(Codec::None), |batch, index| {
        batch.record(NOW_MS, Some(b"key"), Some(format!("value {index}").as_bytes()))
    })
}

/// One of an idempotent producer.
pub fn sequenced(producer_id: i64, epoch: i16, sequence: i32, records: usize) -> Bytes {
    batch(records).producer(producer_id, epoch, sequence).build()
}
