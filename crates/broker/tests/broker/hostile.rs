//! Requests that a hostile peer could make out of honest ones: the honest ones are Apache Kafka's own bytes, of every API
//! and version. Cut short each closes its connection; with giant counts, negative lengths and wild bytes each is answered
//! or closes its connection; and nobody else notices.

use std::time::Duration;

use bytes::BytesMut;
use kafscale_broker::api::Answer;
use kafscale_protocol::ApiKey;

use crate::{
    common::{Client, batch},
    scripted::{Process, story},
};

/// A whole request frame without its length, and where its body begins.
pub struct Honest {
    pub api: ApiKey,
    pub version: i16,
    pub frame: Vec<u8>,
    pub body_at: usize,
}

pub fn honest() -> impl Iterator<Item = Honest> {
    let lines = include_str!("../../../protocol/tests/golden/kafka.txt").lines();
    lines.filter_map(|line| {
        let words: Vec<_> = line.splitn(5, ' ').collect();
        let api = ApiKey::ALL.iter().copied().find(|api| api.facts().name == words[0]).expect("an API");
        let version: i16 = words[2].parse().expect("a version");
        let hex = words[3].as_bytes().chunks(2);
        let body = hex.map(|two| u8::from_str_radix(str::from_utf8(two).expect("ASCII"), 16).expect("hex"));
        let head = [&api.code().to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 9], &[0, 1, b'c']].concat();
        let mut frame = head;
        frame.extend(api.flexible(version).then_some(0));
        let body_at = frame.len();
        frame.extend(body);
        (words[1] == "Request").then_some(Honest { api, version, frame, body_at })
    })
}

/// What becomes of a frame on a connection of its own; nothing if it waits for more than a minute.
async fn send(process: &Process, client: &Client, frame: &[u8]) -> Option<Answer> {
    let connection = Client::connect(client.session.broker());
    let answer = connection.session.on_frame(BytesMut::from(frame));
    kafscale_runtime::timeout(&**process.runtime(), Duration::from_secs(60), answer).await.ok()
}

#[test]
pub fn honest_requests_are_answered_and_every_truncation_closes_its_connection_only() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let client = Client::connect(&process.cluster.start().await);
        client.create_topic("mine", 1, &[]).await;
        let mut apis = Vec::new();
        for Honest { api, version, frame, body_at } in honest() {
            let answer = send(&process, &client, &frame).await;
            assert!(!matches!(answer, Some(Answer::Close(_))), "{api:?} {version}: {answer:?}");
            for len in body_at..frame.len() {
                let answer = send(&process, &client, &frame[..len]).await;
                assert!(matches!(answer, Some(Answer::Close(_))), "{api:?} {version} cut to {len}: {answer:?}");
            }
            apis.push(api);
        }
        apis.dedup();
        assert!(apis.into_iter().eq(ApiKey::ALL.iter().copied()));
        assert_eq!(client.produce("mine", 0, batch(1).build()).await.offset(), 0);
    });
}

#[test]
fn incompatibility_31_giant_counts_and_negative_lengths_anywhere_disturb_nobody() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let client = Client::connect(&process.cluster.start().await);
        client.create_topic("mine", 1, &[]).await;
        let wild: [&[u8]; 5] =
            [&[0x7f, 0xff, 0xff, 0xff], &[0xff; 4], &[0x80, 0, 0, 0], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0x7f, 0xff]];
        for Honest { api, version, frame, body_at } in honest() {
            let facts = api.facts();
            if ![facts.min, facts.flexible_from, facts.max].contains(&version) {
                continue;
            }
            for at in body_at..frame.len() {
                for bytes in wild {
                    let mut changed = frame.clone();
                    let end = (at + bytes.len()).min(frame.len());
                    changed.splice(at..end, bytes.iter().copied());
                    let answer = send(&process, &client, &changed).await;
                    if api == ApiKey::Produce {
                        continue;
                    }
                    assert!(!matches!(answer, Some(Answer::Silent)), "{api:?} {version} at {at}");
                }
            }
        }
        assert_eq!(client.produce("mine", 0, batch(1).build()).await.offset(), 0);
        assert_eq!(client.session.broker().request_budget().used(), 0);
    });
}
