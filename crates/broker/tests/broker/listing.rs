//! Lists of all topics and brokers while the store is away: a picture of one moment, which does not wait for it, unlike an
//! answer that says that one thing does not exist.

use std::time::Duration;

use kafscale_broker::{Ended, api::Answer};
use kafscale_protocol::{
    ApiKey, Array, ErrorCode, RequestBody, encode_request,
    messages::{describe_cluster, describe_topic_partitions, metadata},
};
use kafscale_sim::executor::World;

use crate::{
    common::Client,
    scripted::{Process, Reads, story},
};

const SECOND: Duration = Duration::from_secs(1);

fn all() -> metadata::Request<'static> {
    metadata::Request { topics: None, ..Default::default() }
}

/// The names of all topics, as Metadata says.
async fn listed(client: &Client) -> Vec<String> {
    let reply = client.call(9, &all()).await;
    let response: metadata::Response<'_> = reply.read();
    assert_eq!(response.brokers.len(), 1);
    response.topics.iter().map(|topic| topic.name.expect("a name").to_owned()).collect()
}

/// The same, as DescribeTopicPartitions says, of these or of all.
async fn described(client: &Client, names: &[&str]) -> Vec<(String, ErrorCode)> {
    let topics: Vec<_> = names.iter().map(|name| describe_topic_partitions::TopicRequest { name }).collect();
    let request = describe_topic_partitions::Request {
        topics: Array::from(topics),
        response_partition_limit: 100,
        ..Default::default()
    };
    let reply = client.call(0, &request).await;
    let response: describe_topic_partitions::Response<'_> = reply.read();
    let topics = response.topics.iter();
    topics.map(|topic| (topic.name.expect("a name").to_owned(), topic.error_code)).collect()
}

async fn brokers(client: &Client) -> (ErrorCode, usize) {
    let reply = client.call(2, &describe_cluster::Request::default()).await;
    let response: describe_cluster::Response<'_> = reply.read();
    (response.error_code, response.brokers.len())
}

/// What Metadata says of one name.
async fn said_of(client: &Client, name: &str) -> ErrorCode {
    let topic = metadata::MetadataRequestTopic { name: Some(name), ..Default::default() };
    let topics = Some(Array::from(vec![topic]));
    let request = metadata::Request { topics, allow_auto_topic_creation: false, ..Default::default() };
    let reply = client.call(9, &request).await;
    let response: metadata::Response<'_> = reply.read();
    response.topics.iter().next().expect("one topic").error_code
}

/// Whether the request closes its connection.
async fn is_closed<'a, R: RequestBody<'a>>(client: &Client, version: i16, request: &R) -> bool {
    let frame = encode_request(version, 1, Some("t"), request).expect("fits").to_bytes();
    matches!(client.session.on_frame(frame[4..].into()).await, Answer::Close(_))
}

async fn timed<T>(world: &World, answer: impl Future<Output = T>) -> (T, Duration) {
    let began = world.now();
    (answer.await, world.now() - began)
}

#[test]
fn all_topics_and_brokers_are_listed_while_the_store_is_away() {
    for away in [Reads::Unavailable, Reads::Hang] {
        story(move |world, memory| async move {
            let process = Process::new(&world, &memory);
            let client = Client::connect(&process.cluster.start().await);
            client.create_topic("t", 1, &[]).await;
            process.store.is_away(true);
            process.store.reads(away);

            let (names, took) = timed(&world, listed(&client)).await;
            assert_eq!(names, ["t"], "{away:?}");
            assert_eq!(took, SECOND, "it was tried for a moment");
            for _ in 0..20 {
                let at_once = async { (listed(&client).await, described(&client, &[]).await, brokers(&client).await) };
                let (answers, took) = timed(&world, at_once).await;
                assert_eq!(answers, (vec!["t".into()], vec![("t".into(), ErrorCode::None)], (ErrorCode::None, 1)));
                assert!(took < SECOND / 10, "{away:?}: nobody waits for what is known to fail: {took:?}");
                world.sleep(SECOND).await;
            }
        });
    }
}

#[test]
fn an_absence_is_not_claimed_while_the_store_is_away_and_the_client_may_ask_again() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let client = Client::connect(&process.cluster.start().await);
        client.create_topic("t", 1, &[]).await;
        process.store.is_away(true);
        for _ in 0..2 {
            listed(&client).await;
            let (said, took) = timed(&world, said_of(&client, "absent")).await;
            assert_eq!(said, ErrorCode::LeaderNotAvailable);
            assert!(took >= SECOND, "it waits for the barrier, whatever listings know: {took:?}");
            assert_eq!(described(&client, &["absent"]).await, [("absent".into(), ErrorCode::LeaderNotAvailable)]);
            assert_eq!(said_of(&client, "t").await, ErrorCode::None);
        }
        process.store.is_away(false);
        assert_eq!(said_of(&client, "absent").await, ErrorCode::UnknownTopicOrPartition);
    });
}

#[test]
fn listings_alone_find_out_that_the_store_is_back_and_who_has_taken_over() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let client = Client::connect(&broker);
        client.create_topic("t", 1, &[]).await;
        process.store.is_away(true);
        assert_eq!(listed(&client).await, ["t"]);
        let newer = Process::new(&world, &memory);
        Client::connect(&newer.cluster.start().await).create_topic("u", 1, &[]).await;
        assert_eq!(listed(&client).await, ["t"], "it cannot know yet");

        world.sleep(10 * SECOND).await;
        process.store.is_away(false);
        assert_eq!(listed(&client).await, ["t"], "and does not wait to learn it");
        world.sleep(SECOND).await;
        let Ended::Fenced(reason) = broker.ended().await else { panic!("fenced is what it is") };
        assert!(reason.contains("session 2"), "{reason}");
        assert!(is_closed(&client, 9, &all()).await, "a list that leaves out topics would be believed");
        assert_eq!(brokers(&client).await.0, ErrorCode::NotLeaderOrFollower);
        let request = describe_topic_partitions::Request { response_partition_limit: 1, ..Default::default() };
        assert!(is_closed(&client, ApiKey::DescribeTopicPartitions.facts().max, &request).await);
    });
}
