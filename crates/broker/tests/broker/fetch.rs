//! Fetch: from the middle, at both ends, within limits, in sessions, by name and by id, waiting and not.

use std::sync::Arc;

use kafscale_broker::Broker;
use kafscale_protocol::{
    Array, ErrorCode, Uuid,
    messages::fetch::{FetchPartition, FetchTopic, ForgottenTopic, Request, Response},
};
use kafscale_records::{BatchBuilder, Codec, batches};
use kafscale_store::{Body, ReadRange, Store};

use crate::common::{Client, Cluster, NOW_MS, batch};

/// What is asked of partitions 0.. of one topic.
#[derive(Clone, Copy)]
pub struct Wants<'a> {
    pub topic: &'a str,
    pub topic_id: Uuid,
    pub offsets: &'a [i64],
    pub partition_max_bytes: i32,
    pub leader_epoch: i32,
}

impl<'a> Wants<'a> {
    pub fn of(topic: &'a str, offsets: &'a [i64]) -> Self {
        Self { topic, topic_id: Uuid::default(), offsets, partition_max_bytes: 1 << 20, leader_epoch: -1 }
    }

    pub fn request(&self) -> Request<'a> {
        let partition = |(partition, offset): (usize, &i64)| FetchPartition {
            partition: partition as i32,
            fetch_offset: *offset,
            partition_max_bytes: self.partition_max_bytes,
            current_leader_epoch: self.leader_epoch,
            ..Default::default()
        };
        let partitions: Vec<_> = self.offsets.iter().enumerate().map(partition).collect();
        let topics = match partitions.is_empty() {
            true => Vec::new(),
            false => {
                let (topic, topic_id) = (self.topic, self.topic_id);
                vec![FetchTopic { topic, topic_id, partitions: Array::from(partitions) }]
            }
        };
        Request { max_wait_ms: 0, min_bytes: 1, max_bytes: 50 << 20, topics: Array::from(topics), ..Default::default() }
    }
}

/// One partition of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Got {
    pub partition: i32,
    pub error: ErrorCode,
    pub high_watermark: i64,
    pub log_start: i64,
    /// First and last offset of each batch.
    pub batches: Vec<(i64, i64)>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Fetched {
    pub error: ErrorCode,
    pub session_id: i32,
    pub partitions: Vec<Got>,
}

impl Fetched {
    fn partitions(&self) -> Vec<i32> {
        self.partitions.iter().map(|got| got.partition).collect()
    }
}

pub async fn fetch(client: &Client, version: i16, request: &Request<'_>) -> Fetched {
    let reply = client.call(version, request).await;
    let response: Response<'_> = reply.read();
    let mut partitions = Vec::new();
    for topic in response.responses.iter() {
        for data in topic.partitions.iter() {
            let records = data.records.as_slice().expect("decoded").to_vec();
            let row = batches(&records).map(|batch| batch.expect("whole batches"));
            let row = row.inspect(|batch| batch.verify_crc().expect("unharmed"));
            let batches = row.map(|batch| (batch.header().base_offset, batch.header().last_offset())).collect();
            let (partition, error) = (data.partition_index, data.error_code);
            let (high_watermark, log_start) = (data.high_watermark, data.log_start_offset);
            partitions.push(Got { partition, error, high_watermark, log_start, batches });
        }
    }
    Fetched { error: response.error_code, session_id: response.session_id, partitions }
}

/// A broker whose topic `t` has so many partitions, each with batches of 2, 3 and 1 records.
pub async fn filled(cluster: &Cluster, partitions: i32) -> (Arc<Broker>, Client, Uuid) {
    let broker = cluster.start().await;
    let client = Client::connect(&broker);
    let id = client.create_topic("t", partitions, &[]).await;
    for partition in 0..partitions {
        for records in [2, 3, 1] {
            client.produce("t", partition, batch(records).build()).await.offset();
        }
    }
    (broker, client, id)
}

#[tokio::test]
async fn every_version_gives_the_same_records() {
    let cluster = Cluster::new();
    let (broker, client, topic_id) = filled(&cluster, 1).await;
    for version in 4..=18 {
        let wants = Wants { topic_id, ..Wants::of("t", &[3]) };
        let got = &fetch(&client, version, &wants.request()).await.partitions[0];
        assert_eq!((got.error, got.high_watermark), (ErrorCode::None, 6), "version {version}");
        assert_eq!(got.batches, [(2, 4), (5, 5)], "version {version}");
    }
    assert_eq!(broker.reader().loader().counts().gets, 0, "what was just written is in memory");
}

#[tokio::test]
async fn records_are_the_same_after_a_restart_when_nothing_is_in_memory() {
    let cluster = Cluster::new();
    let (broker, _, _) = filled(&cluster, 3).await;
    drop(broker);
    let client = Client::connect(&cluster.start().await);
    // What arrives first is sent first, so all is there only after a few answers.
    let mut seen = [0; 3];
    while seen != [6; 3] {
        let fetched = fetch(&client, 12, &Wants::of("t", &seen).request()).await;
        for got in &fetched.partitions {
            assert_eq!(got.error, ErrorCode::None);
            for (first, last) in &got.batches {
                assert_eq!(*first, seen[got.partition as usize]);
                seen[got.partition as usize] = last + 1;
            }
        }
    }
}

#[tokio::test]
async fn every_codec_passes_through_untouched() {
    let client = Client::connect(&Cluster::new().start().await);
    client.create_topic("t", 1, &[]).await;
    for (offset, codec) in (0..).zip(Codec::ALL) {
        let mut sent = kafscale_records::BatchBuilder::new(codec)
            .record(crate::common::NOW_MS, Some(b"k"), Some(&[9; 2000]))
            .build()
            .to_vec();
        client.produce("t", 0, sent.clone().into()).await.offset();
        let reply = client.call(12, &Wants::of("t", &[offset]).request()).await;
        let response: Response<'_> = reply.read();
        let topic = response.responses.iter().next().expect("one");
        let data = topic.partitions.iter().next().expect("one");
        kafscale_records::edit::set_base_offset(&mut sent, offset);
        kafscale_records::edit::set_partition_leader_epoch(&mut sent, 0);
        assert_eq!(data.records.as_slice().expect("decoded"), sent, "{codec}");
    }
}

#[tokio::test]
async fn a_topic_has_its_batches_compressed_as_it_wants() {
    let client = Client::connect(&Cluster::new().start().await);
    let payload = |codec, value: &[u8]| BatchBuilder::new(codec).record(NOW_MS, None, Some(value)).build();
    for (name, to) in
        [("uncompressed", Codec::None), ("gzip", Codec::Gzip), ("snappy", Codec::Snappy), ("lz4", Codec::Lz4)]
    {
        client.create_topic(name, 1, &[("compression.type", name), ("max.message.bytes", "5000")]).await;
        for (offset, from) in (0..).zip(Codec::ALL) {
            assert_eq!(client.produce(name, 0, payload(from, &[7; 3000])).await.offset(), offset);
        }
        let reply = client.call(12, &Wants::of(name, &[0]).request()).await;
        let response: Response<'_> = reply.read();
        let topic = response.responses.iter().next().expect("a topic");
        let data = topic.partitions.iter().next().expect("a partition");
        let records = data.records.as_slice().expect("decoded").to_vec();
        let found: Vec<_> = batches(&records).map(|batch| batch.expect("it is whole")).collect();
        assert_eq!(found.len(), 5);
        for batch in found {
            batch.verify_crc().expect("it fits");
            assert_eq!(batch.header().attributes.codec(), Ok(to), "{name}");
            let opened = batch.open(1 << 20).expect("it opens");
            let record = opened.records().next().expect("a record").expect("it is whole");
            assert_eq!(record.value, Some(&[7; 3000][..]));
        }
        let grown = client.produce(name, 0, payload(Codec::Zstd, &[7; 6000])).await.error;
        let expected = if to == Codec::None { ErrorCode::MessageTooLarge } else { ErrorCode::None };
        assert_eq!(grown, expected, "{name}");
    }
}

#[tokio::test]
async fn incompatibility_28_offsets_outside_are_refused_and_the_end_is_not() {
    let cluster = Cluster::new();
    let (_, client, _) = filled(&cluster, 3).await;
    let fetched = fetch(&client, 12, &Wants::of("t", &[-1, 6, 7]).request()).await;
    let errors: Vec<ErrorCode> = fetched.partitions.iter().map(|got| got.error).collect();
    assert_eq!(errors, [ErrorCode::OffsetOutOfRange, ErrorCode::None, ErrorCode::OffsetOutOfRange]);
}

#[tokio::test]
async fn what_does_not_exist_is_said_so_and_the_rest_is_sent() {
    let cluster = Cluster::new();
    let (_, client, topic_id) = filled(&cluster, 1).await;
    let fetched = fetch(&client, 12, &Wants::of("t", &[0, 0]).request()).await;
    assert_eq!(fetched.partitions[0].batches.len(), 3);
    assert_eq!(fetched.partitions[1].error, ErrorCode::UnknownTopicOrPartition);
    let fetched = fetch(&client, 12, &Wants::of("other", &[0]).request()).await;
    assert_eq!(fetched.partitions[0].error, ErrorCode::UnknownTopicOrPartition);
    let by_id = |topic_id, offsets| Wants { topic_id, ..Wants::of("", offsets) };
    let fetched = fetch(&client, 13, &by_id(Uuid([7; 16]), &[0]).request()).await;
    assert_eq!(fetched.partitions[0].error, ErrorCode::UnknownTopicId);
    let fetched = fetch(&client, 13, &by_id(topic_id, &[0, 0]).request()).await;
    assert_eq!(fetched.partitions[1].error, ErrorCode::UnknownTopicOrPartition);
}

#[tokio::test]
async fn a_leader_epoch_from_elsewhere_is_unknown() {
    let cluster = Cluster::new();
    let (_, client, _) = filled(&cluster, 1).await;
    for (leader_epoch, error) in [(-1, ErrorCode::None), (0, ErrorCode::None), (1, ErrorCode::UnknownLeaderEpoch)] {
        let wants = Wants { leader_epoch, ..Wants::of("t", &[0]) };
        assert_eq!(fetch(&client, 12, &wants.request()).await.partitions[0].error, error);
    }
}

#[tokio::test]
async fn the_first_batch_is_sent_over_every_limit_and_no_batch_is_cut() {
    let cluster = Cluster::new();
    let (_, client, _) = filled(&cluster, 2).await;
    let sent = |fetched: Fetched| fetched.partitions.iter().map(|got| got.batches.len()).collect::<Vec<_>>();
    let tight = Wants { partition_max_bytes: 1, ..Wants::of("t", &[0, 0]) };
    assert_eq!(sent(fetch(&client, 12, &tight.request()).await), [1, 0]);
    let request = Request { max_bytes: 0, ..Wants::of("t", &[0, 0]).request() };
    assert_eq!(sent(fetch(&client, 12, &request).await), [1, 0]);
    let request = Request { max_bytes: 0, ..Wants::of("t", &[6, 0]).request() };
    assert_eq!(sent(fetch(&client, 12, &request).await), [0, 1]);
}

#[tokio::test]
async fn a_long_poll_ends_with_the_record_it_waited_for() {
    let cluster = Cluster::new();
    let (broker, client, _) = filled(&cluster, 2).await;
    let request = Request { max_wait_ms: 60_000, ..Wants::of("t", &[6, 6]).request() };
    let poll = fetch(&client, 12, &request);
    let other = Client::connect(&broker);
    let (fetched, produced) = tokio::join!(poll, other.produce("t", 1, batch(4).build()));
    assert_eq!(produced.offset(), 6);
    assert_eq!(fetched.partitions[1].batches, [(6, 9)]);
}

#[tokio::test]
async fn an_answer_that_has_not_left_holds_back_the_connections_next_fetch() {
    let cluster = Cluster::new();
    let (broker, client, _) = filled(&cluster, 1).await;
    let wants = Wants::of("t", &[0]);
    let frame = |client: &Client| {
        let request = kafscale_protocol::encode_request(12, 0, None, &wants.request()).expect("fits").to_bytes();
        client.session.on_frame(bytes::BytesMut::from(&request[4..]))
    };
    let unsent = frame(&client).await;
    let mut next = frame(&client);
    assert!(futures_util::FutureExt::now_or_never(&mut next).is_none());
    let elsewhere = frame(&Client::connect(&broker)).await;
    assert!(matches!(elsewhere, kafscale_broker::api::Answer::Respond { .. }), "other connections go on");
    drop(unsent);
    assert!(matches!(next.await, kafscale_broker::api::Answer::Respond { .. }));
}

#[tokio::test]
async fn incompatibility_11_a_session_sends_only_what_is_new() {
    let cluster = Cluster::new();
    let (_, client, _) = filled(&cluster, 3).await;
    let full = Request { session_epoch: 0, ..Wants::of("t", &[6, 6, 6]).request() };
    let opened = fetch(&client, 12, &full).await;
    assert_eq!((opened.error, opened.partitions()), (ErrorCode::None, vec![0, 1, 2]));
    let session_id = opened.session_id;
    assert!(session_id > 0);
    let next = |session_epoch| Request { session_id, session_epoch, ..Wants::of("", &[]).request() };
    assert_eq!(fetch(&client, 12, &next(1)).await.partitions(), [0; 0]);
    client.produce("t", 1, batch(2).build()).await.offset();
    let fetched = fetch(&client, 12, &next(2)).await;
    assert_eq!((fetched.session_id, fetched.partitions()), (session_id, vec![1]));
    assert_eq!(fetched.partitions[0].batches, [(6, 7)]);

    let moved = Request { session_id, session_epoch: 3, ..Wants::of("t", &[6, 8]).request() };
    assert_eq!(fetch(&client, 12, &moved).await.partitions(), [0; 0]);
    client.produce("t", 2, batch(1).build()).await.offset();
    client.produce("t", 0, batch(1).build()).await.offset();
    let topic = ForgottenTopic { topic: "t", partitions: Array::from(vec![2]), ..Default::default() };
    let forgets = Request { forgotten_topics_data: Array::from(vec![topic]), ..next(4) };
    assert_eq!(fetch(&client, 12, &forgets).await.partitions(), [0]);
}

#[tokio::test]
async fn session_mistakes_are_told_at_the_top() {
    let cluster = Cluster::new();
    let (_, client, topic_id) = filled(&cluster, 1).await;
    let full = Request { session_epoch: 0, ..Wants::of("t", &[0]).request() };
    let session_id = fetch(&client, 12, &full).await.session_id;
    let next = |session_id, session_epoch| Request { session_id, session_epoch, ..Wants::of("", &[]).request() };
    let refused = |error| Fetched { error, session_id: 0, partitions: Vec::new() };
    assert_eq!(fetch(&client, 12, &next(session_id ^ 1, 1)).await, refused(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(fetch(&client, 12, &next(session_id, 2)).await, refused(ErrorCode::InvalidFetchSessionEpoch));
    let by_id = Wants { topic_id, ..Wants::of("", &[0]) };
    let by_id = Request { session_id, session_epoch: 1, ..by_id.request() };
    assert_eq!(fetch(&client, 13, &by_id).await, refused(ErrorCode::FetchSessionTopicIdError));
    assert_eq!(fetch(&client, 12, &next(session_id, -1)).await.error, ErrorCode::None);
    assert_eq!(fetch(&client, 12, &next(session_id, 1)).await, refused(ErrorCode::FetchSessionIdNotFound));
}

#[tokio::test]
async fn incompatibility_13_committed_readers_get_an_empty_list_of_aborts_and_others_none() {
    let cluster = Cluster::new();
    let (_, client, _) = filled(&cluster, 1).await;
    for (isolation_level, expected) in [(0, None), (1, Some(0))] {
        let request = Request { isolation_level, ..Wants::of("t", &[0]).request() };
        let reply = client.call(12, &request).await;
        let response: Response<'_> = reply.read();
        let topic = response.responses.iter().next().expect("one");
        let data = topic.partitions.iter().next().expect("one");
        assert_eq!(data.aborted_transactions.map(|aborted| aborted.len()), expected);
        assert_eq!(data.last_stable_offset, 6);
    }
}

#[tokio::test]
async fn a_deleted_topic_ends_a_long_poll() {
    let cluster = Cluster::new();
    let (broker, client, _) = filled(&cluster, 1).await;
    let request = Request { max_wait_ms: 60_000, ..Wants::of("t", &[6]).request() };
    let poll = fetch(&client, 12, &request);
    let other = Client::connect(&broker);
    let delete = async {
        let topics = Array::from(vec!["t"]);
        let request = kafscale_protocol::messages::delete_topics::Request { topic_names: topics, ..Default::default() };
        other.call(5, &request).await;
    };
    let (fetched, ()) = tokio::join!(poll, delete);
    assert_eq!(fetched.partitions[0].error, ErrorCode::UnknownTopicOrPartition);
}

/// Changes the last byte of the last object that holds records.
async fn damage_last_record(store: &dyn Store) {
    for listed in store.list("log/", "", 1_000).await.expect("memory").iter().rev() {
        let mut object = store.get(&listed.name, ReadRange::All).await.expect("memory").to_vec();
        let payload_len = u64::from_be_bytes(object[116..124].try_into().expect("eight bytes"));
        if payload_len > 0 {
            *object.last_mut().expect("it has a payload") ^= 1;
            return store.replace(&listed.name, Body::from(bytes::Bytes::from(object))).await.expect("memory");
        }
    }
    panic!("no object holds records");
}

#[tokio::test]
async fn a_damaged_object_fails_its_range_and_nothing_else() {
    let cluster = Cluster::new();
    let (broker, client, _) = filled(&cluster, 2).await;
    let end = client.produce("t", 0, batch(1).build()).await.offset();
    drop((broker, client));
    damage_last_record(&*cluster.store).await;
    let client = Client::connect(&cluster.start().await);
    let mut wants = [end, 0];
    let mut errors = Vec::new();
    while wants[1] < 6 || errors.is_empty() {
        let fetched = fetch(&client, 12, &Wants::of("t", &wants).request()).await;
        for got in fetched.partitions {
            match got.partition {
                0 if got.error != ErrorCode::None => errors.push(got.error),
                0 => assert_eq!(got.batches, []),
                _ => wants[1] = got.batches.last().map_or(wants[1], |(_, last)| last + 1),
            }
        }
        tokio::task::yield_now().await;
    }
    assert!(errors.iter().all(|error| *error == ErrorCode::KafkaStorageError), "{errors:?}");
    let before = fetch(&client, 12, &Wants::of("t", &[0]).request()).await;
    assert_eq!(before.partitions[0].error, ErrorCode::None);
}

#[tokio::test]
async fn a_drain_answers_long_polls() {
    let cluster = Cluster::new();
    let (broker, client, _) = filled(&cluster, 1).await;
    let patient = |offset| Request { max_wait_ms: i32::MAX, ..Wants::of("t", offset).request() };
    let request = patient(&[6]);
    let waiting = fetch(&client, 12, &request);
    let (fetched, ()) = tokio::join!(waiting, broker.drain());
    assert_eq!((fetched.error, fetched.partitions()), (ErrorCode::None, vec![0]));
    assert_eq!(fetch(&client, 12, &request).await.partitions(), [0], "and those that were read, but not begun");
}
