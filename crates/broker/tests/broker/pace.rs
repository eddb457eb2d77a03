//! How close a producer with its default settings comes to its own window, which is what it has in flight per PUT, on a
//! virtual clock: what is missing is what the broker's flush rule and the time to send the window cost.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream::FuturesOrdered};
use kafscale_broker::{ConnectionId, Latency, Settings, api::Answer};
use kafscale_protocol::{Array, Records, encode_request, messages::produce};
use kafscale_records::{BatchBuilder, Codec};
use kafscale_sim::executor::World;

use crate::{
    common::{Client, NOW_MS},
    scripted::{Process, story},
};

/// The Java client's `max.in.flight.requests.per.connection` and `batch.size`.
const IN_FLIGHT: usize = 5;
const BATCH_BYTES: usize = 16 << 10;
const PUT: Duration = Duration::from_millis(70);
const ROUNDS: u32 = 40;

/// A Produce request with a full batch for each partition.
fn full_request(partitions: i32) -> Bytes {
    let batch = |_| BatchBuilder::new(Codec::None).record(NOW_MS, None, Some(&vec![7; BATCH_BYTES])).build();
    let data = (0..partitions)
        .map(|index| produce::PartitionProduceData { index, records: Some(Records::from(batch(index))) })
        .collect::<Vec<_>>();
    let topic = produce::TopicProduceData { name: "t", partition_data: Array::from(data), ..Default::default() };
    let topic_data = Array::from(vec![topic]);
    let request = produce::Request { acks: -1, timeout_ms: 30_000, topic_data, ..Default::default() };
    encode_request(9, 1, Some("t"), &request).expect("fits").to_bytes().slice(4..)
}

/// The share of its window that a producer gets which needs so long to send each request, in percent.
fn share_of_the_window(partitions: i32, sending: Duration) -> u128 {
    story(move |world: World, memory| async move {
        let mut process = Process::new(&world, &memory);
        process.store.costs_money();
        process.store.creates_take(PUT);
        process.cluster.settings = Settings { latency: Latency::Balanced, ..Settings::default() };
        let broker = process.cluster.start().await;
        Client::connect(&broker).create_topic("t", partitions, &[]).await;
        let session = broker.session(ConnectionId(1 << 40), "/127.0.0.1");
        let request = full_request(partitions);
        let mut waiting = FuturesOrdered::new();
        let began = world.now();
        let mut answered = 0;
        while answered < ROUNDS * IN_FLIGHT as u32 {
            while waiting.len() < IN_FLIGHT {
                world.sleep(sending).await;
                waiting.push_back(session.on_frame(BytesMut::from(&request[..])));
            }
            assert!(matches!(waiting.next().await, Some(Answer::Respond { .. })));
            answered += 1;
        }
        let ideal = PUT * ROUNDS;
        ideal.as_micros() * 100 / (world.now() - began).as_micros()
    })
}

/// What a client that sends one request at a time waits for each, in percent of a PUT, beside one that needs so long to send
/// each request of its window; and what share of its window that one gets, in percent.
fn beside_a_slow_sender(sending: Duration) -> (u128, u128) {
    story(move |world: World, memory| async move {
        let mut process = Process::new(&world, &memory);
        process.store.costs_money();
        process.store.creates_take(PUT);
        process.cluster.settings = Settings { latency: Latency::Balanced, ..Settings::default() };
        let broker = process.cluster.start().await;
        Client::connect(&broker).create_topic("t", 2, &[]).await;
        let request = full_request(1);
        let lone = broker.session(ConnectionId(2 << 40), "/127.0.0.1");
        let one_by_one = async {
            let began = world.now();
            for _ in 0..ROUNDS {
                lone.on_frame(BytesMut::from(&request[..])).await;
            }
            (world.now() - began).as_micros() * 100 / (PUT * ROUNDS).as_micros()
        };
        let slow = broker.session(ConnectionId(1 << 40), "/127.0.0.1");
        let windows = async {
            let began = world.now();
            let mut waiting = FuturesOrdered::new();
            for _ in 0..ROUNDS * IN_FLIGHT as u32 {
                while waiting.len() < IN_FLIGHT {
                    world.sleep(sending).await;
                    waiting.push_back(slow.on_frame(BytesMut::from(&request[..])));
                }
                waiting.next().await;
            }
            (PUT * ROUNDS).as_micros() * 100 / (world.now() - began).as_micros()
        };
        futures_util::future::join(one_by_one, windows).await
    })
}

#[test]
fn a_producer_gets_its_whole_window_but_for_the_time_to_send_it() {
    for partitions in [1, 16] {
        for (sending_ms, least) in [(0, 97), (1, 80), (2, 75), (4, 70)] {
            let share = share_of_the_window(partitions, Duration::from_millis(sending_ms));
            // A window takes five times as long to send as a request, and then a PUT.
            let possible = PUT.as_millis() * 100 / (PUT.as_millis() + 5 * u128::from(sending_ms));
            assert!(share >= least, "{share} % on {partitions} partitions with {sending_ms} ms a request");
            assert!(share <= possible, "{share} % of {possible}: the model is wrong");
        }
    }
}

/// Who needs longer to send a request than silence counts as quiet goes into every other PUT with the first request of its
/// window, and into the next with the rest. To wait for it would cost those beside it more than it gains: ARCHITECTURE.md
/// has the figures.
#[test]
fn a_slow_sender_gets_half_of_its_window_and_holds_nobody_up() {
    for sending_ms in [6, 8, 10, 12] {
        let sending = Duration::from_millis(sending_ms);
        let alone = share_of_the_window(1, sending);
        let (waited, share) = beside_a_slow_sender(sending);
        assert!(alone >= 45 && share >= 45, "{alone} % alone, {share} % in company, with {sending_ms} ms a request");
        assert!(waited <= 130, "who sends one at a time waits {waited} % of a PUT beside {sending_ms} ms a request");
    }
}
