//! Metadata (3): brokers and topics. A topic that is asked for by name and does not exist is created where that is allowed.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::join_all;
use kafscale_protocol::{
    ApiKey, Array, ErrorCode, Uuid,
    messages::metadata::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic, Request, Response},
};
use kafscale_state::Topic;

use super::{
    Answer, Call, LEADER_EPOCH, Refusal, Session,
    topic_creation::{NotCreated, Wanted, check_name},
};

/// One topic of the answer, as it was found.
enum Found {
    Topic { name: String, id: u128, partitions: u32 },
    Missing { name: Option<String>, id: u128, error: ErrorCode },
}

impl Found {
    fn topic(topic: &Topic) -> Self {
        Self::Topic { name: topic.name().to_owned(), id: topic.id(), partitions: topic.partition_count() }
    }
}

/// Answers from the replica; before anything is called missing, the replica catches up.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    let asked: Option<Vec<(Option<&str>, u128)>> = request
        .topics
        .as_ref()
        .map(|topics| topics.iter().map(|topic| (topic.name, u128::from_be_bytes(topic.topic_id.0))).collect())
        // In version 0 an empty list asks for all topics.
        .filter(|topics: &Vec<_>| call.version > 0 || !topics.is_empty());
    let create = request.allow_auto_topic_creation && session.settings().auto_create_topics;
    let found = match asked {
        None => {
            // A list of all topics claims the absence of the others.
            let _ = session.broker().barrier().await;
            session.broker().replica().read(|state| state.topics().map(Found::topic).collect())
        }
        Some(asked) => find(&session, &asked, create).await,
    };
    for found in &found {
        if let Found::Missing { error, .. } = found {
            session.broker().metrics().error(ApiKey::Metadata, *error);
        }
    }
    respond(&session, &call, &found)
}

async fn find(session: &Session, asked: &[(Option<&str>, u128)], create: bool) -> Vec<Found> {
    let look = || {
        session.broker().replica().read(|state| {
            let topic = |&(name, id): &(Option<&str>, u128)| match name {
                Some(name) => state.topic(name).map(Found::topic),
                None => state.topic_by_id(id).map(Found::topic),
            };
            asked.iter().map(topic).collect::<Vec<_>>()
        })
    };
    let mut found = look();
    let mut unreachable = None;
    if found.iter().any(Option::is_none) {
        match session.broker().barrier().await {
            Ok(()) => found = look(),
            Err(_) => unreachable = Some(ErrorCode::LeaderNotAvailable),
        }
    }
    let mut created: BTreeMap<&str, Result<(), NotCreated>> = BTreeMap::new();
    if create && unreachable.is_none() {
        let missing = asked.iter().zip(&found).filter(|(_, found)| found.is_none());
        let names: std::collections::BTreeSet<&str> = missing.filter_map(|((name, _), _)| *name).collect();
        let wanted = |name| Wanted { name, partitions: None, settings: BTreeMap::new() };
        let create = names.into_iter().map(|name| async move {
            let result = session.create_topic(wanted(name)).await.map(|_| ());
            // Somebody else was faster: it exists, which is all that was wanted.
            (
                name,
                result
                    .or_else(|refused| if refused.0 == ErrorCode::TopicAlreadyExists { Ok(()) } else { Err(refused) }),
            )
        });
        created = join_all(create).await.into_iter().collect();
        found = look();
    }
    let missing = |&(name, id): &(Option<&str>, u128)| {
        let error = unreachable.unwrap_or_else(|| match name {
            None => ErrorCode::UnknownTopicId,
            Some(name) => match created.get(name) {
                Some(Err((code, _))) => *code,
                Some(Ok(())) => ErrorCode::LeaderNotAvailable,
                None => check_name(name).map_or_else(|(code, _)| code, |()| ErrorCode::UnknownTopicOrPartition),
            },
        });
        Found::Missing { name: name.map(str::to_owned), id, error }
    };
    asked.iter().zip(found).map(|(asked, found)| found.unwrap_or_else(|| missing(asked))).collect()
}

fn respond(session: &Session, call: &Call, found: &[Found]) -> Result<Answer, Refusal> {
    let settings = session.settings();
    let topics: Vec<_> = found.iter().map(|found| topic(found, settings.node_id, call.version)).collect();
    let broker = MetadataResponseBroker {
        node_id: settings.node_id,
        host: &settings.advertised_host,
        port: i32::from(settings.advertised_port),
        rack: settings.rack.as_deref(),
    };
    let cluster_id = session.broker().cluster().kafka_id();
    call.respond(&Response {
        brokers: Array::from(vec![broker]),
        cluster_id: Some(&cluster_id),
        controller_id: settings.node_id,
        topics: Array::from(topics),
        ..Default::default()
    })
}

fn topic(found: &Found, node_id: i32, version: i16) -> MetadataResponseTopic<'_> {
    match found {
        Found::Topic { name, id, partitions } => MetadataResponseTopic {
            name: Some(name),
            topic_id: Uuid(id.to_be_bytes()),
            partitions: Array::from((0..*partitions).map(|index| partition(index, node_id)).collect::<Vec<_>>()),
            ..Default::default()
        },
        Found::Missing { name, id, error } => MetadataResponseTopic {
            error_code: *error,
            // Before version 12 a topic that is unknown by id has an empty name.
            name: name.as_deref().or((version < 12).then_some("")),
            topic_id: Uuid(id.to_be_bytes()),
            ..Default::default()
        },
    }
}

/// Any broker takes writes for any partition; the leader is a hint, and the store is all replicas.
fn partition<'a>(index: u32, node_id: i32) -> MetadataResponsePartition<'a> {
    MetadataResponsePartition {
        partition_index: index as i32,
        leader_id: node_id,
        leader_epoch: LEADER_EPOCH,
        replica_nodes: Array::from(vec![node_id]),
        isr_nodes: Array::from(vec![node_id]),
        ..Default::default()
    }
}
