//! What a broker does with what it knows of its store's health.

use std::{sync::Arc, time::Duration};

use kafscale_protocol::ErrorCode;
use kafscale_store::MemoryStore;

use crate::{
    common::{Client, batch},
    faults::everything,
    fetch::{Wants, fetch},
    scripted::{Process, story},
};

const SECOND: Duration = Duration::from_secs(1);

/// A process that has written one record.
async fn written(process: &Process) -> (Arc<kafscale_broker::Broker>, Client) {
    let broker = process.cluster.start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &[]).await;
    assert_eq!(client.produce("t", 0, batch(1).build()).await.offset(), 0);
    (broker, client)
}

#[test]
fn a_store_that_does_not_answer_is_refused_at_once_until_its_first_answer() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let (broker, client) = written(&process).await;
        assert_eq!((broker.readiness(), broker.throttle_ms()), (Ok(None), 0));
        process.store.is_away(true);
        let taken = client.send_batch("t", 0, batch(1).build());
        world.sleep(2 * SECOND).await;
        let also_taken = client.send_batch("t", 0, batch(1).build());
        world.sleep(6 * SECOND).await;
        let said = broker.readiness().expect_err("it is away");
        assert!(said.contains("unavailable") && said.contains("the last failure: create: "), "{said}");
        assert!(broker.throttle_ms() > 0);
        let began = world.now();
        assert_eq!(client.produce("t", 0, batch(1).build()).await.error, ErrorCode::NotEnoughReplicas);
        assert!(world.now() - began < SECOND, "and not after 25 s");
        assert_eq!(everything(&client).await, [(0, 0)], "what is in memory is served");

        process.store.is_away(false);
        assert_eq!((taken.await.offset(), also_taken.await.offset()), (1, 2), "what was taken in is held, not refused");
        assert_eq!(client.produce("t", 0, batch(1).build()).await.offset(), 3);
        let said = broker.readiness().expect("it answers").expect("there is something to say");
        assert!(said.contains("degraded"), "{said}");
        assert!(broker.throttle_ms() > 0);
        world.sleep(40 * SECOND).await;
        assert_eq!((broker.readiness(), broker.throttle_ms()), (Ok(None), 0));
    });
}

#[test]
fn an_outage_of_three_seconds_is_nobodys_business() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let (_, client) = written(&process).await;
        process.store.is_away(true);
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.push(client.send_batch("t", 0, batch(1).build()));
            world.sleep(SECOND).await;
        }
        process.store.is_away(false);
        for (produced, offset) in taken.into_iter().zip(1..) {
            assert_eq!(produced.await.offset(), offset);
        }
    });
}

#[test]
fn reads_of_what_is_not_in_memory_end_after_one_attempt() {
    story(|world, memory: Arc<MemoryStore>| async move {
        let first = Process::new(&world, &memory);
        drop(written(&first).await);
        first.node.kill();
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let client = Client::connect(&broker);
        process.store.is_away(true);
        let _taken = client.send_batch("t", 0, batch(1).build());
        world.sleep(8 * SECOND).await;
        let began = world.now();
        let got = fetch(&client, 11, &Wants::of("t", &[0]).request()).await;
        assert!(got.partitions[0].error.is_retriable(), "{got:?}");
        assert!(world.now() - began < SECOND, "and not after ten");
        process.store.is_away(false);
        world.sleep(3 * SECOND).await;
        assert_eq!(everything(&client).await, [(0, 0), (1, 1)]);
    });
}
