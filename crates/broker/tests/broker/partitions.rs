//! Partitions grow in number and lose their oldest records.

use kafscale_protocol::{
    ErrorCode,
    messages::{create_partitions, delete_records, list_offsets},
};

use crate::common::{Client, Cluster, batch};

/// A topic, the number of partitions that it is to have, and where the new ones are to be.
type Wanted<'a> = (&'a str, i32, Option<&'a [&'a [i32]]>);

/// What CreatePartitions answers for each topic: error and text.
async fn grow(client: &Client, wanted: &[Wanted<'_>], validate_only: bool) -> Vec<(ErrorCode, Option<String>)> {
    let topics = wanted.iter().map(|&(name, count, assignments)| {
        let assignment =
            |ids: &&[i32]| create_partitions::CreatePartitionsAssignment { broker_ids: ids.to_vec().into() };
        let assignments = assignments.map(|assignments| assignments.iter().map(assignment).collect());
        create_partitions::CreatePartitionsTopic { name, count, assignments }
    });
    let request = create_partitions::Request { topics: topics.collect(), validate_only, ..Default::default() };
    let reply = client.call(3, &request).await;
    let response: create_partitions::Response<'_> = reply.read();
    response.results.iter().map(|result| (result.error_code, result.error_message.map(str::to_owned))).collect()
}

#[tokio::test]
async fn incompatibility_21_a_topic_gets_more_partitions_and_keeps_those_it_has() {
    let cluster = Cluster::new();
    let client = Client::connect(&cluster.start().await);
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, batch(3).build()).await.offset();
    let done = vec![(ErrorCode::None, None)];
    assert_eq!(grow(&client, &[("t", 3, None)], true).await, done, "only validated");
    assert_eq!(client.produce("t", 2, batch(1).build()).await.error, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(grow(&client, &[("t", 3, None)], false).await, done);
    assert_eq!(client.produce("t", 2, batch(1).build()).await.offset(), 0);
    assert_eq!(grow(&client, &[("t", 5, Some(&[&[0], &[0]]))], false).await, done);
    let client = Client::connect(&cluster.start().await);
    assert_eq!(client.produce("t", 4, batch(1).build()).await.offset(), 0, "they outlive the broker");
    assert_eq!(client.produce("t", 0, batch(1).build()).await.offset(), 3);
}

#[tokio::test]
async fn what_is_no_increase_is_refused_in_kafkas_words() {
    let client = Client::connect(&Cluster::new().start().await);
    client.create_topic("t", 3, &[]).await;
    let refused = |code, text: &str| vec![(code, Some(text.to_owned()))];
    let invalid = |text: &str| refused(ErrorCode::InvalidPartitions, text);
    assert_eq!(grow(&client, &[("t", 3, None)], false).await, invalid("Topic already has 3 partition(s)."));
    let text = "The topic t currently has 3 partition(s); 2 would not be an increase.";
    assert_eq!(grow(&client, &[("t", 2, None)], false).await, invalid(text));
    let text = "The topic t currently has 3 partition(s); -1 would not be an increase.";
    assert_eq!(grow(&client, &[("t", -1, None)], false).await, invalid(text));
    let assignment = |text: &str| refused(ErrorCode::InvalidReplicaAssignment, text);
    let text = "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.";
    assert_eq!(grow(&client, &[("t", 5, Some(&[&[0]]))], false).await, assignment(text));
    let text = "The manual partition assignment includes broker 7, but no such broker is registered.";
    assert_eq!(grow(&client, &[("t", 4, Some(&[&[7]]))], false).await, assignment(text));
    let text = "The manual partition assignment includes the broker 0 more than once.";
    assert_eq!(grow(&client, &[("t", 4, Some(&[&[0, 0]]))], false).await, assignment(text));
    let codes = |results: Vec<(ErrorCode, _)>| results.into_iter().map(|(code, _)| code).collect::<Vec<_>>();
    assert_eq!(codes(grow(&client, &[("no", 2, None)], false).await), [ErrorCode::UnknownTopicOrPartition]);
    assert_eq!(codes(grow(&client, &[("t", i32::MAX, None)], false).await), [ErrorCode::InvalidPartitions]);
    assert_eq!(codes(grow(&client, &[("t", 50_000, None)], false).await), [ErrorCode::PolicyViolation]);
    let twice = grow(&client, &[("t", 5, None), ("t", 6, None)], false).await;
    assert_eq!(codes(twice), [ErrorCode::InvalidRequest; 2]);
    assert_eq!(grow(&client, &[("t", 4, None)], false).await, [(ErrorCode::None, None)], "nothing was added before");
}

/// What DeleteRecords answers for partitions of one topic: error and low watermark.
pub async fn delete(client: &Client, name: &str, offsets: &[(i32, i64)]) -> Vec<(ErrorCode, i64)> {
    let partition =
        |&(partition_index, offset): &(i32, i64)| delete_records::DeleteRecordsPartition { partition_index, offset };
    let topic = delete_records::DeleteRecordsTopic { name, partitions: offsets.iter().map(partition).collect() };
    let request = delete_records::Request { topics: vec![topic].into(), ..Default::default() };
    let reply = client.call(2, &request).await;
    let response: delete_records::Response<'_> = reply.read();
    let topic = response.topics.iter().next().expect("one topic");
    topic.partitions.iter().map(|partition| (partition.error_code, partition.low_watermark)).collect()
}

async fn earliest(client: &Client, name: &str) -> i64 {
    let partition = list_offsets::ListOffsetsPartition { timestamp: -2, ..Default::default() };
    let topic = list_offsets::ListOffsetsTopic { name, partitions: vec![partition].into() };
    let request = list_offsets::Request { replica_id: -1, topics: vec![topic].into(), ..Default::default() };
    let reply = client.call(7, &request).await;
    let response: list_offsets::Response<'_> = reply.read();
    response.topics.iter().next().unwrap().partitions.iter().next().unwrap().offset
}

#[tokio::test]
async fn records_below_an_offset_are_let_go() {
    let cluster = Cluster::new();
    let client = Client::connect(&cluster.start().await);
    client.create_topic("t", 2, &[]).await;
    client.produce("t", 0, batch(10).build()).await.offset();
    client.produce("t", 1, batch(4).build()).await.offset();
    assert_eq!(delete(&client, "t", &[(0, 3), (1, -1)]).await, [(ErrorCode::None, 3), (ErrorCode::None, 4)]);
    assert_eq!(earliest(&client, "t").await, 3);
    assert_eq!(delete(&client, "t", &[(0, 1)]).await, [(ErrorCode::None, 3)], "a start never falls");
    let out_of_range = (ErrorCode::OffsetOutOfRange, -1);
    let unknown = (ErrorCode::UnknownTopicOrPartition, -1);
    let asked = [(0, 11), (0, -2), (2, 0), (-1, 0), (0, 10)];
    let expected = [out_of_range, out_of_range, unknown, unknown, (ErrorCode::None, 10)];
    assert_eq!(delete(&client, "t", &asked).await, expected);
    assert_eq!(delete(&client, "no", &[(0, 0)]).await, [unknown]);
    let client = Client::connect(&cluster.start().await);
    assert_eq!(earliest(&client, "t").await, 10, "and the broker's life does not matter");
    assert_eq!(client.produce("t", 0, batch(1).build()).await.offset(), 10);
}

#[tokio::test]
async fn where_only_compaction_removes_records_nobody_else_may() {
    let client = Client::connect(&Cluster::new().start().await);
    client.create_topic("t", 1, &[("cleanup.policy", "compact")]).await;
    client.produce("t", 0, batch(2).build()).await.offset();
    assert_eq!(delete(&client, "t", &[(0, 1)]).await, [(ErrorCode::PolicyViolation, -1)]);
}
