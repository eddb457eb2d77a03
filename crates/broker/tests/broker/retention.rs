//! Retention: what is due goes, what is not stays, and the space comes back.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_protocol::{
    ErrorCode,
    messages::{delete_topics, list_offsets},
};
use kafscale_records::{BatchBuilder, Codec};
use kafscale_store::{MemoryStore, Store, StoreDate};

use crate::{
    common::{Client, NOW_MS, batch},
    scripted::{Process, story},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const HOUR_MS: i64 = 3_600_000;

async fn earliest(client: &Client, name: &str) -> i64 {
    let partition = list_offsets::ListOffsetsPartition { timestamp: -2, ..Default::default() };
    let topic = list_offsets::ListOffsetsTopic { name, partitions: vec![partition].into() };
    let request = list_offsets::Request { replica_id: -1, topics: vec![topic].into(), ..Default::default() };
    let reply = client.call(7, &request).await;
    let response: list_offsets::Response<'_> = reply.read();
    let row = response.topics.iter().next().and_then(|topic| topic.partitions.iter().next()).expect("one");
    assert_eq!(row.error_code, ErrorCode::None);
    row.offset
}

fn dated(time_ms: i64, bytes: usize) -> Bytes {
    BatchBuilder::new(Codec::None).record(time_ms, Some(b"key"), Some(&vec![7; bytes])).build()
}

/// Bytes of everything in the store.
async fn stored(memory: &Arc<MemoryStore>) -> u64 {
    let rows = memory.list("", "", 100_000).await.expect("memory answers");
    rows.iter().map(|row| row.size).sum()
}

/// A topic, its settings, and where it begins in the end.
type Kept = (&'static str, &'static [(&'static str, &'static str)], i64);

#[test]
fn what_is_due_goes_and_everything_else_stays() {
    story(|world, memory| async move {
        let mut process = Process::new(&world, &memory);
        // What was merged would go together.
        process.cluster.settings.life.merge_interval = 24 * HOUR;
        let client = Client::connect(&process.cluster.start().await);
        let topics: &[Kept] = &[
            ("at-once", &[("retention.ms", "1")], 3),
            ("an-hour", &[("retention.ms", "3600000")], 1),
            ("for-ever", &[("retention.ms", "-1")], 0),
            ("a-week", &[], 0),
            ("one-kilobyte", &[("retention.ms", "-1"), ("retention.bytes", "1024")], 1),
            ("compacted", &[("cleanup.policy", "compact"), ("retention.ms", "1"), ("retention.bytes", "0")], 0),
            ("both", &[("cleanup.policy", "compact,delete"), ("retention.ms", "1")], 3),
            ("neither", &[("cleanup.policy", ""), ("retention.ms", "1")], 0),
            // What tiers would keep locally decides nothing.
            ("tiers", &[("local.retention.ms", "1"), ("local.retention.bytes", "1")], 0),
        ];
        for (name, configs, _) in topics {
            client.create_topic(name, 1, configs).await;
            for time_ms in [NOW_MS - 2 * HOUR_MS, NOW_MS - HOUR_MS / 2, NOW_MS] {
                client.produce(name, 0, dated(time_ms, 900)).await.offset();
            }
        }
        world.sleep(6 * MINUTE).await;
        for (name, _, start) in topics {
            assert_eq!(earliest(&client, name).await, *start, "{name}");
        }
        // Offsets go on, also over a restart.
        assert_eq!(client.produce("at-once", 0, batch(1).build()).await.offset(), 3);
        let client = Client::connect(&process.cluster.start().await);
        assert_eq!(earliest(&client, "at-once").await, 3);
    });
}

#[test]
fn a_record_from_the_future_holds_up_what_follows_it_until_its_time() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let client = Client::connect(&process.cluster.start().await);
        client.create_topic("t", 1, &[("retention.ms", "60000")]).await;
        for time_ms in [NOW_MS - HOUR_MS, NOW_MS + HOUR_MS / 2, NOW_MS - HOUR_MS] {
            client.produce("t", 0, dated(time_ms, 10)).await.offset();
        }
        world.sleep(25 * MINUTE).await;
        assert_eq!(earliest(&client, "t").await, 1);
        world.sleep(15 * MINUTE).await;
        assert_eq!(earliest(&client, "t").await, 3);
    });
}

#[test]
fn no_clock_alone_makes_records_old() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let client = Client::connect(&process.cluster.start().await);
        client.create_topic("t", 1, &[("retention.ms", "36000000")]).await;
        client.produce("t", 0, batch(2).build()).await.offset();
        let ahead_ms = 24 * HOUR_MS;
        process.set_clock_off(ahead_ms);
        for _ in 0..3 {
            world.sleep(6 * MINUTE).await;
            client.produce("t", 0, batch(1).build()).await.offset();
        }
        assert_eq!(earliest(&client, "t").await, 0, "a system clock that steps a day ahead");
        process.set_clock_off(0);
        let (seen_at, unix_ms) = (process.runtime().now(), process.runtime().wall_clock_ms() + ahead_ms);
        process.store.set_date(StoreDate { unix_ms, seen_at });
        world.sleep(6 * MINUTE).await;
        assert_eq!(earliest(&client, "t").await, 0, "a store's that does");
        process.set_clock_off(ahead_ms);
        world.sleep(6 * MINUTE).await;
        assert_eq!(earliest(&client, "t").await, 5, "both");
    });
}

#[test]
fn the_space_of_what_went_comes_back() {
    space_comes_back(|_| {});
}

#[test]
fn the_space_comes_back_though_half_of_all_deletes_fail() {
    space_comes_back(|process| process.store.deletes_half());
}

fn space_comes_back(spoil: impl FnOnce(&Process) + Send + 'static) {
    story(|world, memory| async move {
        let mut process = Process::new(&world, &memory);
        // They are merged into one object, which lives until the last of them has left it.
        process.cluster.settings.life.segment_small_age = 2 * HOUR;
        spoil(&process);
        let client = Client::connect(&process.cluster.start().await);
        let records = 900_000;
        for (name, retention_ms) in [("short", "3600000"), ("gone", "-1"), ("kept", "-1")] {
            client.create_topic(name, 1, &[("retention.ms", retention_ms)]).await;
            client.produce(name, 0, dated(NOW_MS, records)).await.offset();
        }
        assert!(stored(&memory).await > 3 * records as u64);
        let request =
            delete_topics::Request { topic_names: vec!["gone"].into(), timeout_ms: 1_000, ..Default::default() };
        client.call(5, &request).await;
        // A record now and then, as from a broker that is hardly used: the floor moves all the same.
        for _ in 0..16 {
            world.sleep(HOUR).await;
            client.produce("kept", 0, batch(1).build()).await.offset();
        }
        let left = stored(&memory).await;
        assert!((records as u64..records as u64 * 3 / 2).contains(&left), "{left} bytes are left");
        assert_eq!(earliest(&client, "short").await, 1);
    });
}
