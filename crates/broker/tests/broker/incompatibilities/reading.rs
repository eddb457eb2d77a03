//! What consumers, and producers of topics with a past, were told elsewhere.

use std::time::Duration;

use kafscale_protocol::{
    Array, ErrorCode, Uuid,
    messages::{
        fetch::{Request, Response},
        list_offsets::{self, ListOffsetsPartition, ListOffsetsTopic},
    },
};

use crate::{
    common::{Client, Cluster, batch, sequenced},
    fetch::{Wants, fetch, filled},
    idempotence::producer_id,
    list_offsets::list,
    scripted::{Process, story},
    topics::delete_by_name,
};

#[test]
fn incompatibility_09_a_long_poll_ends_when_its_time_is_over_and_not_before() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let (_broker, client, _) = filled(&process.cluster, 1).await;
        for (max_wait_ms, min_bytes) in [(500, 1), (7_000, 1), (500, 1 << 20)] {
            let request = Request { max_wait_ms, min_bytes, ..Wants::of("t", &[6]).request() };
            let began = world.now();
            let fetched = fetch(&client, 12, &request).await;
            assert_eq!((fetched.partitions[0].error, fetched.partitions[0].batches.len()), (ErrorCode::None, 0));
            let waited = world.now() - began;
            let asked = Duration::from_millis(max_wait_ms as u64);
            assert!((asked..asked + Duration::from_millis(100)).contains(&waited), "{waited:?} for {max_wait_ms} ms");
        }
        // Too little for `min_bytes`, so it comes at the end of the time, and it comes.
        let request = Request { max_wait_ms: 500, min_bytes: 1 << 20, ..Wants::of("t", &[5]).request() };
        assert_eq!(fetch(&client, 12, &request).await.partitions[0].batches, [(5, 5)]);
    });
}

#[tokio::test]
async fn incompatibility_10_an_offset_inside_a_batch_gives_the_whole_batch() {
    let (_broker, client, _) = filled(&Cluster::new(), 1).await;
    for (offset, first) in [(0, (0, 1)), (1, (0, 1)), (2, (2, 4)), (3, (2, 4)), (4, (2, 4)), (5, (5, 5))] {
        assert_eq!(fetch(&client, 12, &Wants::of("t", &[offset]).request()).await.partitions[0].batches[0], first);
    }
}

#[tokio::test]
async fn incompatibility_14_committed_readers_reach_the_end_of_what_has_no_transactions() {
    let client = Client::connect(&Cluster::new().start().await);
    client.create_topic("t", 1, &[]).await;
    for end in [0, 3] {
        for isolation_level in [0, 1] {
            let asked = ListOffsetsPartition { partition_index: 0, timestamp: -1, current_leader_epoch: -1 };
            let topic = ListOffsetsTopic { name: "t", partitions: vec![asked].into() };
            let topics = Array::from(vec![topic]);
            let request = list_offsets::Request { replica_id: -1, isolation_level, topics, ..Default::default() };
            let reply = client.call(7, &request).await;
            let response: list_offsets::Response<'_> = reply.read();
            let found = response.topics.iter().next().unwrap().partitions.iter().next().unwrap();
            assert_eq!((found.error_code, found.offset), (ErrorCode::None, end));
            let request = Request { isolation_level, ..Wants::of("t", &[0]).request() };
            let fetched = fetch(&client, 12, &request).await;
            assert_eq!((fetched.partitions[0].error, fetched.partitions[0].high_watermark), (ErrorCode::None, end));
        }
        client.produce("t", 0, batch(3).build()).await.offset();
    }
}

#[tokio::test]
async fn incompatibility_26_what_is_acknowledged_is_readable_at_once_by_everybody() {
    let cluster = Cluster::new();
    let broker = cluster.start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &[]).await;
    for offset in 0..20 {
        assert_eq!(client.produce("t", 0, batch(1).build()).await.offset(), offset);
        let other = Client::connect(&broker);
        let got = &fetch(&other, 12, &Wants::of("t", &[offset]).request()).await.partitions[0];
        assert_eq!((got.high_watermark, &got.batches[..]), (offset + 1, &[(offset, offset)][..]));
        assert_eq!(list(&other, 7, "t", &[(0, -1)]).await[0].1, offset + 1);
    }
    let successor = Client::connect(&cluster.start().await);
    assert_eq!(list(&successor, 7, "t", &[(0, -1)]).await[0].1, 20);
}

#[tokio::test]
async fn incompatibility_27_a_topic_is_answered_by_what_it_was_asked_by() {
    let (_broker, client, topic_id) = filled(&Cluster::new(), 1).await;
    let told = async |version, wants: Wants<'static>| {
        let reply = client.call(version, &wants.request()).await;
        let response: Response<'_> = reply.read();
        let topic = response.responses.iter().next().expect("one");
        let data = topic.partitions.iter().next().expect("one");
        (topic.topic.to_owned(), topic.topic_id, data.error_code)
    };
    let by_name = Wants::of("t", &[0]);
    assert_eq!(told(12, by_name).await, ("t".to_owned(), Uuid::default(), ErrorCode::None));
    let by_id = Wants { topic_id, ..Wants::of("", &[0]) };
    assert_eq!(told(13, by_id).await, (String::new(), topic_id, ErrorCode::None));
    assert_eq!(told(13, by_name).await.2, ErrorCode::UnknownTopicId, "a zero id names no topic");
}

#[tokio::test]
async fn incompatibility_32_a_deleted_topic_takes_its_producers_along() {
    let client = Client::connect(&Cluster::new().start().await);
    let id = producer_id(&client).await;
    for _ in 0..2 {
        client.create_topic("t", 1, &[]).await;
        assert_eq!(client.produce("t", 0, sequenced(id, 0, 0, 1)).await.offset(), 0, "no duplicate of another life");
        assert_eq!(client.produce("t", 0, sequenced(id, 0, 1, 1)).await.offset(), 1);
        assert_eq!(delete_by_name(&client, 5, &["t"]).await[0].1, ErrorCode::None);
    }
}

#[tokio::test]
async fn incompatibility_32_fetch_sessions_by_topic_id_go_on_by_topic_id() {
    let (_broker, client, topic_id) = filled(&Cluster::new(), 1).await;
    let wants = Wants { topic_id, ..Wants::of("", &[6]) };
    let opened = fetch(&client, 13, &Request { session_epoch: 0, ..wants.request() }).await;
    assert!(opened.session_id > 0);
    client.produce("t", 0, batch(1).build()).await.offset();
    let next = Request { session_id: opened.session_id, session_epoch: 1, ..Wants::of("", &[]).request() };
    let fetched = fetch(&client, 13, &next).await;
    assert_eq!((fetched.error, &fetched.partitions[0].batches[..]), (ErrorCode::None, &[(6, 6)][..]));
}

#[tokio::test]
async fn incompatibility_32_offsets_come_with_the_epoch_of_their_records() {
    let (_broker, client, _) = filled(&Cluster::new(), 1).await;
    for timestamp in [-1, -2, -3, 0] {
        let (error, _, _, leader_epoch) = list(&client, 7, "t", &[(0, timestamp)]).await[0];
        assert_eq!((error, leader_epoch), (ErrorCode::None, 0), "{timestamp}");
    }
}
