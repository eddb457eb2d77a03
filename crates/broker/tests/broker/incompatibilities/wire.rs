//! The form of answers.

use bytes::BytesMut;
use kafscale_broker::api::Answer;
use kafscale_protocol::{AnyResponse, ApiKey, encode_request, messages::api_versions, read_response_header};

use crate::{
    common::{Client, Cluster, NOW_MS},
    fetch::{Wants, filled},
    hostile::{Honest, honest},
    scripted::{Process, story},
};

/// What Apache Kafka 4.3 advertises of the APIs that are served here.
const KAFKA: [(i16, i16, i16); 13] = [
    (0, 0, 13),
    (1, 4, 18),
    (2, 1, 11),
    (3, 0, 13),
    (10, 0, 6),
    (18, 0, 4),
    (19, 2, 7),
    (20, 1, 6),
    (22, 0, 5),
    (23, 2, 4),
    (32, 1, 4),
    (60, 0, 2),
    (75, 0, 0),
];

#[tokio::test]
async fn incompatibility_05_ranges_are_those_of_kafka() {
    let client = Client::connect(&Cluster::new().start().await);
    let request = api_versions::Request { client_software_name: "sarama", client_software_version: "1.45" };
    let reply = client.call(4, &request).await;
    let response: api_versions::Response<'_> = reply.read();
    let ranges: Vec<_> = response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
    assert_eq!(ranges, KAFKA);
}

#[tokio::test]
async fn incompatibility_07_records_are_empty_and_never_null() {
    let (_broker, client, topic_id) = filled(&Cluster::new(), 1).await;
    // Nothing new, an offset out of range, and a topic that does not exist.
    for (topic, topic_id, offset) in [("t", topic_id, 6), ("t", topic_id, 99), ("other", Default::default(), 0)] {
        for version in 4..=18 {
            let offsets = [offset];
            let wants = Wants { topic_id, ..Wants::of(topic, &offsets) };
            let frame = encode_request(version, 1, None, &wants.request()).expect("fits").to_bytes();
            let answer = client.session.on_frame(BytesMut::from(&frame[4..])).await;
            let Answer::Respond { parts, .. } = answer else { panic!("no answer but {answer:?}") };
            let answer = parts.concat();
            // The records are the last field; behind them come only the tagged fields of three levels.
            let empty: &[u8] = if version < 12 { &[0, 0, 0, 0] } else { &[1, 0, 0, 0] };
            assert!(answer.ends_with(empty), "version {version}: {answer:?}");
        }
    }
}

#[test]
fn incompatibility_08_every_answer_is_one_of_its_own_version_to_the_last_byte() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        assert!(process.runtime().wall_clock_ms() >= NOW_MS);
        let broker = process.cluster.start().await;
        let mut answered = Vec::new();
        for Honest { api, version, frame, .. } in honest() {
            let client = Client::connect(&broker);
            match client.session.on_frame(BytesMut::from(&frame[..])).await {
                Answer::Respond { parts, .. } => {
                    let answer = parts.concat();
                    let length = i32::from_be_bytes(answer[..4].try_into().expect("four bytes"));
                    assert_eq!(length as usize, answer.len() - 4, "{api:?} {version}");
                    let (correlation_id, body) = read_response_header(api, version, &answer[4..]).expect("a header");
                    assert_eq!(correlation_id, 9);
                    // Bytes left over would be an error.
                    AnyResponse::read(api, version, body).unwrap_or_else(|e| panic!("{api:?} {version}: {e}"));
                    answered.push(api);
                }
                Answer::Silent => assert_eq!(api, ApiKey::Produce),
                Answer::Close(reason) => panic!("{api:?} {version}: {reason}"),
            }
        }
        answered.dedup();
        assert!(answered.into_iter().eq(ApiKey::ALL.iter().copied().filter(|api| api.is_served())));
    });
}
