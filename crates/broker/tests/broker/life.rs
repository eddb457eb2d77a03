//! The life of data where something is in its way: a damaged object, two brokers with one job, a record of 50 MB, many small
//! segments at once.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_broker::Broker;
use kafscale_log::lone::names as log_names;
use kafscale_protocol::ErrorCode;
use kafscale_records::{BatchBuilder, Codec};
use kafscale_segment::names::{File, segment};
use kafscale_sim::executor::World;
use kafscale_state::{PartitionView, Place};
use kafscale_store::{Body, MemoryStore, ReadRange, Store};

use crate::{
    common::{Client, NOW_MS, batch},
    fetch::{Wants, fetch},
    scripted::{Process, story},
};

const MINUTE: Duration = Duration::from_secs(60);
const ROUND: Duration = Duration::from_secs(10);

/// A broker that makes segments of what is a few minutes old.
fn segmenting(world: &World, memory: &Arc<MemoryStore>) -> Process {
    let mut process = Process::new(world, memory);
    let life = &mut process.cluster.settings.life;
    (life.merge_interval, life.segment_age, life.segment_small_age) = (ROUND, 2 * MINUTE, 2 * MINUTE);
    process
}

fn of_first<T>(broker: &Broker, topic: &str, look: impl FnOnce(PartitionView<'_>) -> T) -> T {
    broker.replica().read(|state| {
        let handle = state.topic(topic).and_then(|topic| topic.handle(0)).expect("it is there");
        look(state.partition(handle).expect("it is there"))
    })
}

/// How far each piece of a topic was rewritten.
fn levels(broker: &Broker, topic: &str) -> Vec<u8> {
    of_first(broker, topic, |view| view.extents_from(0).map(|extent| extent.place.level()).collect())
}

async fn object(memory: &MemoryStore, name: &str) -> Bytes {
    memory.get(name, ReadRange::All).await.expect("it is there")
}

#[test]
fn a_damaged_object_holds_up_no_other_records() {
    story(|world, memory| async move {
        let mut process = Process::new(&world, &memory);
        process.cluster.settings.life.merge_interval = 24 * 60 * MINUTE;
        let broker = process.cluster.start().await;
        let client = Client::connect(&broker);
        for name in ["one", "hurt", "other"] {
            client.create_topic(name, 1, &[]).await;
            client.produce(name, 0, batch(1).build()).await.offset();
        }
        let place = of_first(&broker, "hurt", |view| view.extents_from(0).next().expect("it has a record").place);
        let Place::LogFrame { position } = place else { panic!("{place:?}") };
        let name = log_names::frame(1, position);
        let good = object(&memory, &name).await;
        let mut bad = good.to_vec();
        *bad.last_mut().expect("it has a payload") ^= 1;
        memory.replace(&name, Body::from(Bytes::from(bad))).await.expect("memory");
        // What the first process wrote is in its memory; this one has to read it.
        let life = &mut process.cluster.settings.life;
        (life.merge_interval, life.merge_age) = (ROUND, ROUND);
        let broker = process.cluster.start().await;
        world.sleep(5 * MINUTE).await;
        assert_eq!(["one", "hurt", "other"].map(|name| levels(&broker, name)), [[1], [0], [1]]);
        memory.replace(&name, Body::from(good)).await.expect("memory");
        world.sleep(15 * MINUTE).await;
        assert_eq!(levels(&broker, "hurt"), [1], "it is looked at again");
    });
}

#[test]
fn small_segments_are_made_side_by_side() {
    story(|world, memory| async move {
        let process = segmenting(&world, &memory);
        let broker = process.cluster.start().await;
        let client = Client::connect(&broker);
        client.create_topic("t", 12, &[]).await;
        process.store.hold(|name| name.ends_with(".kfs"));
        for partition in 0..12 {
            client.produce("t", partition, batch(1).build()).await.offset();
        }
        process.store.is_holding().await;
        world.sleep(ROUND).await;
        assert_eq!(process.store.held(), 8);
        process.store.let_go();
        world.sleep(MINUTE).await;
        let made = broker.replica().read(|state| {
            let handles = state.topic("t").expect("it is there").handles();
            handles.filter_map(|handle| state.partition(handle)).map(|view| view.segment_count()).sum::<usize>()
        });
        assert_eq!(made, 12);
    });
}

/// Its name is a part of the path.
#[test]
fn the_longest_name_of_a_topic_is_no_hindrance() {
    story(|world, memory| async move {
        let process = segmenting(&world, &memory);
        let broker = process.cluster.start().await;
        let client = Client::connect(&broker);
        let long = "n".repeat(249);
        for name in [&*long, "other"] {
            client.create_topic(name, 1, &[]).await;
            client.produce(name, 0, batch(1).build()).await.offset();
        }
        world.sleep(5 * MINUTE).await;
        assert_eq!([&*long, "other"].map(|name| levels(&broker, name)), [[u8::MAX], [u8::MAX]]);
    });
}

/// The first was about to write it when the second took over: whichever writes it first, both write the same.
#[test]
fn a_claim_that_two_brokers_execute_is_one_segment() {
    for first_lands_first in [true, false] {
        story(move |world, memory| async move {
            let (first, second) = (segmenting(&world, &memory), segmenting(&world, &memory));
            let client = Client::connect(&first.cluster.start().await);
            client.create_topic("t", 1, &[]).await;
            for _ in 0..3 {
                client.produce("t", 0, batch(2).build()).await.offset();
            }
            first.store.hold(|name| name.ends_with(".kfs"));
            first.store.is_holding().await;
            second.store.hold(|name| name.ends_with(".kfs"));
            let broker = second.cluster.start().await;
            second.store.is_holding().await;
            let (sooner, later) = if first_lands_first { (&first, &second) } else { (&second, &first) };
            sooner.store.let_go();
            world.sleep(MINUTE).await;
            let name = segment("default", "t", 0, 0, File::Kfs);
            let written = object(&memory, &name).await;
            later.store.let_go();
            world.sleep(MINUTE).await;
            assert_eq!(levels(&broker, "t"), [u8::MAX]);
            assert_eq!(object(&memory, &name).await, written);
            assert_eq!(memory.list("default/", "", 10).await.expect("memory").len(), 2, "the segment and its index");
            let got = fetch(&Client::connect(&broker), 12, &Wants::of("t", &[0]).request()).await;
            assert_eq!(got.partitions[0].batches, [(0, 1), (2, 3), (4, 5)]);
        });
    }
}

#[test]
fn a_record_of_50_mb_is_merged_becomes_a_segment_and_is_compacted() {
    story(|world, memory| async move {
        let mut process = segmenting(&world, &memory);
        let life = &mut process.cluster.settings.life;
        (life.merge_age, life.segment_age, life.segment_small_age) = (MINUTE, 10 * MINUTE, 10 * MINUTE);
        let broker = process.cluster.start().await;
        let client = Client::connect(&broker);
        let large = ("max.message.bytes", "60000000");
        client.create_topic("plain", 1, &[large]).await;
        let compacted = [large, ("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")];
        client.create_topic("table", 1, &compacted).await;
        let value = vec![7; 50_000_000];
        for name in ["plain", "table", "table"] {
            let record = BatchBuilder::new(Codec::None).record(NOW_MS, Some(b"key"), Some(&value)).build();
            client.produce(name, 0, record).await.offset();
        }
        world.sleep(5 * MINUTE).await;
        assert_eq!(levels(&broker, "plain"), [1]);
        world.sleep(60 * MINUTE).await;
        // Of the first record in the table an empty batch is left; the other one was not written again.
        assert_eq!((levels(&broker, "plain"), levels(&broker, "table")), (vec![u8::MAX], vec![2, 1]));
        assert!(of_first(&broker, "table", |view| view.bytes()) < 51_000_000);
        let client = Client::connect(&process.cluster.start().await);
        for (name, offset) in [("plain", 0), ("table", 1)] {
            // Checksums are compared there.
            let got = fetch(&client, 12, &Wants::of(name, &[offset]).request()).await;
            assert_eq!(
                (got.partitions[0].error, &got.partitions[0].batches[..]),
                (ErrorCode::None, &[(offset, offset)][..])
            );
        }
    });
}
