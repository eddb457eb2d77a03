//! A broker that dies at every single call of its jobs to the store, one run after the other: merging, making segments,
//! retention, log compaction, deleting. Its successor must find everything that there is to read, and finish.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use kafscale_broker::{Broker, LifeSettings, Settings};
use kafscale_protocol::messages::{delete_topics, fetch::Response};
use kafscale_records::{BatchBuilder, Codec, batches};
use kafscale_segment::{
    kfs,
    names::{File, segment},
};
use kafscale_sim::{
    executor::{EPOCH_MS, World},
    store::{Bucket, Side},
};
use kafscale_state::Place;

use crate::{
    common::{Client, Cluster},
    fetch::Wants,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

const TOPICS: [(&str, &[(&str, &str)]); 4] = [
    ("plain", &[("retention.ms", "-1")]),
    ("expiring", &[("retention.ms", "1")]),
    ("table", &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0"), ("delete.retention.ms", "600000")]),
    ("deleted", &[]),
];
/// Keys in the order in which they are written to each topic; `-` before one deletes it.
const WRITTEN: [&str; 8] = ["a", "b", "gone", "a", "c", "-gone", "b", "d"];

/// Jobs that do in minutes what takes them hours.
fn fast() -> LifeSettings {
    LifeSettings {
        merge_interval: MINUTE / 2,
        merge_age: MINUTE,
        segment_age: 5 * MINUTE,
        segment_small_age: 5 * MINUTE,
        clean_interval: MINUTE,
        retention_check: 2 * MINUTE,
        ..LifeSettings::default()
    }
}

fn idle() -> LifeSettings {
    LifeSettings { merge_interval: LIMIT, clean_interval: LIMIT, retention_check: LIMIT, ..LifeSettings::default() }
}

/// What clients have written before any job began: objects by name.
fn written() -> Vec<(String, Bytes)> {
    let world = World::new(1);
    let bucket = Bucket::new(&world, false);
    let story = {
        let (world, bucket) = (world.clone(), bucket.clone());
        async move {
            let node = world.node("writer");
            let settings = Settings { life: idle(), ..Settings::default() };
            let cluster = Cluster { store: bucket.client(&node), runtime: node.runtime(), settings };
            let client = Client::connect(&cluster.start().await);
            for (name, settings) in TOPICS {
                client.create_topic(name, 1, settings).await;
                for (time_ms, key) in (EPOCH_MS..).zip(WRITTEN) {
                    let value = if key.starts_with('-') { None } else { Some(&b"value"[..]) };
                    let key = key.trim_start_matches('-').as_bytes();
                    let record = BatchBuilder::new(Codec::None).record(time_ms, Some(key), value);
                    client.produce(name, 0, record.build()).await.offset();
                }
            }
        }
    };
    world.run(LIMIT, story).expect("it ends");
    bucket.names("").into_iter().map(|name| (name.clone(), bucket.object(&name).expect("named"))).collect()
}

/// Offsets and keys of a topic from its start on, and that each batch is whole.
async fn records(broker: &Arc<Broker>, topic: &str) -> Vec<(i64, String, bool)> {
    let bounds = broker.replica().read(|state| {
        let handle = state.topic(topic).and_then(|topic| topic.handle(0)).expect("it is there");
        state.partition(handle).map(|view| (view.log_start_offset(), view.high_watermark()))
    });
    let (mut at, end) = bounds.expect("it is there");
    let (client, mut found) = (Client::connect(broker), Vec::new());
    while at < end {
        let reply = client.call(12, &Wants::of(topic, &[at]).request()).await;
        let response: Response<'_> = reply.read();
        let data = response.responses.iter().next().and_then(|topic| topic.partitions.iter().next()).expect("one");
        let bytes = data.records.as_slice().unwrap_or_default().to_vec();
        for batch in batches(&bytes).map(|batch| batch.expect("whole")) {
            batch.verify_crc().expect("unharmed");
            at = batch.header().next_offset();
            for record in batch.open(1 << 20).expect("it opens").records().map(|record| record.expect("whole")) {
                let key = String::from_utf8(record.key.expect("a key").to_vec()).expect("text");
                found.push((record.offset, key, record.value.is_some()));
            }
        }
    }
    found
}

/// Everything is read, what is due is gone, what is referred to is there, and nothing that is dead is left.
async fn judge(bucket: &Bucket, broker: &Arc<Broker>) {
    let plain = records(broker, "plain").await;
    let expected =
        (0..).zip(WRITTEN).map(|(offset, key)| (offset, key.trim_start_matches('-').to_owned(), !key.starts_with('-')));
    assert_eq!(plain, expected.collect::<Vec<_>>());
    let table = records(broker, "table").await;
    let last = BTreeMap::from([("a", 3), ("b", 6), ("c", 4), ("d", 7)]);
    let last = last.into_iter().map(|(key, offset)| (offset, key.to_owned(), true));
    assert_eq!(table.into_iter().collect::<BTreeSet<_>>(), last.collect());
    assert_eq!(records(broker, "expiring").await, []);
    let state = broker.replica().snapshot();
    assert!(state.topic("deleted").is_none());
    let view = |name| state.topic(name).and_then(|topic| state.partition(topic.handle(0)?)).expect("it is there");
    assert_eq!(view("expiring").log_start_offset(), WRITTEN.len() as i64);
    assert_eq!((view("plain").extent_count(), view("table").segment_count()), (0, 0), "all was rewritten");
    for row in view("plain").segments() {
        let bytes = bucket.object(&segment("default", "plain", 0, row.base_offset as u64, File::Kfs));
        let bytes = bytes.expect("a segment is there");
        kfs::parse(&bytes).expect("it is one");
        assert_eq!(kfs::checksum(&bytes), row.crc);
    }
    let is_frame = |place: Place| matches!(place, Place::LogFrame { .. });
    let dead: Vec<_> = state.dead_objects().filter(|(_, dead)| !is_frame(dead.place)).collect();
    assert!(dead.is_empty() && state.dead_segments().count() == 0, "{dead:?} are still there");
}

/// A broker dies at its `call`th call, on that side of its effect, and another one goes on. False if it lived to the end.
fn dies_at(objects: &[(String, Bytes)], call: u64, side: Side) -> bool {
    let world = World::new(1);
    let bucket = Bucket::new(&world, false);
    objects.iter().for_each(|(name, bytes)| bucket.corrupt(name, bytes.clone()));
    let story = {
        let (world, bucket) = (world.clone(), bucket.clone());
        async move {
            let start = |name: &str, dies: Option<(u64, Side)>| {
                let node = world.node(name);
                let store = bucket.client(&node);
                if let Some((call, side)) = dies {
                    store.crash_at(call, side);
                }
                let settings = Settings { life: fast(), ..Settings::default() };
                let cluster = Cluster { store, runtime: node.runtime(), settings };
                (node.clone(), node.call("start", async move { cluster.start().await }))
            };
            let (node, first) = start("first", Some((call, side)));
            if let Some(broker) = first.await {
                let client = Client::connect(&broker);
                let delete = async move {
                    let topic_names = vec!["deleted"].into();
                    let request = delete_topics::Request { topic_names, timeout_ms: 1_000, ..Default::default() };
                    client.call(5, &request).await;
                };
                // The answer may never come.
                drop(node.call("delete", delete));
            }
            world.sleep(2 * HOUR).await;
            let died = !node.is_alive();
            node.kill();
            let broker = start("second", None).1.await.expect("it starts");
            let client = Client::connect(&broker);
            let request =
                delete_topics::Request { topic_names: vec!["deleted"].into(), timeout_ms: 1_000, ..Default::default() };
            client.call(5, &request).await;
            world.sleep(3 * HOUR).await;
            judge(&bucket, &broker).await;
            died
        }
    };
    world.run(LIMIT, story).expect("it ends")
}

#[test]
fn whatever_call_a_broker_dies_at_its_successor_finishes() {
    let objects = written();
    // `SIDES=both cargo test --workspace --test broker whatever_call` takes both at each.
    let both = std::env::var("SIDES").is_ok();
    let calls = (1_u64..).take_while(|call| {
        let (side, other) = match call.is_multiple_of(2) {
            true => (Side::Before, Side::After),
            false => (Side::After, Side::Before),
        };
        dies_at(&objects, *call, side) && (!both || dies_at(&objects, *call, other))
    });
    let calls = calls.count();
    println!("{calls} calls");
    assert!(calls > 40, "only {calls} calls: the jobs did not do what this is about");
}
