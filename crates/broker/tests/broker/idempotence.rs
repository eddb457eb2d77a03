//! Idempotent producers: retries, windows, epochs, wraps, restarts.

use kafscale_protocol::{
    Array, ErrorCode,
    messages::{
        delete_topics,
        init_producer_id::{Request, Response},
    },
};

use crate::common::{Client, Cluster, sequenced};

pub async fn producer_id(client: &Client) -> i64 {
    let reply = client.call(4, &Request { producer_id: -1, producer_epoch: -1, ..Default::default() }).await;
    let response: Response = reply.read();
    assert_eq!((response.error_code, response.producer_epoch), (ErrorCode::None, 0));
    response.producer_id
}

#[tokio::test]
pub async fn producer_ids_are_never_given_twice() {
    let cluster = Cluster::new();
    let mut given = Vec::new();
    for _ in 0..3 {
        let client = Client::connect(&cluster.start().await);
        for _ in 0..3 {
            given.push(producer_id(&client).await);
        }
    }
    let count = given.len();
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), count);
}

#[tokio::test]
async fn incompatibility_15_transactional_ids_are_refused_for_good() {
    let client = Client::connect(&Cluster::new().start().await);
    let reply = client.call(4, &Request { transactional_id: Some("tx"), ..Default::default() }).await;
    let response: Response = reply.read();
    assert_eq!(response.error_code, ErrorCode::InvalidRequest);
    assert!(!response.error_code.is_retriable());
}

#[tokio::test]
async fn incompatibility_12_retries_get_their_old_offsets_also_after_a_restart_and_on_another_connection() {
    let cluster = Cluster::new();
    let broker = cluster.start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &[]).await;
    let id = producer_id(&client).await;
    for sequence in 0..8 {
        assert_eq!(client.produce("t", 0, sequenced(id, 0, sequence, 1)).await.offset(), i64::from(sequence));
    }
    let other = Client::connect(&broker);
    assert_eq!(other.produce("t", 0, sequenced(id, 0, 7, 1)).await.offset(), 7);
    let successor = Client::connect(&cluster.start().await);
    assert_eq!(successor.produce("t", 0, sequenced(id, 0, 3, 1)).await.offset(), 3);
    assert_eq!(successor.produce("t", 0, sequenced(id, 0, 8, 2)).await.offset(), 8);
    assert_eq!(successor.produce("t", 0, sequenced(id, 0, 8, 2)).await.offset(), 8);
    assert_eq!(successor.produce("t", 0, sequenced(id, 0, 10, 1)).await.offset(), 10);
}

#[tokio::test]
async fn a_retry_of_a_pending_batch_waits_with_it() {
    let broker = Cluster::new().start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &[]).await;
    let id = producer_id(&client).await;
    let first = client.send_batch("t", 0, sequenced(id, 0, 0, 2));
    let retry = Client::connect(&broker).send_batch("t", 0, sequenced(id, 0, 0, 2));
    let next = client.send_batch("t", 0, sequenced(id, 0, 2, 1));
    assert_eq!((first.await.offset(), retry.await.offset(), next.await.offset()), (0, 0, 2));
}

#[tokio::test]
async fn a_batch_ahead_is_held_until_its_predecessor_comes() {
    let broker = Cluster::new().start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &[]).await;
    let id = producer_id(&client).await;
    let ahead = client.send_batch("t", 0, sequenced(id, 0, 1, 1));
    let first = Client::connect(&broker).send_batch("t", 0, sequenced(id, 0, 0, 1));
    assert_eq!((first.await.offset(), ahead.await.offset()), (0, 1));
}

#[tokio::test]
async fn a_held_batch_hears_that_its_topic_was_deleted() {
    let broker = Cluster::new().start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &[]).await;
    let id = producer_id(&client).await;
    let ahead = client.send_batch("t", 0, sequenced(id, 0, 7, 1));
    let request = delete_topics::Request { topic_names: Array::from(vec!["t"]), ..Default::default() };
    client.call(5, &request).await;
    assert_eq!(ahead.await.error, ErrorCode::UnknownTopicOrPartition);
}

#[tokio::test]
async fn gaps_old_epochs_and_bumped_epochs() {
    let broker = Cluster::new().start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &[]).await;
    let id = producer_id(&client).await;
    assert_eq!(client.produce("t", 0, sequenced(id, 0, 0, 1)).await.offset(), 0);
    assert_eq!(client.produce("t", 0, sequenced(id, 0, 2, 1)).await.error, ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(client.produce("t", 0, sequenced(id, 1, 0, 1)).await.offset(), 1, "KIP-360: a new epoch begins at 0");
    assert_eq!(client.produce("t", 0, sequenced(id, 0, 1, 1)).await.error, ErrorCode::InvalidProducerEpoch);
    assert_eq!(client.produce("t", 0, sequenced(id, 2, 5, 1)).await.error, ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(client.produce("t", 0, sequenced(id, 1, 1, 1)).await.offset(), 2);
}

#[tokio::test]
async fn without_state_a_young_producer_must_begin_at_0() {
    let broker = Cluster::new().start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 1, &[]).await;
    let id = producer_id(&client).await;
    assert_eq!(client.produce("t", 0, sequenced(id, 0, 5, 1)).await.error, ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(client.produce("t", 0, sequenced(id, 0, 0, 1)).await.offset(), 0);
}
