//! Log compaction whose object comes too late: the log refuses its swap, since the records were deleted meanwhile. The cleaner
//! must take that for what it is. If it believed in the step, the partition would count as clean with all its old values;
//! and the steps behind it would let a tombstone go while what it deletes is still there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use kafscale_broker::{Broker, replica::merged_id};
use kafscale_protocol::{
    ErrorCode,
    messages::{delete_topics, fetch::Response},
};
use kafscale_records::{BatchBuilder, Codec, batches};
use kafscale_segment::names::{self, MERGED};
use kafscale_sim::executor::World;
use kafscale_state::Place;
use kafscale_store::{MemoryStore, Store};

use crate::{
    common::{Client, NOW_MS},
    fetch::Wants,
    partitions::delete,
    scripted::{Process, story},
    settings::{SET, TOPIC, alter},
};

const MERGE: Duration = Duration::from_secs(10);
const CLEAN: Duration = Duration::from_secs(30 * 60);
const HOUR: Duration = Duration::from_secs(3_600);
/// Only a topic with `delete` lets its records be deleted.
const SETTINGS: [(&str, &str); 4] = [
    ("cleanup.policy", "compact,delete"),
    ("retention.ms", "-1"),
    ("min.cleanable.dirty.ratio", "0"),
    ("delete.retention.ms", "60000"),
];
/// What is written, each in a batch and an extent of its own: `gone` has a value at offset 1, and a tombstone at 8.
const WRITTEN: [(&str, Option<&str>); 10] = [
    ("a", Some("1")),
    ("gone", Some("1")),
    ("b", Some("1")),
    ("a", Some("2")),
    ("b", Some("2")),
    ("c", Some("1")),
    ("a", Some("3")),
    ("b", Some("3")),
    ("gone", None),
    ("c", Some("2")),
];
/// Some two of these extents.
const STEP: u64 = 200;
const ONE_STEP: u64 = 64 << 20;

/// Ten merged extents, and a cleaner that is about to put its first object in the place of some of them.
async fn cleaning(world: &World, memory: &Arc<MemoryStore>, step: u64) -> (Process, Arc<Broker>, Client) {
    let mut process = Process::new(world, memory);
    let life = &mut process.cluster.settings.life;
    (life.merge_interval, life.merge_objects_min, life.merge_bytes) = (MERGE, 1, step);
    life.clean_interval = CLEAN;
    let broker = process.cluster.start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &SETTINGS).await;
    write(world, &client, 2 * MERGE).await;
    assert_eq!(places(&broker).len(), WRITTEN.len(), "each was merged by itself");
    process.store.hold(|name| name.starts_with(MERGED));
    process.store.is_holding().await;
    (process, broker, client)
}

async fn write(world: &World, client: &Client, pause: Duration) {
    for (key, value) in WRITTEN {
        let record = BatchBuilder::new(Codec::None).record(NOW_MS, Some(key.as_bytes()), value.map(str::as_bytes));
        client.produce("t", 0, record.build()).await.offset();
        world.sleep(pause).await;
    }
}

/// Where the records of all partitions lie.
fn places(broker: &Broker) -> BTreeSet<Place> {
    broker.replica().read(|state| {
        let handles = state.topics().flat_map(|topic| topic.handles());
        let extents = handles.filter_map(|handle| Some(state.partition(handle)?.extents_from(0)));
        extents.flatten().map(|extent| extent.place).collect()
    })
}

/// Every record from the log start on, and that no key is there twice.
async fn values(client: &Client, from: i64) -> BTreeMap<String, Option<String>> {
    let (mut at, mut found) = (from, BTreeMap::new());
    loop {
        let reply = client.call(12, &Wants::of("t", &[at]).request()).await;
        let response: Response<'_> = reply.read();
        let data = response.responses.iter().next().and_then(|topic| topic.partitions.iter().next()).expect("one");
        assert_eq!(data.error_code, ErrorCode::None);
        let bytes = data.records.as_slice().unwrap_or_default().to_vec();
        for batch in batches(&bytes).map(|batch| batch.expect("whole")) {
            at = batch.header().next_offset();
            let opened = batch.open(1 << 20).expect("it opens");
            for record in opened.records().map(|record| record.expect("whole")) {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
                let before = found.insert(text(record.key.expect("a key")), record.value.map(text));
                assert_eq!(before, None, "twice: {:?}", record.key.map(text));
            }
        }
        if at >= data.high_watermark {
            return found;
        }
    }
}

/// Merged objects that the store has and nothing refers to.
async fn orphans(broker: &Broker, memory: &Arc<MemoryStore>) -> Vec<String> {
    let name = |place| match place {
        Place::Merged(object) => Some(names::merged(broker.cluster().id, &merged_id(&object))),
        _ => None,
    };
    let used: BTreeSet<String> = places(broker).into_iter().filter_map(name).collect();
    let rows = memory.list(MERGED, "", 1_000).await.expect("memory answers");
    rows.into_iter().map(|row| row.name).filter(|name| !used.contains(name)).collect()
}

fn is_refused_for_deleted_records(step: u64) {
    story(move |world, memory| async move {
        let (process, broker, client) = cleaning(&world, &memory, step).await;
        assert_eq!(delete(&client, "t", &[(0, 1)]).await, [(ErrorCode::None, 1)]);
        process.store.let_go();
        // A pass that was refused, a rest, a pass that marks the tombstone, one that takes it, and all that was is deleted.
        world.sleep(8 * CLEAN).await;
        let last = [("a", "3"), ("b", "3"), ("c", "2")];
        let last = last.map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
        assert_eq!(values(&client, 1).await, BTreeMap::from(last));
        assert_eq!(orphans(&broker, &memory).await, [""; 0]);
        assert_eq!(values(&Client::connect(&process.cluster.start().await), 1).await.len(), 3, "over a restart");
    });
}

#[test]
fn a_pass_that_was_refused_is_done_again() {
    is_refused_for_deleted_records(ONE_STEP);
}

#[test]
fn no_step_follows_one_that_was_refused() {
    is_refused_for_deleted_records(STEP);
}

#[test]
fn a_topic_made_anew_meanwhile_has_nothing_of_the_old_one() {
    story(|world, memory| async move {
        let (process, broker, client) = cleaning(&world, &memory, ONE_STEP).await;
        let request = delete_topics::Request { topic_names: vec!["t"].into(), timeout_ms: 1_000, ..Default::default() };
        client.call(5, &request).await;
        client.create_topic("t", 1, &SETTINGS).await;
        for (key, value) in [("a", "new"), ("d", "new"), ("a", "newer")] {
            let record = BatchBuilder::new(Codec::None).record(NOW_MS, Some(key.as_bytes()), Some(value.as_bytes()));
            client.produce("t", 0, record.build()).await.offset();
        }
        process.store.let_go();
        world.sleep(8 * CLEAN).await;
        let last = [("a", "newer"), ("d", "new")].map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
        assert_eq!(values(&client, 0).await, BTreeMap::from(last));
        assert_eq!(orphans(&broker, &memory).await, [""; 0]);
    });
}

/// Which of two objects with the same records knows more is told by their numbers: the cleaner's, which is being written, and
/// that of a merge beside it must not hold records of one partition.
#[test]
fn nothing_else_is_written_of_a_partition_that_is_being_compacted() {
    story(|world, memory| async move {
        let (process, broker, client) = cleaning(&world, &memory, ONE_STEP).await;
        let record = BatchBuilder::new(Codec::None).record(NOW_MS, Some(b"d"), Some(b"1"));
        client.produce("t", 0, record.build()).await.offset();
        world.sleep(2 * MERGE).await;
        assert_eq!(process.store.held(), 1, "only the cleaner's object");
        process.store.let_go();
        // Without load it is merged when it is ten minutes old.
        world.sleep(70 * MERGE).await;
        let state = broker.replica().snapshot();
        let handle = state.topic("t").and_then(|topic| topic.handle(0)).expect("it is there");
        let levels = state.partition(handle).expect("it is there").extents_from(0).map(|extent| extent.place.level());
        assert!(levels.into_iter().all(|level| level > 0), "then it is merged");
    });
}

/// A partition may wait long for its pass. Every merge leaves one piece of it; they are not all kept as they are.
#[test]
fn pieces_are_gathered_while_a_partition_waits_for_its_pass() {
    const ROUNDS: i64 = 300;
    story(|world, memory| async move {
        let mut process = Process::new(&world, &memory);
        let life = &mut process.cluster.settings.life;
        (life.merge_interval, life.merge_objects_min) = (MERGE, 1);
        let broker = process.cluster.start().await;
        let client = Client::connect(&broker);
        // It is never dirty enough.
        client.create_topic("t", 1, &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "1")]).await;
        for round in 0..ROUNDS {
            let key = round.to_string();
            let record = BatchBuilder::new(Codec::None).record(NOW_MS, Some(key.as_bytes()), Some(b"value"));
            client.produce("t", 0, record.build()).await.offset();
            world.sleep(MERGE).await;
        }
        world.sleep(2 * MERGE).await;
        let extents = broker.replica().read(|state| state.backlog().used);
        assert!(extents < 80, "{extents} extents of {ROUNDS} merges");
        assert_eq!(values(&client, 0).await.len(), ROUNDS as usize);
        assert_eq!(values(&Client::connect(&process.cluster.start().await), 0).await.len(), ROUNDS as usize);
    });
}

/// `segment.ms` and `max.compaction.lag.ms` are kept though nothing is merged, in a topic that was made a moment ago.
#[test]
fn what_kafka_would_have_closed_a_segment_of_is_compacted_where_it_was_flushed() {
    for settings in [
        [("cleanup.policy", "compact"), ("segment.ms", "500")],
        [("cleanup.policy", "compact"), ("max.compaction.lag.ms", "500")],
    ] {
        story(move |world: World, memory| async move {
            let mut process = Process::new(&world, &memory);
            process.cluster.settings.life.merge_interval = CLEAN;
            let broker = process.cluster.start().await;
            let client = Client::connect(&broker);
            world.sleep(Duration::from_secs(60)).await;
            client.create_topic("t", 1, &settings).await;
            world.sleep(Duration::from_secs(60)).await;
            write(&world, &client, Duration::from_millis(100)).await;
            world.sleep(2 * process.cluster.settings.life.clean_interval).await;
            let text = |value: &str| Some(value.to_owned());
            let left = [("a", text("3")), ("b", text("3")), ("c", text("2")), ("gone", None)];
            let left = left.map(|(key, value)| (key.to_owned(), value));
            assert_eq!(values(&client, 0).await, BTreeMap::from(left), "{settings:?}");
        });
    }
}

/// Merges are due under load, which ends here with the one that had to leave the partition to the cleaner.
#[test]
fn what_a_merge_left_to_the_cleaner_is_moved_when_its_turn_is_over() {
    story(|world, memory| async move {
        let (process, broker, client) = cleaning(&world, &memory, ONE_STEP).await;
        let record = BatchBuilder::new(Codec::None).record(NOW_MS, Some(b"d"), Some(b"1")).build();
        client.produce("t", 0, record).await.offset();
        world.sleep(3 * MERGE).await;
        let is_fresh = || places(&broker).iter().any(|place| place.level() == 0);
        assert!(is_fresh(), "the cleaner has its turn");
        process.store.let_go();
        world.sleep(2 * MERGE).await;
        assert!(!is_fresh(), "it need not be old");
        assert_eq!(values(&client, 0).await["d"], Some("1".to_owned()));
    });
}

/// A topic all of which is in segments, on a broker that rewrites within minutes.
async fn segmented(world: &World, memory: &Arc<MemoryStore>) -> (Process, Arc<Broker>, Client) {
    let mut process = Process::new(world, memory);
    let life = &mut process.cluster.settings.life;
    (life.merge_interval, life.merge_objects_min, life.clean_interval) = (MERGE, 1, MERGE);
    (life.segment_age, life.segment_small_age, life.delete_replaced_age) = (6 * MERGE, 6 * MERGE, MERGE);
    let broker = process.cluster.start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &[("min.cleanable.dirty.ratio", "0")]).await;
    write(world, &client, MERGE).await;
    world.sleep(HOUR / 2).await;
    assert!(is_segmented(&broker));
    (process, broker, client)
}

/// Whether all records lie in segments.
fn is_segmented(broker: &Broker) -> bool {
    places(broker).iter().all(|place| matches!(place, Place::Segment { .. }))
}

/// The topic has another policy for half an hour.
async fn policy(world: &World, client: &Client, policy: &str) {
    let (error, _) = alter(client, TOPIC, "t", &[("cleanup.policy", SET, Some(policy))]).await;
    assert_eq!(error, ErrorCode::None);
    world.sleep(HOUR / 2).await;
}

/// Moved back because its topic is compacted, and published again because it is not any more: it begins at the same offset,
/// so it has the same name.
#[test]
fn a_segment_that_has_the_name_of_an_earlier_one_is_read_as_it_is() {
    story(|world: World, memory| async move {
        let (_process, broker, client) = segmented(&world, &memory).await;
        let first = Wants::of("t", &[0]).request();
        let reply = client.call(12, &first).await;
        assert_ne!(reply.read::<Response<'_>>().responses.iter().count(), 0, "it is in memory now");
        policy(&world, &client, "compact").await;
        assert!(!is_segmented(&broker));
        let mut expected = values(&client, 0).await;
        let record = BatchBuilder::new(Codec::None).record(NOW_MS, Some(b"new"), Some(b"1")).build();
        client.produce("t", 0, record).await.offset();
        expected.insert("new".to_owned(), Some("1".to_owned()));
        policy(&world, &client, "delete").await;
        assert!(!is_segmented(&broker), "its name is not free yet");
        world.sleep(HOUR).await;
        assert!(is_segmented(&broker));
        assert_eq!(values(&client, 0).await, expected);
    });
}

/// When all of a partition lay in segments, the rewriter had done with it.
#[test]
fn what_was_moved_back_becomes_a_segment_again_though_nobody_writes_to_it() {
    story(|world: World, memory| async move {
        let (_process, broker, client) = segmented(&world, &memory).await;
        policy(&world, &client, "compact").await;
        assert!(!is_segmented(&broker));
        let expected = values(&client, 0).await;
        policy(&world, &client, "delete").await;
        world.sleep(HOUR).await;
        assert!(is_segmented(&broker));
        assert_eq!(values(&client, 0).await, expected);
    });
}
