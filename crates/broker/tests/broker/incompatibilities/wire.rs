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

/// What Apache Kafka 4.3 advertises to clients: key, lowest and highest version.
#[rustfmt::skip]
const KAFKA: &[(i16, i16, i16)] = &[
    (0, 0, 13), (1, 4, 18), (2, 1, 11), (3, 0, 13), (8, 2, 10), (9, 1, 10), (10, 0, 6), (11, 0, 9),
    (12, 0, 4), (13, 0, 5), (14, 0, 5), (15, 0, 6), (16, 0, 5), (17, 0, 1), (18, 0, 4), (19, 2, 7),
    (20, 1, 6), (21, 0, 2), (22, 0, 5), (23, 2, 4), (24, 0, 5), (25, 0, 4), (26, 0, 5), (27, 1, 2),
    (28, 0, 5), (29, 1, 3), (30, 1, 3), (31, 1, 3), (32, 1, 4), (33, 0, 2), (34, 1, 2), (35, 1, 5),
    (36, 0, 2), (37, 0, 3), (38, 1, 3), (39, 1, 2), (40, 1, 2), (41, 1, 3), (42, 0, 2), (43, 0, 2),
    (44, 0, 1), (45, 0, 1), (46, 0, 0), (47, 0, 0), (48, 0, 1), (49, 0, 1), (50, 0, 0), (51, 0, 0),
    (55, 0, 2), (57, 0, 2), (60, 0, 2), (61, 0, 0), (64, 0, 0), (65, 0, 0), (66, 0, 2), (68, 0, 1),
    (69, 0, 1), (71, 0, 0), (72, 0, 0), (74, 0, 1), (75, 0, 0), (76, 1, 1), (77, 1, 1), (78, 1, 2),
    (79, 1, 2), (80, 0, 1), (81, 0, 0), (83, 0, 0), (84, 0, 0), (85, 0, 1), (86, 0, 0), (87, 0, 1),
    (88, 0, 0), (89, 0, 0), (90, 0, 1), (91, 0, 0), (92, 0, 0),
];

#[tokio::test]
async fn incompatibility_05_ranges_are_those_of_kafka() {
    let client = Client::connect(&Cluster::new().start().await);
    let request = api_versions::Request { client_software_name: "sarama", client_software_version: "1.45" };
    let reply = client.call(4, &request).await;
    let response: api_versions::Response<'_> = reply.read();
    let ranges: Vec<_> = response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
    assert!(ranges.len() >= 18 && ranges.is_sorted());
    for range in ranges {
        assert!(KAFKA.contains(&range), "{range:?}");
    }
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
        assert!(answered.into_iter().eq(ApiKey::ALL.iter().copied()));
    });
}
