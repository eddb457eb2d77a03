//! Faults from outside: a store that is away, full, lossy, damaged, newer or somebody else's, and clocks that are wrong.
//! Each time a clear error, nothing lost, and everything else goes on.

use std::time::Duration;

use bytes::Bytes;
use kafscale_broker::{Ended, StartError, cluster::ClusterError, snapshot};
use kafscale_log::{
    data,
    frame::{self, Kind},
    lone::{OpenError, floor, names},
};
use kafscale_protocol::{
    Array, ErrorCode,
    messages::{
        fetch::{self, FetchPartition, FetchTopic},
        init_producer_id, list_offsets,
    },
};
use kafscale_records::{BatchBuilder, Codec, batches};
use kafscale_state::entry::{self, Entry};
use kafscale_store::{Body, MemoryStore, ReadRange, Store, StoreDate};

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

/// Adds a frame with these entries behind the last one, as a broker of the last session would.
async fn add_frame(memory: &MemoryStore, entries: &Bytes) {
    let last = memory.list("log/", "", 1_000).await.expect("memory").pop().expect("a log");
    let bytes = memory.get(&last.name, ReadRange::All).await.expect("memory");
    let mut header = frame::decode_header(&bytes).expect("a frame");
    header.position += 1;
    header.settled = header.position;
    header.write_id.sequence += 1;
    header.kind = Kind::Entries;
    header.progress = Default::default();
    let body = frame::encode(&mut header, entries, &Body::default()).expect("small");
    memory.create(&names::frame(header.generation, header.position), body).await.expect("free");
}

/// Everything in the store.
async fn contents(memory: &MemoryStore) -> Vec<(String, Bytes)> {
    let mut contents = Vec::new();
    for row in memory.list("", "", 1_000).await.expect("memory") {
        let bytes = memory.get(&row.name, ReadRange::All).await.expect("memory");
        contents.push((row.name, bytes));
    }
    contents
}

/// Changes two bytes of an object, as a newer version would have written them.
async fn set_number(memory: &MemoryStore, name: &str, at: usize, number: u16) {
    let mut bytes = memory.get(name, ReadRange::All).await.expect("memory").to_vec();
    bytes[at..at + 2].copy_from_slice(&number.to_be_bytes());
    memory.replace(name, Bytes::from(bytes).into()).await.expect("memory");
}

/// What a newer version may have left in a store.
#[derive(Debug, Clone)]
enum Newer {
    Marker,
    Floor,
    /// Two bytes of the newest snapshot.
    Snapshot(usize),
    /// The format of the last frame.
    Frame,
    Entries(Bytes),
}

impl Newer {
    async fn write(self, memory: &MemoryStore) {
        match self {
            Self::Marker => {
                memory.replace("cluster.json", Bytes::from_static(b"{\"format\": 9}").into()).await.expect("memory")
            }
            Self::Floor => {
                let floor = floor::encode(floor::Floor { generation: 1, position: 1 });
                memory.replace(names::FLOOR, floor.into()).await.expect("memory");
                set_number(memory, names::FLOOR, 4, 9).await;
            }
            Self::Snapshot(at) => {
                let newest = memory.list("snapshot/", "", 1_000).await.expect("memory").pop().expect("one was taken");
                set_number(memory, &newest.name, at, 9).await;
                // Else it would be a damaged one: the footer is length, XXH3-128 of what is before it, and four letters.
                let mut bytes = memory.get(&newest.name, ReadRange::All).await.expect("memory").to_vec();
                let footer = bytes.len() - 28;
                let hash = data::section_hash(&bytes[..footer]);
                bytes[footer + 8..footer + 24].copy_from_slice(&hash.to_be_bytes());
                memory.replace(&newest.name, Bytes::from(bytes).into()).await.expect("memory");
            }
            Self::Frame => {
                let last = memory.list("log/", "", 1_000).await.expect("memory").pop().expect("a log");
                set_number(memory, &last.name, 4, 9).await;
            }
            Self::Entries(entries) => add_frame(memory, &entries).await,
        }
    }
}

#[test]
fn a_store_of_a_newer_version_is_not_opened_and_not_touched() {
    let known = entry::encode(&[Entry::PidBlock(entry::PidBlock { count: 1 })]);
    let level = entry::encode(&[Entry::FeatureLevel(entry::FeatureLevel { level: 900 })]);
    let changed = |at: usize, byte: u8| {
        let mut bytes = known.to_vec();
        bytes[at] = byte;
        Newer::Entries(bytes.into())
    };
    for (newer, theirs, ours) in [
        (Newer::Marker, "format 9", "knows 2"),
        (Newer::Floor, "format 9", "known up to 1"),
        (Newer::Snapshot(4), "format version 9", "knows 3"),
        (Newer::Snapshot(6), "feature level 9", "knows 1"),
        (Newer::Frame, "format 9", "known up to 1"),
        (changed(0, 200), "kind 200", "of feature level 1"),
        (changed(1, 9), "version 9", "does not know"),
        (Newer::Entries(level), "feature level to 900", "knows 1"),
    ] {
        story(move |world, memory| async move {
            let process = Process::new(&world, &memory);
            let broker = process.cluster.start().await;
            take_snapshot(&memory, &broker).await;
            Client::connect(&broker).create_topic("t", 1, &[]).await;
            drop(broker);
            process.node.kill();
            newer.clone().write(&memory).await;
            let before = contents(&memory).await;
            let error = Process::new(&world, &memory).try_start().await.err().expect("it is newer").to_string();
            assert!(error.contains("newer version"), "{newer:?}: {error}");
            assert!(error.contains(theirs) && error.contains(ours), "{newer:?}: {error}");
            assert_eq!(contents(&memory).await, before, "{newer:?}");
        });
    }
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

#[test]
fn the_snapshot_before_a_corrupted_one_serves() {
    story(|world, memory| async move {
        let first = Process::new(&world, &memory);
        let broker = first.cluster.start().await;
        let client = Client::connect(&broker);
        client.create_topic("t", 1, &[]).await;
        let mut names = Vec::new();
        for _ in 0..2 {
            client.produce("t", 0, batch(2).build()).await.offset();
            names.push(take_snapshot(&memory, &broker).await);
        }
        client.produce("t", 0, batch(2).build()).await.offset();
        let expected = everything(&client).await;
        drop((client, broker));
        first.node.kill();
        let [older, newest] = &names[..] else { unreachable!("two were taken") };
        damage(&memory, newest).await;
        let second = Process::new(&world, &memory);
        let client = Client::connect(&second.cluster.start().await);
        assert_eq!(everything(&client).await, expected);
        second.node.kill();

        damage(&memory, older).await;
        let before = memory.list("", "", 1_000).await.expect("memory");
        let error = Process::new(&world, &memory).try_start().await.err().expect("none is left");
        assert!(matches!(error, StartError::Snapshot(snapshot::Error::NoneReadable(2))), "{error}");
        assert_eq!(memory.list("", "", 1_000).await.expect("memory"), before, "nothing was touched");
    });
}

/// Stores a snapshot of a broker as its snapshotter would.
async fn take_snapshot(memory: &MemoryStore, broker: &kafscale_broker::Broker) -> String {
    let state = broker.replica().snapshot();
    let name = format!("snapshot/{:020}-{:020}", broker.cluster().generation, state.position());
    let body = Body::new(kafscale_state::snapshot::encode(&state).collect());
    memory.create(&name, body).await.expect("free");
    name
}

async fn damage(memory: &MemoryStore, name: &str) {
    let mut bytes = memory.get(name, ReadRange::All).await.expect("it is there").to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    memory.replace(name, Body::from(Bytes::from(bytes))).await.expect("memory");
}

#[test]
fn a_lost_log_object_refuses_the_start_and_nothing_is_deleted() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let client = Client::connect(&process.cluster.start().await);
        client.create_topic("t", 1, &[]).await;
        for _ in 0..10 {
            client.produce("t", 0, batch(1).build()).await.offset();
        }
        process.node.kill();
        let lost = names::frame(1, 7);
        let kept = memory.get(&lost, ReadRange::All).await.expect("it is there");
        memory.delete(std::slice::from_ref(&lost)).await.expect("memory");
        let before = memory.list("", "", 1_000).await.expect("memory");
        let error = Process::new(&world, &memory).try_start().await.err().expect("something is missing");
        assert!(matches!(error, StartError::Log(OpenError::Lost { position: 7 })), "{error}");
        assert_eq!(memory.list("", "", 1_000).await.expect("memory"), before);

        memory.create(&lost, Body::from(kept)).await.expect("free");
        let client = Client::connect(&Process::new(&world, &memory).cluster.start().await);
        assert_eq!(everything(&client).await.len(), 10, "put back, all is there");
    });
}
