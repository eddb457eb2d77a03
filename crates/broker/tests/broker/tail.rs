//! What ten replays of an old topic cost those who read the newest records: all share one line to the bucket, on a virtual
//! clock, so that nothing but what the broker asks for, and when, makes the difference.

use std::{sync::Arc, time::Duration};

use kafscale_broker::{
    Settings,
    planted::{self, Bug},
};
use kafscale_protocol::ErrorCode;
use kafscale_records::{BatchBuilder, Codec};
use kafscale_sim::{
    executor::{EPOCH_MS, World},
    store::Bucket,
};
use parking_lot::Mutex;

use crate::{
    common::Client,
    fetch::{Wants, fetch},
    line::{Consumer, LINE_BYTES, Old, Process},
};

const OLD: Old = Old { partitions: 32, batches: 40, batch_bytes: 256 << 10 };
/// A fraction of what is replayed, so that replays read the bucket and not memory.
const CACHE_BYTES: u64 = 40 << 20;
/// Of the tail: 2 MB/s, and for how long.
const PARTITIONS: usize = 16;
const BATCH_BYTES: usize = 12_500;
const EACH: Duration = Duration::from_millis(100);
const BATCHES: usize = 300;

/// What was seen of one run.
#[derive(Debug, Clone, Copy)]
struct Seen {
    #[expect(dead_code, reason = "told, not judged")]
    p50: Duration,
    p99: Duration,
    replayed_bytes_per_second: u64,
}

/// Sends and receives the tail beside so many replays.
async fn tail(world: &World, bucket: &Bucket, topic: &'static str, replays: usize) -> Seen {
    let settings = Settings { cache_bytes: CACHE_BYTES, ..Settings::default() };
    let process = Process::start(world, bucket, settings).await;
    let broker = &process.broker;
    let client = Client::connect(broker);
    client.create_topic(topic, PARTITIONS as i32, &[]).await;
    let replayed = Arc::<Mutex<u64>>::default();
    for number in 0..replays {
        let (broker, replayed) = (Arc::clone(broker), Arc::clone(&replayed));
        let replay = async move {
            // Ten consumers are not in step: what one reads the others have read long before, or not yet.
            let mut consumer = Consumer::new(&broker, OLD, 0..OLD.partitions);
            consumer.begin(OLD.batches * number as i64 / replays as i64);
            loop {
                let before = consumer.received;
                if !consumer.step(&broker).await {
                    consumer.begin(0);
                }
                *replayed.lock() += consumer.received - before;
            }
        };
        drop(process.node.call("replay", replay));
    }
    let began = world.now();
    let sent = Arc::new(Mutex::new(vec![Vec::new(); PARTITIONS]));
    for partition in 0..PARTITIONS {
        let (world, sent, client) = (world.clone(), Arc::clone(&sent), Client::connect(broker));
        let node = process.node.clone();
        let produce = async move {
            let batch = BatchBuilder::new(Codec::None).record(EPOCH_MS, None, Some(&[7; BATCH_BYTES])).build();
            world.sleep(EACH * partition as u32 / PARTITIONS as u32).await;
            for _ in 0..BATCHES {
                sent.lock()[partition].push(world.now());
                let answer = client.send_batch(topic, partition as i32, batch.clone());
                drop(node.call("answer", async move { assert_eq!(answer.await.error, ErrorCode::None) }));
                world.sleep(EACH).await;
            }
        };
        drop(process.node.call("producer", produce));
    }
    let (mut offsets, mut took) = (vec![0; PARTITIONS], Vec::new());
    while took.len() < PARTITIONS * BATCHES {
        let mut request = Wants::of(topic, &offsets).request();
        request.max_wait_ms = 500;
        let fetched = fetch(&client, 11, &request).await;
        for got in fetched.partitions {
            assert_eq!(got.error, ErrorCode::None);
            for (offset, _) in got.batches {
                took.push(world.now() - sent.lock()[got.partition as usize][offset as usize]);
                offsets[got.partition as usize] = offset + 1;
            }
        }
    }
    let passed = world.now() - began;
    process.end();
    took.sort();
    let replayed_bytes_per_second = *replayed.lock() * 1_000 / passed.as_millis() as u64;
    Seen { p50: took[took.len() / 2], p99: took[took.len() * 99 / 100], replayed_bytes_per_second }
}

#[test]
fn ten_replays_leave_the_tail_alone() {
    let world = World::new(1);
    let bucket = Bucket::new(&world, false);
    let told = world.run(Duration::from_secs(60 * 60), {
        let world = world.clone();
        async move {
            OLD.write(&world, &bucket).await;
            let alone = tail(&world, &bucket, "alone", 0).await;
            let beside = tail(&world, &bucket, "beside", 10).await;
            planted::plant(Some(Bug::BackfillsUnbounded));
            let unbounded = tail(&world, &bucket, "unbounded", 10).await;
            planted::plant(None);
            (alone, beside, unbounded)
        }
    });
    let (alone, beside, unbounded) = told.expect("the story ends");
    let of_alone = |seen: Seen| seen.p99.as_millis() * 100 / alone.p99.as_millis();
    println!("alone {alone:?}\nbeside ten {beside:?}\nbeside ten without the budget {unbounded:?}");
    assert!(of_alone(beside) <= 130, "p99 {:?} beside ten replays, {:?} alone", beside.p99, alone.p99);
    assert!(
        beside.replayed_bytes_per_second > LINE_BYTES,
        "and replays are fast, as they share what is read: {beside:?}"
    );
    assert!(of_alone(unbounded) > 150, "without the budget it would be seen: {unbounded:?}, {alone:?} alone");
}
