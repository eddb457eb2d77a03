//! A producer with acks=0: it sends and is told nothing. What it sent stands once or not at all, and in its order; the one
//! thing that it can learn is that its connection was closed, and a batch that the broker refuses must close it.

use std::time::Duration;

use bytes::Bytes;
use kafscale_protocol::{
    Records,
    messages::produce::{PartitionProduceData, Request, TopicProduceData},
};
use kafscale_records::{BatchBuilder, Codec};
use kafscale_runtime::Runtime;

use super::{
    Partition,
    link::{Brokers, Link, Lost},
    producer::OLDEST_MS,
};
use crate::{
    executor::Node,
    history::{Appended, History, Promise},
    rng::Rng,
};

/// Produce by topic id.
const VERSION: i16 = 13;

/// Within this time a refused batch must have closed the connection: requests before it may wait for the store for 25 s,
/// and the claim that a topic is unknown for the log's end.
const CLOSED_WITHIN: Duration = Duration::from_secs(120);

/// What the producer is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where it writes.
    pub partition: Partition,
    /// Batches in all.
    pub batches: usize,
    /// Pause between batches at most.
    pub pause_max: Duration,
    /// Permille of requests with which the connection breaks.
    pub fragile: u64,
}

/// Runs on `node` until everything was sent.
pub async fn run(node: Node, brokers: Brokers, history: History, plan: Plan) -> Result<(), String> {
    let mut rng = Rng::new(node.random_u64());
    let mut left = plan.batches;
    while left > 0 {
        let mut link = brokers.connect(&node).await.fragile(plan.fragile);
        // Order is a promise of one connection, so each counts as another client.
        let client = history.value();
        while left > 0 {
            left -= 1;
            let pause = rng.below(1 + u64::try_from(plan.pause_max.as_micros()).expect("short"));
            node.sleep(Duration::from_micros(pause)).await;
            let values: Vec<_> = (0..rng.within(1..=4)).map(|_| history.value()).collect();
            let op = history.append(client, &plan.partition.line(), values.clone(), Promise::AtMostOnce);
            history.attempt(op);
            let mut batch = BatchBuilder::new(Codec::None);
            for value in values {
                let time_ms = node.wall_clock_ms() - i64::try_from(rng.below(OLDEST_MS)).expect("small");
                batch = batch.record(time_ms, None, Some(&value.to_be_bytes()));
            }
            let sent = send(&mut link, &plan.partition, batch.build()).await;
            history.appended(op, Appended::Unknown);
            if sent.is_err() {
                break;
            }
            if rng.chance(50) {
                spoil(&node, &mut link, &plan.partition, &mut rng).await?;
                break;
            }
        }
    }
    Ok(())
}

async fn send(link: &mut Link, partition: &Partition, records: Bytes) -> Result<(), Lost> {
    let data = PartitionProduceData { index: partition.index, records: Some(Records::from(records)) };
    let topic =
        TopicProduceData { topic_id: partition.id, partition_data: vec![data].into(), ..TopicProduceData::default() };
    let request = Request { acks: 0, timeout_ms: 30_000, topic_data: vec![topic].into(), ..Request::default() };
    link.send_unanswered(VERSION, &request).await
}

/// Sends what cannot be appended, and sees the connection closed.
async fn spoil(node: &Node, link: &mut Link, partition: &Partition, rng: &mut Rng) -> Result<(), String> {
    let batch = BatchBuilder::new(Codec::None).record(node.wall_clock_ms(), None, Some(b"spoilt")).build();
    let (target, batch) = if rng.chance(500) {
        let mut bytes = batch.to_vec();
        *bytes.last_mut().expect("a batch has bytes") ^= 1;
        (partition.clone(), Bytes::from(bytes))
    } else {
        (Partition { index: 1_000, ..partition.clone() }, batch)
    };
    if send(link, &target, batch).await.is_err() {
        return Ok(());
    }
    if !link.is_closed_within(CLOSED_WITHIN).await {
        return Err(format!("a batch of acks=0 to {target:?} was refused and the connection stays open"));
    }
    node.world().mark("acks=0 closed the connection");
    Ok(())
}
