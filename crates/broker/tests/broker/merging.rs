//! Merging under a steady load: what waits moves, and what comes meanwhile waits for the next round.

use std::{sync::Arc, time::Duration};

use kafscale_broker::Broker;
use kafscale_records::{BatchBuilder, Codec};
use kafscale_segment::names::MERGED;
use kafscale_sim::executor::World;
use kafscale_store::{MemoryStore, Store};

use crate::{
    common::{Client, NOW_MS, batch},
    scripted::{Process, story},
};

const PARTITIONS: i32 = 8;
const ROUND: Duration = Duration::from_secs(10);
const ROUNDS: usize = 10;

/// A broker that merges in each round, and on whose store a merge takes longer than a flush comes after another.
async fn merging(world: &World, memory: &Arc<MemoryStore>, merge_bytes: u64) -> (Process, Arc<Broker>, Client) {
    let mut process = Process::new(world, memory);
    let life = &mut process.cluster.settings.life;
    (life.merge_interval, life.merge_objects_min, life.merge_bytes) = (ROUND, 1, merge_bytes);
    let broker = process.cluster.start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", PARTITIONS, &[]).await;
    process.store.creates_take(Duration::from_secs(1));
    (process, broker, client)
}

/// One record after the other to one partition after the other, for some rounds of merging.
async fn load(process: &Process, client: &Client) {
    let runtime = process.runtime().clone();
    let until = runtime.now() + ROUND * u32::try_from(ROUNDS).expect("few");
    for partition in (0..PARTITIONS).cycle().take_while(|_| runtime.now() < until) {
        client.produce("t", partition, batch(1).build()).await.offset();
    }
}

#[test]
fn a_round_makes_one_object_of_what_waited_when_it_began() {
    story(|world, memory| async move {
        let (process, _broker, client) = merging(&world, &memory, 64 << 20).await;
        load(&process, &client).await;
        let merged = memory.list(MERGED, "", 1_000).await.expect("memory answers").len();
        assert!((ROUNDS / 2..=ROUNDS).contains(&merged), "{merged} objects in up to {ROUNDS} rounds");
    });
}

#[test]
fn a_part_that_fits_beside_nothing_has_its_turn() {
    story(|world, memory| async move {
        let (process, broker, client) = merging(&world, &memory, 4 << 10).await;
        client.create_topic("large", 1, &[("cleanup.policy", "compact")]).await;
        let large = BatchBuilder::new(Codec::None).record(NOW_MS, Some(b"key"), Some(&[7; 3_950])).build();
        client.produce("large", 0, large).await.offset();
        load(&process, &client).await;
        let levels = broker.replica().read(|state| {
            let handle = state.topic("large").and_then(|topic| topic.handle(0)).expect("it is there");
            let extents = state.partition(handle).expect("it is there").extents_from(0);
            extents.map(|extent| extent.place.level()).collect::<Vec<_>>()
        });
        assert_eq!(levels, [1]);
    });
}
