//! ConsumerGroupHeartbeat (68): a member of a KIP-848 group joins, lives and leaves, and hears what it shall own.

use std::{collections::BTreeMap, sync::Arc};

use kafscale_protocol::{
    ApiKey, ErrorCode, Uuid,
    messages::consumer_group_heartbeat::{Assignment, Request, Response, TopicPartitions},
};
use kafscale_state::{
    State,
    group::{LEFT_STATIC_EPOCH, Partitions},
};

use super::{Answer, Call, Refusal, Session, error_codes};
use crate::{
    config::group::GroupConfig,
    groups::{
        Error,
        consumer::{self, Heartbeat},
    },
};

/// The first version in which members name themselves, and subscribe by regular expressions.
const NAMES_ITSELF: i16 = 1;
/// The longest id of a member, instance or rack in bytes; clients use UUIDs and host names.
const ID_BYTES_MAX: usize = 1 << 10;

/// Answers once what has changed is in the log and applied; at once if nothing has.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    let owned = request.topic_partitions.iter().flatten().map(|topic| 1 + topic.partitions.len()).sum::<usize>();
    Refusal::unless_few(owned + request.subscribed_topic_names.as_ref().map_or(0, |names| names.len()))?;
    if let Err(message) = check(&request, call.version) {
        return refuse(&session, &call, ErrorCode::InvalidRequest, message);
    }
    let groups = session.broker().groups();
    let beaten = match groups.ready(request.group_id).await {
        Ok(()) => beat(&session, &call, &request).await,
        Err(error) => Err(error),
    };
    match beaten {
        Ok(answer) => respond(&session, &call, request.group_id, &answer),
        Err(error) => refuse(&session, &call, error_codes::of_group(error), &error.to_string()),
    }
}

/// Kafka's rules of form, with its words.
fn check(request: &Request<'_>, version: i16) -> Result<(), &'static str> {
    let is_blank = |text: &str| text.trim().is_empty();
    let is_long = |text: Option<&str>| text.is_some_and(|text| text.len() > ID_BYTES_MAX);
    if is_blank(request.group_id) {
        return Err("GroupId can't be empty.");
    }
    if is_blank(request.member_id) && (version >= NAMES_ITSELF || request.member_epoch != 0) {
        return Err("MemberId can't be empty.");
    }
    if request.instance_id.is_some_and(is_blank) {
        return Err("InstanceId can't be empty.");
    }
    if request.rack_id.is_some_and(is_blank) {
        return Err("RackId can't be empty.");
    }
    if is_long(Some(request.member_id)) || is_long(request.instance_id) || is_long(request.rack_id) {
        return Err("An id is too long.");
    }
    match request.member_epoch {
        0 if request.rebalance_timeout_ms == -1 => Err("RebalanceTimeoutMs must be provided in first request."),
        0 if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            Err("TopicPartitions must be empty when (re-)joining.")
        }
        0 if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() => {
            Err("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
        }
        LEFT_STATIC_EPOCH if request.instance_id.is_none() => Err("InstanceId can't be null."),
        ..LEFT_STATIC_EPOCH => Err("MemberEpoch is invalid."),
        _ => Ok(()),
    }
}

async fn beat(session: &Session, call: &Call, request: &Request<'_>) -> Result<consumer::Answer, Error> {
    let broker = session.broker();
    let owned = request.topic_partitions.as_ref().map(|_| broker.replica().read(|state| owned(state, request)));
    // Before version 1 the coordinator names a member that has no name.
    let named = match request.member_id.trim().is_empty() {
        true => broker.groups().member_id(),
        false => request.member_id.to_owned(),
    };
    let beat = Heartbeat {
        member_id: &named,
        epoch: request.member_epoch,
        instance_id: request.instance_id,
        rack_id: request.rack_id,
        rebalance_timeout_ms: (request.rebalance_timeout_ms != -1).then_some(request.rebalance_timeout_ms),
        topics: request.subscribed_topic_names.as_ref().map(|names| names.iter().collect()),
        pattern: request.subscribed_topic_regex,
        assignor: request.server_assignor,
        owned,
        client_id: call.client_id.as_deref().unwrap_or_default(),
        client_host: session.host(),
    };
    broker.groups().consumer_heartbeat(request.group_id, &beat).await
}

/// The partitions that a member owns. Those of topics that are gone are nobody's.
fn owned(state: &State, request: &Request<'_>) -> Partitions {
    let mut owned = Partitions::new();
    for topic in request.topic_partitions.iter().flatten() {
        if let Some(found) = state.topic_by_id(u128::from_be_bytes(topic.topic_id.0)) {
            let indexes = topic.partitions.iter().filter_map(|index| u32::try_from(index).ok());
            owned.extend(indexes.filter_map(|index| found.handle(index)));
        }
    }
    owned
}

fn respond(session: &Session, call: &Call, group: &str, answer: &consumer::Answer) -> Result<Answer, Refusal> {
    let assigned = answer.assignment.as_ref().map(|partitions| {
        let mut topics: BTreeMap<u128, Vec<i32>> = BTreeMap::new();
        session.broker().replica().read(|state| {
            for found in partitions.iter().filter_map(|handle| state.partition(*handle)) {
                topics.entry(found.topic().id()).or_default().push(found.index() as i32);
            }
        });
        topics
    });
    let assignment = assigned.as_ref().map(|topics| {
        let topics = topics.iter().map(|(id, partitions)| TopicPartitions {
            topic_id: Uuid(id.to_be_bytes()),
            partitions: partitions.as_slice().into(),
        });
        Assignment { topic_partitions: topics.collect() }
    });
    let config = session.broker().replica().read(|state| GroupConfig::of(state, group));
    call.respond(&Response {
        member_id: Some(&answer.member_id),
        member_epoch: answer.epoch,
        heartbeat_interval_ms: config.heartbeat_interval_ms,
        assignment,
        ..Default::default()
    })
}

fn refuse(session: &Session, call: &Call, error_code: ErrorCode, message: &str) -> Result<Answer, Refusal> {
    session.broker().metrics().error(ApiKey::ConsumerGroupHeartbeat, error_code);
    call.respond(&Response { error_code, error_message: Some(message), ..Default::default() })
}
