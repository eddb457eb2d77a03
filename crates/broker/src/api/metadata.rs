//! Metadata (3): brokers and topics. A topic that is asked for by name and does not exist is created where that is allowed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::future::join_all;
use kafscale_protocol::{
    ApiKey, Array, ErrorCode, Uuid,
    messages::metadata::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic, Request, Response},
};
use kafscale_state::{State, Topic, TopicId};

use super::{
    Answer, Call, LEADER_EPOCH, Refusal, Session, error_codes, operations,
    topic_creation::{Wanted, check_name},
};

/// Topics that one request may create; for the others the client asks again.
const CREATED_MAX: usize = 1_000;

/// A topic as a request names it: by id if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked<'a> {
    Name(&'a str),
    Id(TopicId),
}

impl<'a> Asked<'a> {
    fn find<'s>(&self, state: &'s State) -> Option<&'s Topic> {
        match self {
            Self::Name(name) => state.topic(name),
            Self::Id(id) => state.topic_by_id(*id),
        }
    }

    /// What is said of a topic that is not there and was not created.
    fn absence(&self) -> ErrorCode {
        match self {
            Self::Name(name) => check_name(name).map_or_else(|(code, _)| code, |()| ErrorCode::UnknownTopicOrPartition),
            Self::Id(_) => ErrorCode::UnknownTopicId,
        }
    }
}

/// Answers from the replica; before one topic is called missing the replica catches up, and before all are listed it tries.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    let named = request.topics.as_ref().map_or(0, Array::len);
    Refusal::unless_few(named)?;
    // In version 0 an empty list asks for all topics.
    if request.topics.is_none() || (call.version == 0 && named == 0) {
        let fenced = session.broker().catch_up_to_list().await.err();
        return respond_all(&session, &call, &request, fenced.map(|error| error_codes::of_barrier(&error)));
    }
    let asked = asked(&request);
    let (state, errors) = find(&session, &asked, request.allow_auto_topic_creation).await;
    let topics: Vec<_> = asked
        .iter()
        .map(|asked| match asked.find(&state) {
            Some(topic) => described(topic, &session, &request),
            None => missing(asked, errors.get(asked).copied().unwrap_or_else(|| asked.absence()), call.version),
        })
        .collect();
    for topic in topics.iter().filter(|topic| topic.error_code != ErrorCode::None) {
        session.broker().metrics().error(ApiKey::Metadata, topic.error_code);
    }
    respond(&session, &call, &request, Response { topics: Array::from(topics), ..Default::default() })
}

/// What is asked for, each once: else a small request would have a giant answer.
fn asked<'a>(request: &Request<'a>) -> Vec<Asked<'a>> {
    let mut seen = BTreeSet::new();
    let topics = request.topics.iter().flat_map(|topics| topics.iter()).map(|topic| {
        match (u128::from_be_bytes(topic.topic_id.0), topic.name) {
            (0, Some(name)) => Asked::Name(name),
            (id, _) => Asked::Id(id),
        }
    });
    topics.filter(|asked| seen.insert(*asked)).collect()
}

/// A state that is good enough to answer from, and why topics are missing in it where the reason is not plain absence.
async fn find<'a>(session: &Session, asked: &[Asked<'a>], may_create: bool) -> (State, BTreeMap<Asked<'a>, ErrorCode>) {
    let broker = session.broker();
    let missing = |state: &State| -> Vec<Asked<'a>> {
        asked.iter().copied().filter(|asked| asked.find(state).is_none()).collect()
    };
    let state = broker.replica().snapshot();
    if missing(&state).is_empty() {
        return (state, BTreeMap::new());
    }
    drop(state);
    let reached = broker.barrier().await;
    let state = broker.replica().snapshot();
    let absent = missing(&state);
    if let Err(error) = reached {
        let unreached = error_codes::of_barrier(&error);
        return (state, absent.into_iter().map(|asked| (asked, unreached)).collect());
    }
    if absent.is_empty() || !(may_create && session.settings().auto_create_topics) {
        return (state, BTreeMap::new());
    }
    drop(state);
    let errors = create(session, &absent).await;
    (broker.replica().snapshot(), errors)
}

/// Creates topics of these names, all in one object if there is room, and says what became of those that do not exist now.
async fn create<'a>(session: &Session, absent: &[Asked<'a>]) -> BTreeMap<Asked<'a>, ErrorCode> {
    let created = absent.iter().enumerate().map(|(index, asked)| async move {
        let Asked::Name(name) = *asked else { return (*asked, asked.absence()) };
        if index >= CREATED_MAX {
            return (*asked, ErrorCode::LeaderNotAvailable);
        }
        let partitions = session.settings().default_partitions;
        let wanted = Wanted { name, partitions, settings: BTreeMap::new() };
        let created = match session.check_free(name) {
            Ok(()) => session.create_topic(wanted).await,
            Err(refused) => Err(refused),
        };
        let code = match created {
            // If somebody else was faster it exists, which is all that was wanted. If it is deleted before the answer is
            // made, the client asks again.
            Ok(_) | Err((ErrorCode::TopicAlreadyExists, _)) => ErrorCode::LeaderNotAvailable,
            Err((code, _)) => code,
        };
        (*asked, code)
    });
    join_all(created).await.into_iter().collect()
}

fn respond_all(
    session: &Session,
    call: &Call,
    request: &Request<'_>,
    fenced: Option<ErrorCode>,
) -> Result<Answer, Refusal> {
    if let Some(error_code) = fenced {
        session.broker().metrics().error(ApiKey::Metadata, error_code);
        // Older versions have no place for it. The client connects anew, to the broker that has taken over.
        return match call.version {
            13.. => respond(session, call, request, Response { error_code, ..Default::default() }),
            _ => Err(Refusal::Closed("another broker has taken over".to_owned())),
        };
    }
    let state = session.broker().replica().snapshot();
    let topics = state.topics().map(|topic| described(topic, session, request)).collect();
    respond(session, call, request, Response { topics, ..Default::default() })
}

fn respond<'a>(
    session: &'a Session,
    call: &Call,
    request: &Request<'_>,
    response: Response<'a>,
) -> Result<Answer, Refusal> {
    let settings = session.settings();
    let broker = MetadataResponseBroker {
        node_id: settings.node_id,
        host: &settings.advertised_host,
        port: i32::from(settings.advertised_port),
        rack: settings.rack.as_deref(),
    };
    let cluster_id = session.broker().cluster().kafka_id();
    let mut response = Response {
        brokers: Array::from(vec![broker]),
        cluster_id: Some(&cluster_id),
        controller_id: settings.node_id,
        ..response
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = operations::ON_CLUSTER;
    }
    call.respond(&response)
}

fn described<'a>(topic: &'a Topic, session: &'a Session, request: &Request<'_>) -> MetadataResponseTopic<'a> {
    let node = std::slice::from_ref(&session.settings().node_id);
    let mut described = MetadataResponseTopic {
        name: Some(topic.name()),
        topic_id: Uuid(topic.id().to_be_bytes()),
        partitions: (0..topic.partition_count()).map(|index| partition(index, node)).collect(),
        ..Default::default()
    };
    if request.include_topic_authorized_operations {
        described.topic_authorized_operations = operations::ON_TOPIC;
    }
    described
}

fn missing<'a>(asked: &Asked<'a>, error_code: ErrorCode, version: i16) -> MetadataResponseTopic<'a> {
    let (name, id) = match *asked {
        Asked::Name(name) => (Some(name), 0),
        // Before version 12 a topic that is unknown by id has an empty name.
        Asked::Id(id) => ((version < 12).then_some(""), id),
    };
    MetadataResponseTopic { error_code, name, topic_id: Uuid(id.to_be_bytes()), ..Default::default() }
}

/// Any broker takes writes for any partition; the leader is a hint, and the store is all replicas.
fn partition(index: u32, node: &[i32]) -> MetadataResponsePartition<'_> {
    MetadataResponsePartition {
        partition_index: index as i32,
        leader_id: node[0],
        leader_epoch: LEADER_EPOCH,
        replica_nodes: Array::from(node),
        isr_nodes: Array::from(node),
        ..Default::default()
    }
}
