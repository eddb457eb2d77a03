//! Faults from outside: a store that is away, full, lossy or somebody else's, and clocks that are wrong.
//! Each time a clear error, nothing lost, and everything else goes on.

use std::time::Duration;

use kafscale_broker::{Ended, StartError, cluster::ClusterError};
use kafscale_log::lone::{OpenError, floor, names};
use kafscale_protocol::{
    Array, ErrorCode,
    messages::{
        fetch::{self, FetchPartition, FetchTopic},
        init_producer_id, list_offsets,
    },
};
use kafscale_records::{BatchBuilder, Codec, batches};
use kafscale_store::{ReadRange, Store, StoreDate};

use crate::{
    common::{Client, batch, sequenced},
    scripted::{Creates, Process, Reads, story},
};

const MINUTE: Duration = Duration::from_secs(60);

/// Every record of partition 0 of topic `t`, as base and last offset of each batch.
pub async fn everything(client: &Client) -> Vec<(i64, i64)> {
    let mut found = Vec::new();
    loop {
        let fetch_offset = found.last().map_or(0, |(_, last)| last + 1);
        let partition = FetchPartition { fetch_offset, partition_max_bytes: 1 << 20, ..Default::default() };
        let topic = FetchTopic { topic: "t", partitions: Array::from(vec![partition]), ..Default::default() };
        let topics = Array::from(vec![topic]);
        let request = fetch::Request { min_bytes: 1, max_bytes: 1 << 20, topics, ..Default::default() };
        let reply = client.call(11, &request).await;
        let response: fetch::Response<'_> = reply.read();
        let topic = response.responses.iter().next().expect("one topic");
        let data = topic.partitions.iter().next().expect("one partition");
        assert_eq!(data.error_code, ErrorCode::None);
        let before = found.len();
        let whole = batches(data.records.as_slice().expect("decoded")).map(|batch| batch.expect("whole batches"));
        found.extend(whole.map(|batch| (batch.header().base_offset, batch.header().last_offset())));
        if found.len() == before && fetch_offset == data.high_watermark {
            return found;
        }
    }
}

async fn producer_id(client: &Client) -> i64 {
    let request = init_producer_id::Request { producer_id: -1, producer_epoch: -1, ..Default::default() };
    let reply = client.call(4, &request).await;
    reply.read::<init_producer_id::Response>().producer_id
}

async fn latest(client: &Client) -> ErrorCode {
    let partition =
        list_offsets::ListOffsetsPartition { timestamp: -1, current_leader_epoch: -1, ..Default::default() };
    let topic = list_offsets::ListOffsetsTopic { name: "t", partitions: Array::from(vec![partition]) };
    let request = list_offsets::Request { replica_id: -1, topics: Array::from(vec![topic]), ..Default::default() };
    let reply = client.call(7, &request).await;
    let response: list_offsets::Response<'_> = reply.read();
    response.topics.iter().next().expect("one").partitions.iter().next().expect("one").error_code
}

#[test]
fn a_minute_of_503_is_answered_with_retriable_errors_and_over_when_it_is_over() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let client = Client::connect(&broker);
        client.create_topic("t", 1, &[]).await;
        let id = producer_id(&client).await;
        assert_eq!(client.produce("t", 0, sequenced(id, 0, 0, 1)).await.offset(), 0);

        process.store.is_away(true);
        let began = world.now();
        let in_doubt = client.produce("t", 0, sequenced(id, 0, 1, 1)).await.error;
        assert_eq!(in_doubt, ErrorCode::RequestTimedOut, "buffered, so its outcome is unknown");
        // The flush began a little later than the request.
        world.sleep(Duration::from_millis(50)).await;
        assert!(!broker.is_ready());
        let refused = client.produce("t", 0, batch(1).build()).await.error;
        assert_eq!(refused, ErrorCode::NotEnoughReplicas, "refused before it was buffered");
        assert!(in_doubt.is_retriable() && refused.is_retriable());
        let end = latest(&client).await;
        assert_ne!(end, ErrorCode::None, "no end is claimed that may be old");
        assert!(end.is_retriable());
        world.sleep(MINUTE.saturating_sub(world.now() - began)).await;

        process.store.is_away(false);
        let retried = client.produce("t", 0, sequenced(id, 0, 1, 1)).await;
        assert_eq!(retried.offset(), 1, "once, not twice");
        assert!(broker.is_ready());
        assert_eq!(client.produce("t", 0, sequenced(id, 0, 2, 1)).await.offset(), 2);
        assert_eq!(everything(&client).await, [(0, 0), (1, 1), (2, 2)]);
    });
}

#[test]
fn a_store_that_is_away_for_a_moment_does_not_end_a_start() {
    story(|world, memory| async move {
        for away in [Duration::from_secs(1), Duration::from_secs(30)] {
            let process = Process::new(&world, &memory);
            process.store.is_away(true);
            let back = async {
                world.sleep(away).await;
                process.store.is_away(false);
            };
            let (broker, ()) = tokio::join!(process.cluster.start(), back);
            assert!(broker.is_ready());
        }
        let process = Process::new(&world, &memory);
        process.store.is_away(true);
        let began = world.now();
        let error = process.try_start().await.err().expect("it is away for too long");
        assert!(matches!(error, StartError::Cluster(ClusterError::Read(_))), "{error}");
        assert!((MINUTE..MINUTE * 2).contains(&(world.now() - began)));
    });
}

#[test]
fn reads_that_hang_hold_up_neither_a_start_nor_a_fetch() {
    story(|world, memory| async move {
        let first = Process::new(&world, &memory);
        let client = Client::connect(&first.cluster.start().await);
        client.create_topic("t", 1, &[]).await;
        client.produce("t", 0, batch(3).build()).await.offset();
        first.node.kill();

        let process = Process::new(&world, &memory);
        process.store.reads(Reads::FifthHangs);
        let began = world.now();
        let client = Client::connect(&process.cluster.start().await);
        assert_eq!(everything(&client).await, [(0, 2)]);
        let took = world.now() - began;
        assert!(took < Duration::from_secs(5), "one limit is ten seconds, and several reads hung: {took:?}");
    });
}

#[test]
fn a_start_outlasts_a_store_that_hangs_and_names_what_it_waits_for_when_it_gives_up() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        process.store.reads(Reads::Hang);
        let recovers = async {
            world.sleep(MINUTE / 2).await;
            process.store.reads(Reads::Fine);
        };
        let (broker, ()) = tokio::join!(process.cluster.start(), recovers);
        assert!(broker.is_ready());

        let process = Process::new(&world, &memory);
        process.store.reads(Reads::Hang);
        let began = world.now();
        let error = process.try_start().await.err().expect("it hangs for ever").to_string();
        assert!(error.contains("no answer about cluster.json"), "{error}");
        assert!((MINUTE..MINUTE * 2).contains(&(world.now() - began)));
    });
}

#[test]
fn a_marker_whose_answer_was_lost_is_made_once() {
    story(|world, memory| async move {
        for creates in [Creates::Lost, Creates::AppliedLost] {
            let process = Process::new(&world, &memory);
            process.store.next_creates(3, creates);
            let id = process.cluster.start().await.cluster().id;
            let again = Process::new(&world, &memory);
            assert_eq!(again.cluster.start().await.cluster().id, id);
        }
    });
}

#[test]
fn a_store_that_refuses_the_keys_ends_the_start_at_once() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        process.store.reads(Reads::Refused);
        let error = process.try_start().await.err().expect("refused");
        assert!(matches!(error, StartError::Cluster(ClusterError::Read(_))), "{error}");
        process.store.reads(Reads::Fine);
        process.store.creates(Creates::Refused);
        let error = process.try_start().await.err().expect("refused");
        assert!(matches!(error, StartError::Cluster(ClusterError::Write(_))), "{error}");
        process.store.next_creates(0, Creates::Fine);
        process.cluster.start().await;
        process.store.creates(Creates::Refused);
        let error = process.try_start().await.err().expect("refused");
        assert!(matches!(error, StartError::Log(OpenError::Refused(_))), "{error}");
    });
}

#[test]
fn connections_cut_after_applying_write_once_and_are_acknowledged() {
    for creates in [Creates::AppliedLost, Creates::AppliedHang, Creates::Lost, Creates::Hang] {
        story(move |world, memory| async move {
            let process = Process::new(&world, &memory);
            let broker = process.cluster.start().await;
            let client = Client::connect(&broker);
            client.create_topic("t", 1, &[]).await;
            let mut expected = Vec::new();
            for n in 0..5 {
                process.store.next_creates(1, creates);
                assert_eq!(client.produce("t", 0, batch(2).build()).await.offset(), 2 * n, "{creates:?}");
                expected.push((2 * n, 2 * n + 1));
            }
            assert_eq!(everything(&client).await, expected, "{creates:?}");
            drop((client, broker));
            process.node.kill();
            let successor = Process::new(&world, &memory);
            let client = Client::connect(&successor.cluster.start().await);
            assert_eq!(everything(&client).await, expected, "{creates:?}");
        });
    }
}

/// A full disk is told as a store that is unavailable for writes: see `kafscale_store::directory`.
#[test]
fn a_full_disk_refuses_writes_and_serves_reads_and_recovers_by_itself() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let client = Client::connect(&process.cluster.start().await);
        client.create_topic("t", 1, &[]).await;
        client.produce("t", 0, batch(3).build()).await.offset();

        process.store.creates(Creates::Unavailable);
        let in_doubt = client.produce("t", 0, batch(1).build()).await.error;
        assert!(in_doubt.is_retriable(), "{in_doubt:?}");
        let refused = client.produce("t", 0, batch(1).build()).await.error;
        assert!(refused.is_retriable(), "{refused:?}");
        assert_eq!(everything(&client).await, [(0, 2)], "what is written is read");
        world.sleep(10 * MINUTE).await;
        assert_eq!(everything(&client).await, [(0, 2)]);

        process.store.creates(Creates::Fine);
        let mut produced = client.produce("t", 0, batch(1).build()).await;
        while produced.error == ErrorCode::NotEnoughReplicas {
            world.sleep(Duration::from_secs(1)).await;
            produced = client.produce("t", 0, batch(1).build()).await;
        }
        assert_eq!(produced.offset(), 4, "the one in doubt was written when there was room");
        assert_eq!(everything(&client).await, [(0, 2), (3, 3), (4, 4)]);
    });
}

#[test]
fn the_older_of_two_brokers_is_fenced_and_acknowledges_nothing_more() {
    story(|world, memory| async move {
        let older = Process::new(&world, &memory);
        let broker = older.cluster.start().await;
        let client = Client::connect(&broker);
        client.create_topic("t", 1, &[]).await;
        assert_eq!(client.produce("t", 0, batch(1).build()).await.offset(), 0);
        older.store.creates(Creates::Hang);
        let pending = client.send_batch("t", 0, batch(1).build());

        let newer = Process::new(&world, &memory);
        let successor = Client::connect(&newer.cluster.start().await);
        assert_eq!(successor.produce("t", 0, batch(4).build()).await.offset(), 1);
        older.store.creates(Creates::Fine);
        let refused = pending.await.error;
        assert_eq!(refused, ErrorCode::NotLeaderOrFollower);
        let Ended::Fenced(reason) = broker.ended().await else { panic!("fenced is what it is") };
        assert!(reason.contains("taken over this store: session 2 "), "{reason}");
        assert!(!broker.is_ready());
        for _ in 0..2 {
            assert_eq!(client.produce("t", 0, batch(1).build()).await.error, ErrorCode::NotLeaderOrFollower);
            assert_eq!(latest(&client).await, ErrorCode::NotLeaderOrFollower);
        }
        assert_eq!(everything(&successor).await, [(0, 0), (1, 4)]);
    });
}

#[test]
fn an_idle_broker_that_was_taken_over_claims_no_end() {
    story(|world, memory| async move {
        let older = Process::new(&world, &memory);
        let broker = older.cluster.start().await;
        let client = Client::connect(&broker);
        client.create_topic("t", 1, &[]).await;
        let newer = Process::new(&world, &memory);
        let successor = Client::connect(&newer.cluster.start().await);
        successor.produce("t", 0, batch(4).build()).await.offset();
        assert_eq!(latest(&client).await, ErrorCode::NotLeaderOrFollower);
        assert!(matches!(broker.ended().await, Ended::Fenced(_)));
    });
}

#[test]
fn a_system_clock_that_is_days_off_changes_neither_what_is_accepted_nor_its_time() {
    for days in [-3, 3] {
        story(move |world, memory| async move {
            let right = Process::new(&world, &memory);
            let now = right.runtime().wall_clock_ms();
            let client = Client::connect(&right.cluster.start().await);
            client.create_topic("t", 2, &[("message.timestamp.before.max.ms", "3600000")]).await;
            client.create_topic("u", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
            right.node.kill();

            let wrong = Process::new(&world, &memory);
            wrong.set_clock_off(days * 24 * 60 * 60 * 1_000);
            wrong.store.set_date(StoreDate { unix_ms: now, seen_at: world.now() });
            let client = Client::connect(&wrong.cluster.start().await);
            let at_now = || BatchBuilder::new(Codec::None).record(now, None, Some(b"v")).build();
            assert_eq!(client.produce("t", 0, at_now()).await.error, ErrorCode::None, "{days} days");
            let produced = client.produce("u", 0, at_now()).await;
            assert_eq!(produced.offset(), 0);
            assert!(produced.log_append_time_ms.abs_diff(now) < 60_000, "{days} days: {produced:?}");
        });
    }
}

/// How long a request to a bucket may take is told in `kafscale_store::cloud`.
#[test]
fn a_snapshot_over_a_slow_line_is_taken_and_the_log_trimmed_after_it() {
    story(|world, memory| async move {
        let mut process = Process::new(&world, &memory);
        process.cluster.settings.snapshot_frames = 5;
        process.store.snapshots_take(5 * MINUTE);
        let client = Client::connect(&process.cluster.start().await);
        client.create_topic("t", 1, &[]).await;
        for n in 0..120 {
            assert_eq!(client.produce("t", 0, batch(1).build()).await.offset(), n, "nobody waits for a snapshot");
            world.sleep(MINUTE).await;
        }
        let snapshots = memory.list("snapshot/", "", 1_000).await.expect("memory").len();
        assert!((2..=3).contains(&snapshots), "older ones are let go: {snapshots}");
        let floor = memory.get(names::FLOOR, ReadRange::All).await.expect("it was trimmed");
        assert!(floor::decode(&floor).expect("a floor").position > 10);
    });
}
