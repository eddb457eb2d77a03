//! ListOffsets: the named places and look-ups by time, in every version.

use bytes::Bytes;
use kafscale_protocol::{
    Array, ErrorCode,
    messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic, Request, Response},
};
use kafscale_records::{BatchBuilder, Codec};

use crate::common::{Client, Cluster, NOW_MS, batch};

/// Error, offset, timestamp and leader epoch of an answer.
pub type Answer = (ErrorCode, i64, i64, i32);

pub async fn list(client: &Client, version: i16, topic: &str, asked: &[(i32, i64)]) -> Vec<Answer> {
    list_with_epoch(client, version, topic, asked, -1).await
}

async fn list_with_epoch(
    client: &Client,
    version: i16,
    topic: &str,
    asked: &[(i32, i64)],
    current_leader_epoch: i32,
) -> Vec<Answer> {
    let partition =
        |&(partition_index, timestamp): &_| ListOffsetsPartition { partition_index, timestamp, current_leader_epoch };
    let partitions: Vec<_> = asked.iter().map(partition).collect();
    let topic = ListOffsetsTopic { name: topic, partitions: Array::from(partitions) };
    let request = Request { replica_id: -1, topics: Array::from(vec![topic]), ..Default::default() };
    let reply = client.call(version, &request).await;
    let response: Response<'_> = reply.read();
    let topic = response.topics.iter().next().expect("one topic");
    let partitions = topic.partitions.iter();
    partitions.map(|found| (found.error_code, found.offset, found.timestamp, found.leader_epoch)).collect()
}

fn at(offset: i64, timestamp: i64) -> Answer {
    (ErrorCode::None, offset, timestamp, if offset < 0 { -1 } else { 0 })
}

fn refused(error: ErrorCode) -> Answer {
    (error, -1, -1, -1)
}

fn timed(codec: Codec, times: &[i64]) -> Bytes {
    times.iter().fold(BatchBuilder::new(codec), |batch, time| batch.record(NOW_MS + time, None, Some(b"v"))).build()
}

/// Topic `t`: partition 0 has records at these times after [`NOW_MS`], 1 is empty.
async fn shuffled(cluster: &Cluster) -> Client {
    let client = Client::connect(&cluster.start().await);
    client.create_topic("t", 2, &[]).await;
    for (codec, times) in
        [(Codec::None, &[10, 30, 20][..]), (Codec::Zstd, &[25, 90, 60]), (Codec::Lz4, &[5]), (Codec::Gzip, &[90, 70])]
    {
        client.produce("t", 0, timed(codec, times)).await.offset();
    }
    client
}

#[tokio::test]
async fn the_named_places() {
    let client = shuffled(&Cluster::new()).await;
    let asked = [(0, -1), (1, -1)];
    assert_eq!(list(&client, 11, "t", &asked).await, [at(9, -1), at(0, -1)]);
    assert_eq!(list(&client, 11, "t", &[(0, -2), (1, -2)]).await, [at(0, -1), at(0, -1)]);
    assert_eq!(list(&client, 11, "t", &[(0, -3), (1, -3)]).await, [at(4, NOW_MS + 90), at(-1, -1)]);
    assert_eq!(list(&client, 11, "t", &[(0, -4), (1, -4)]).await, [at(0, -1), at(0, -1)]);
    assert_eq!(list(&client, 11, "t", &[(0, -5), (1, -6)]).await, [at(-1, -1), at(-1, -1)]);
    client.produce("t", 1, batch(3).build()).await.offset();
    assert_eq!(list(&client, 11, "t", &asked).await, [at(9, -1), at(3, -1)]);
}

#[tokio::test]
async fn incompatibility_16_the_first_record_that_is_late_enough_also_after_a_restart() {
    let cluster = Cluster::new();
    drop(shuffled(&cluster).await);
    let client = Client::connect(&cluster.start().await);
    for (time, offset, found) in [(0, 0, 10), (11, 1, 30), (30, 1, 30), (31, 4, 90), (90, 4, 90)] {
        assert_eq!(list(&client, 7, "t", &[(0, NOW_MS + time)]).await, [at(offset, NOW_MS + found)], "at {time}");
    }
    assert_eq!(list(&client, 7, "t", &[(0, NOW_MS + 91), (1, 0)]).await, [at(-1, -1), at(-1, -1)]);
    assert_eq!(list(&client, 7, "t", &[(0, -3)]).await, [at(4, NOW_MS + 90)]);
}

#[tokio::test]
async fn with_the_brokers_time_the_first_of_the_batch_answers() {
    let client = Client::connect(&Cluster::new().start().await);
    client.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let produced = client.produce("t", 0, timed(Codec::Snappy, &[-500, 900])).await;
    let time = produced.log_append_time_ms;
    assert_eq!(list(&client, 7, "t", &[(0, time)]).await, [at(0, time)]);
    assert_eq!(list(&client, 7, "t", &[(0, -3)]).await, [at(0, time)]);
    assert_eq!(list(&client, 7, "t", &[(0, time + 1)]).await, [at(-1, -1)]);
}

#[tokio::test]
async fn every_version_answers_and_special_times_need_theirs() {
    let client = shuffled(&Cluster::new()).await;
    for version in 1..=11 {
        let epoch = if version >= 4 { 0 } else { -1 };
        assert_eq!(list(&client, version, "t", &[(0, -1)]).await, [(ErrorCode::None, 9, -1, epoch)]);
        for (timestamp, since) in [(-3, 7), (-4, 8), (-5, 9), (-6, 11), (-7, 99)] {
            let answer = list(&client, version, "t", &[(0, timestamp)]).await[0];
            let expected = if version < since { ErrorCode::UnsupportedVersion } else { ErrorCode::None };
            assert_eq!(answer.0, expected, "{timestamp} in version {version}");
        }
    }
}

#[tokio::test]
async fn mistakes_are_told_per_partition() {
    let client = shuffled(&Cluster::new()).await;
    let unknown = refused(ErrorCode::UnknownTopicOrPartition);
    assert_eq!(list(&client, 7, "other", &[(0, -1)]).await, [unknown]);
    assert_eq!(list(&client, 7, "t", &[(2, -1), (-1, -1), (0, -1)]).await, [unknown, unknown, at(9, -1)]);
    let twice = refused(ErrorCode::InvalidRequest);
    assert_eq!(list(&client, 7, "t", &[(0, -1), (0, -2), (1, -1)]).await, [twice, twice, at(0, -1)]);
    let elsewhere = refused(ErrorCode::UnknownLeaderEpoch);
    assert_eq!(list_with_epoch(&client, 7, "t", &[(0, -1)], 1).await, [elsewhere]);
    assert_eq!(list_with_epoch(&client, 7, "t", &[(0, -1)], 0).await, [at(9, -1)]);
}
