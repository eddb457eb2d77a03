//! Whether a snapshot is felt by producers: latency of one record at a time with and without a snapshot running, over a
//! state of a million extents. Store and log are in memory, so that only the broker itself is measured.
//!
//! `cargo bench -p kafscale-broker --bench snapshot`; `-- --small` for a tenth.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use kafscale_broker::{Broker, ConnectionId, Settings, api::Session, metrics::Metrics};
use kafscale_protocol::{
    Array, Records, RequestBody, encode_request,
    messages::{create_topics, produce},
};
use kafscale_records::{BatchBuilder, Codec};
use kafscale_runtime::TokioRuntime;
use kafscale_store::{MemoryStore, Store};

const PARTITIONS: i32 = 1_000;

async fn call<'a, R: RequestBody<'a>>(session: &Arc<Session>, version: i16, request: &R) {
    let frame = encode_request(version, 1, None, request).expect("fits").to_bytes();
    let _ = session.on_frame(BytesMut::from(&frame[4..])).await;
}

fn request(partitions: std::ops::Range<i32>) -> produce::Request<'static> {
    let batch = BatchBuilder::new(Codec::None).record(-1, None, Some(&[7; 64])).build();
    let data = |index| produce::PartitionProduceData { index, records: Some(Records::from(batch.clone())) };
    let partition_data = Array::from(partitions.map(data).collect::<Vec<_>>());
    let topic = produce::TopicProduceData { name: "wide", partition_data, ..Default::default() };
    produce::Request { acks: -1, timeout_ms: 30_000, topic_data: Array::from(vec![topic]), ..Default::default() }
}

/// Produces one record after the other until `done` says so; the latencies.
async fn produce_until(session: &Arc<Session>, mut done: impl FnMut(usize) -> bool) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while !done(latencies.len()) {
        let index = latencies.len() as i32 % PARTITIONS;
        let started = Instant::now();
        call(session, 9, &request(index..index + 1)).await;
        latencies.push(started.elapsed());
    }
    latencies.sort_unstable();
    latencies
}

fn show(what: &str, latencies: &[Duration]) {
    let at = |part: f64| latencies[(latencies.len() as f64 * part) as usize].as_secs_f64() * 1e3;
    println!(
        "{what}: {} records, p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        latencies.len(),
        at(0.5),
        at(0.99),
        at(1.0 - f64::EPSILON)
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let rounds = if std::env::args().any(|argument| argument == "--small") { 100 } else { 1_000 };
    let settings = Settings { cache_bytes: 8 << 20, ..Settings::default() };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let broker = Broker::start(store, TokioRuntime::handle(), Arc::new(Metrics::default()), settings).await;
    let broker = broker.expect("an empty store serves");
    let session = broker.session(ConnectionId(1), "/127.0.0.1");
    let topic = create_topics::CreatableTopic {
        name: "wide",
        num_partitions: PARTITIONS,
        replication_factor: 1,
        ..Default::default()
    };
    call(&session, 7, &create_topics::Request { topics: Array::from(vec![topic]), ..Default::default() }).await;
    for _ in 0..rounds {
        call(&session, 9, &request(0..PARTITIONS)).await;
    }
    let backlog = broker.replica().read(|state| state.backlog());
    println!("extents: {}", backlog.used);
    let quiet = produce_until(&session, |count| count >= 2_000).await;
    show("without a snapshot", &quiet);
    let snapshotter = broker.snapshotter();
    let started = Instant::now();
    let taken = tokio::spawn(async move { snapshotter.take().await.expect("memory takes it") });
    let during = produce_until(&session, |count| taken.is_finished() && count >= 100).await;
    let (_, bytes) = taken.await.expect("it ends");
    println!("snapshot: {bytes} bytes, {:.2} s", started.elapsed().as_secs_f64());
    show("during the snapshot", &during);
}
