//! AlterPartitionReassignments (45), ListPartitionReassignments (46) and ElectLeaders (43), where every partition has one
//! replica, which this broker leads: what is wanted is so already, or cannot be.

use std::sync::Arc;

use kafscale_protocol::{
    ApiKey, Array, ErrorCode,
    messages::{alter_partition_reassignments as alter, elect_leaders as elect, list_partition_reassignments as list},
};
use kafscale_state::State;

use super::{Answer, Call, Refusal, Session, create_partitions::check_replicas, error_codes, find_partition};

/// What becomes of one partition: Kafka's code and words.
type Outcome = (ErrorCode, Option<String>);

/// Kafka's numbers of the kinds of elections: of the preferred leader, and of any.
const ELECTIONS: [i8; 2] = [0, 1];

/// Reassigns to where the replica is already; nothing is ever under way that could be cancelled.
pub async fn handle_alter(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: alter::Request<'_> = call.request()?;
    Refusal::unless_few(request.topics.iter().map(|topic| topic.partitions.len().max(1)).sum())?;
    let broker = session.broker();
    let allow_replication_factor_change = request.allow_replication_factor_change;
    if let Err(error) = broker.barrier().await {
        let error_code = error_codes::of_barrier(&error);
        return call.respond(&alter::Response { error_code, allow_replication_factor_change, ..Default::default() });
    }
    let state = broker.replica().snapshot();
    let node_id = session.settings().node_id;
    let judge = |topic: &str, partition: &alter::ReassignablePartition<'_>| {
        reassign(&state, node_id, topic, partition.partition_index, partition.replicas.as_ref())
    };
    let outcomes: Vec<(i32, Outcome)> = request
        .topics
        .iter()
        .flat_map(|topic| {
            let judged =
                topic.partitions.iter().map(|partition| (partition.partition_index, judge(topic.name, &partition)));
            judged.collect::<Vec<_>>()
        })
        .collect();
    let mut rest = outcomes.iter();
    let mut responses = Vec::with_capacity(request.topics.len());
    for topic in request.topics.iter() {
        let partitions = rest.by_ref().take(topic.partitions.len()).map(|(partition_index, (error_code, text))| {
            if *error_code != ErrorCode::None {
                broker.metrics().error(ApiKey::AlterPartitionReassignments, *error_code);
            }
            alter::ReassignablePartitionResponse {
                partition_index: *partition_index,
                error_code: *error_code,
                error_message: text.as_deref(),
            }
        });
        responses.push(alter::ReassignableTopicResponse { name: topic.name, partitions: partitions.collect() });
    }
    let responses = Array::from(responses);
    call.respond(&alter::Response { allow_replication_factor_change, responses, ..Default::default() })
}

fn reassign(state: &State, node_id: i32, topic: &str, index: i32, replicas: Option<&Array<'_, i32>>) -> Outcome {
    if state.topic(topic).is_none() {
        return (ErrorCode::UnknownTopicOrPartition, Some("Unable to find a topic of this name.".to_owned()));
    }
    if find_partition(state, topic, index).is_none() {
        return (ErrorCode::UnknownTopicOrPartition, Some(format!("Unable to find partition {topic}:{index}.")));
    }
    match replicas {
        None => {
            let text = "No partition reassignment is in progress.";
            (ErrorCode::NoReassignmentInProgress, Some(text.to_owned()))
        }
        Some(replicas) => match check_replicas(replicas, node_id) {
            Ok(()) => (ErrorCode::None, None),
            Err((code, text)) => (code, Some(text)),
        },
    }
}

/// Nothing is ever under way.
pub async fn handle_list(_session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let _request: list::Request<'_> = call.request()?;
    call.respond(&list::Response::default())
}

/// No partition needs an election. Where all are asked for, those that need none are not told.
pub async fn handle_elect(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: elect::Request<'_> = call.request()?;
    let broker = session.broker();
    let refused = |error_code| {
        broker.metrics().error(ApiKey::ElectLeaders, error_code);
        call.respond(&elect::Response { error_code, ..Default::default() })
    };
    let Some(asked) = request.topic_partitions.as_ref() else {
        return call.respond(&elect::Response::default());
    };
    Refusal::unless_few(asked.iter().map(|topic| topic.partitions.len().max(1)).sum())?;
    let refusal = match broker.barrier().await {
        Err(error) => Some(error_codes::of_barrier(&error)),
        Ok(()) => (!ELECTIONS.contains(&request.election_type)).then_some(ErrorCode::InvalidRequest),
    };
    // Version 0 has no error for the whole.
    if let Some(code) = refusal.filter(|_| call.version > 0) {
        return refused(code);
    }
    let state = broker.replica().snapshot();
    let unknown = "No such topic or partition";
    let results = asked.iter().map(|topic| {
        let partition = |partition_id| match (refusal, find_partition(&state, topic.topic, partition_id)) {
            (Some(code), _) => (partition_id, code, None),
            (None, Some(_)) => (partition_id, ErrorCode::ElectionNotNeeded, None),
            (None, None) => (partition_id, ErrorCode::UnknownTopicOrPartition, Some(unknown)),
        };
        let results = topic.partitions.iter().map(partition);
        let results = results.map(|(partition_id, error_code, error_message)| elect::PartitionResult {
            partition_id,
            error_code,
            error_message,
        });
        elect::ReplicaElectionResult { topic: topic.topic, partition_result: results.collect() }
    });
    call.respond(&elect::Response { replica_election_results: results.collect(), ..Default::default() })
}
