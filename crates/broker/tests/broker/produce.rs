//! What Produce accepts, refuses and answers.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafscale_broker::api::Answer;
use kafscale_protocol::{Array, ErrorCode, Records, encode_request, messages::produce};
use kafscale_records::{BatchBuilder, Codec, HEADER_LEN};

use crate::{
    common::{Client, Cluster, NOW_MS, batch, sequenced},
    scripted::{Process, Reads, story},
};

#[tokio::test]
async fn incompatibility_24_offsets_are_dense_over_batches_and_restarts() {
    let cluster = Cluster::new();
    let broker = cluster.start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 2, &[]).await;
    assert_eq!(client.produce("t", 0, batch(3).build()).await.offset(), 0);
    assert_eq!(client.produce("t", 0, batch(1).build()).await.offset(), 3);
    assert_eq!(client.produce("t", 1, batch(1).build()).await.offset(), 0);
    let successor = cluster.start().await;
    let client = Client::connect(&successor);
    assert_eq!(client.produce("t", 0, batch(5).build()).await.offset(), 4);
    assert_eq!(client.produce("t", 0, batch(1).build()).await.offset(), 9);
}

#[tokio::test]
async fn pipelined_requests_keep_their_order() {
    let broker = Cluster::new().start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &[]).await;
    let sent: Vec<_> = (1..=20).map(|records| client.send_batch("t", 0, batch(records).build())).collect();
    let mut expected = 0;
    for (records, produced) in (1..).zip(sent) {
        assert_eq!(produced.await.offset(), expected);
        expected += records;
    }
}

#[tokio::test]
async fn every_codec_passes_untouched() {
    let broker = Cluster::new().start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &[]).await;
    for (offset, codec) in (0..).zip([Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd]) {
        let batch = BatchBuilder::new(codec).record(NOW_MS, None, Some(&[7; 1000])).build();
        assert_eq!(client.produce("t", 0, batch).await.offset(), offset);
    }
}

#[tokio::test]
async fn broken_batches_get_their_own_errors_and_harm_nobody() {
    let broker = Cluster::new().start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &[]).await;
    let good = batch(2).build();
    let broken = |at: usize, value: u8| {
        let mut bytes = BytesMut::from(&good[..]);
        bytes[at] = value;
        bytes.freeze()
    };
    let cases = [
        ("magic 0", broken(16, 0), ErrorCode::InvalidRecord),
        ("magic 1", broken(16, 1), ErrorCode::InvalidRecord),
        ("magic 3", broken(16, 3), ErrorCode::CorruptMessage),
        ("wrong CRC", broken(17, good[17] ^ 1), ErrorCode::CorruptMessage),
        ("a flipped payload byte", broken(70, good[70] ^ 1), ErrorCode::CorruptMessage),
        ("truncated", good.slice(..good.len() - 1), ErrorCode::InvalidRecord),
        ("less than a header", good.slice(..20), ErrorCode::InvalidRecord),
        ("no room for a header", broken(11, 0), ErrorCode::CorruptMessage),
        ("two batches", Bytes::from([&good[..], &good[..]].concat()), ErrorCode::InvalidRecord),
        ("no batch", Bytes::new(), ErrorCode::InvalidRecord),
        ("control", batch(1).control().build(), ErrorCode::InvalidRecord),
        ("transactional", batch(1).producer(1, 0, 0).transactional().build(), ErrorCode::InvalidTxnState),
        ("no such partition", good.clone(), ErrorCode::UnknownTopicOrPartition),
    ];
    for (what, bytes, expected) in cases {
        let partition = if what == "no such partition" { 1 } else { 0 };
        assert_eq!(client.produce("t", partition, bytes).await.error, expected, "{what}");
    }
    assert_eq!(client.produce("nowhere", 0, good.clone()).await.error, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(client.produce("t", 0, good).await.offset(), 0);
}

/// A batch that cannot be read would stop all who read its partition, and whoever asks for offsets by time.
#[tokio::test]
async fn batches_that_do_not_hold_what_they_say_are_refused() {
    let broker = Cluster::new().start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &[]).await;
    client.create_topic("compressed", 1, &[("compression.type", "zstd")]).await;
    client.create_topic("stamped", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    for topic in ["t", "compressed", "stamped"] {
        for codec in Codec::ALL {
            let plain = &batch(3).build()[HEADER_LEN..];
            for (what, count, payload) in [
                ("no record at all", 1, vec![]),
                ("garbage", 1, vec![0xff; 3]),
                ("one too few", 4, codec.compress(plain)),
                ("one too many", 2, codec.compress(plain)),
                ("bytes behind them", 3, codec.compress(&[plain, &[0; 7]].concat())),
            ] {
                let error = client.produce(topic, 0, BatchBuilder::claiming(count, codec, &payload)).await.error;
                assert_eq!(error, ErrorCode::InvalidRecord, "{what}, {codec}, {topic}");
            }
            assert_eq!(
                client.produce(topic, 0, BatchBuilder::claiming(3, codec, &codec.compress(plain))).await.error,
                ErrorCode::None
            );
        }
    }
}

#[tokio::test]
async fn incompatibility_25_topic_settings_bound_size_and_time() {
    let broker = Cluster::new().start().await;
    let client = Client::connect(&broker);
    let configs = [
        ("max.message.bytes", "200"),
        ("message.timestamp.before.max.ms", "1000"),
        ("message.timestamp.after.max.ms", "1000"),
    ];
    client.create_topic("t", 1, &configs).await;
    let now = broker.runtime().wall_clock_ms();
    let at = |ms: i64, len: usize| BatchBuilder::new(Codec::None).record(ms, None, Some(&vec![1; len])).build();
    assert_eq!(client.produce("t", 0, at(now, 200)).await.error, ErrorCode::MessageTooLarge);
    assert_eq!(client.produce("t", 0, at(now - 60_000, 1)).await.error, ErrorCode::InvalidTimestamp);
    assert_eq!(client.produce("t", 0, at(now + 60_000, 1)).await.error, ErrorCode::InvalidTimestamp);
    assert_eq!(client.produce("t", 0, at(now, 1)).await.offset(), 0);
}

#[tokio::test]
async fn log_append_time_is_told_and_ignores_the_clients_clock() {
    let broker = Cluster::new().start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let before = broker.runtime().wall_clock_ms();
    let produced = client.produce("t", 0, batch(1).build()).await;
    assert_eq!(produced.offset(), 0);
    assert!((before..before + 60_000).contains(&produced.log_append_time_ms));
}

#[test]
fn a_retry_is_told_when_its_batch_was_appended() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let client = Client::connect(&process.cluster.start().await);
        client.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
        client.create_topic("own", 1, &[]).await;
        // The first of a pair that meet in the buffer, and much later.
        let second = Duration::from_secs(1);
        let first = client.send_batch("t", 0, sequenced(7, 0, 0, 2));
        process.set_clock_off(5_000);
        let joined = client.send_batch("t", 0, sequenced(7, 0, 0, 2));
        let (first, joined) = tokio::join!(first, joined);
        assert_eq!((first.offset(), joined.offset()), (0, 0));
        assert_eq!(joined.log_append_time_ms, first.log_append_time_ms);
        world.sleep(second).await;
        let other = client.produce("t", 0, sequenced(7, 0, 2, 1)).await;
        assert!(other.log_append_time_ms > first.log_append_time_ms);
        world.sleep(second).await;
        let retried = client.produce("t", 0, sequenced(7, 0, 0, 2)).await;
        assert_eq!((retried.offset(), retried.log_append_time_ms), (0, first.log_append_time_ms));
        assert_eq!(client.produce("own", 0, sequenced(7, 0, 0, 1)).await.log_append_time_ms, -1);
        assert_eq!(client.produce("own", 0, sequenced(7, 0, 0, 1)).await.log_append_time_ms, -1);
        process.node.kill();

        let successor = Process::new(&world, &memory);
        let client = Client::connect(&successor.cluster.start().await);
        let retried = client.produce("t", 0, sequenced(7, 0, 2, 1)).await;
        assert_eq!((retried.offset(), retried.log_append_time_ms), (2, other.log_append_time_ms), "from the store");
        successor.store.reads(Reads::Unavailable);
        let retried = client.produce("t", 0, sequenced(7, 0, 0, 2)).await;
        assert_eq!(retried.offset(), 0);
    });
}

fn request(acks: i16, transactional_id: Option<&'static str>, topic: &'static str) -> produce::Request<'static> {
    let data = produce::PartitionProduceData { index: 0, records: Some(Records::from(batch(1).build())) };
    let topic =
        produce::TopicProduceData { name: topic, partition_data: Array::from(vec![data]), ..Default::default() };
    produce::Request { acks, transactional_id, timeout_ms: 1, topic_data: Array::from(vec![topic]) }
}

#[tokio::test]
async fn acks_and_transactional_ids_are_checked() {
    let broker = Cluster::new().start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &[]).await;
    let code = async |request| {
        let reply = client.call(9, &request).await;
        let response: produce::Response<'_> = reply.read();
        let topic = response.responses.iter().next().unwrap();
        topic.partition_responses.iter().next().unwrap().error_code
    };
    assert_eq!(code(request(2, None, "t")).await, ErrorCode::InvalidRequiredAcks);
    assert_eq!(code(request(-1, Some("tx"), "t")).await, ErrorCode::InvalidRequest);
    assert_eq!(code(request(1, None, "t")).await, ErrorCode::None);
    assert_eq!(code(request(-1, None, "t")).await, ErrorCode::None);
}

#[tokio::test]
async fn acks_0_is_silent_and_closes_on_an_error() {
    let broker = Cluster::new().start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &[]).await;
    let send = async |topic| {
        let frame = encode_request(9, 1, None, &request(0, None, topic)).unwrap().to_bytes();
        client.session.on_frame(BytesMut::from(&frame[4..])).await
    };
    assert!(matches!(send("t").await, Answer::Silent));
    assert!(matches!(send("nowhere").await, Answer::Close(_)));
    assert_eq!(client.produce("t", 0, batch(1).build()).await.offset(), 1, "the silent one was written");
}

#[tokio::test]
async fn a_request_that_names_too_much_closes_the_connection() {
    let client = Client::connect(&Cluster::new().start().await);
    let named = |count: usize| {
        let data = produce::PartitionProduceData { index: 0, records: None };
        let topic = produce::TopicProduceData {
            name: "t",
            partition_data: Array::from(vec![data; count]),
            ..Default::default()
        };
        let request = produce::Request { acks: -1, topic_data: Array::from(vec![topic]), ..Default::default() };
        let frame = encode_request(9, 1, None, &request).unwrap().to_bytes();
        client.session.on_frame(BytesMut::from(&frame[4..]))
    };
    assert!(matches!(named(100_000).await, Answer::Respond { .. }));
    assert!(matches!(named(100_001).await, Answer::Close(_)));
}
