//! CreatePartitions (37): topics get more partitions.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::join_all;
use kafscale_protocol::{
    ApiKey, Array, ErrorCode,
    messages::create_partitions::{CreatePartitionsTopic, CreatePartitionsTopicResult, Request, Response},
};
use kafscale_state::{
    State, Verdict,
    entry::{Entry, PartitionsAdded},
    limits::Limits,
    verdict::Refused,
};

use super::{Answer, Call, Refusal, Session, create_topics::PARTITIONS_MAX, error_codes};

/// Why a topic stays as it is: Kafka's code and words.
type NotAdded = (ErrorCode, String);

/// Adds what can be added; every topic has its own result. All of them ride in one object.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.topics.len())?;
    let broker = session.broker();
    let reached = broker.barrier().await;
    let state = broker.replica().snapshot();
    let topics: Vec<CreatePartitionsTopic<'_>> = request.topics.iter().collect();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    topics.iter().for_each(|topic| *times.entry(topic.name).or_default() += 1);
    let mut room = PARTITIONS_MAX;
    let mut plan = |topic: &CreatePartitionsTopic<'_>| {
        if let Err(error) = &reached {
            return Err((error_codes::of_barrier(error), error.to_string()));
        }
        if times[topic.name] > 1 {
            return Err((ErrorCode::InvalidRequest, "Duplicate topic name.".to_owned()));
        }
        let entry = plan(&state, session.settings().node_id, topic)?;
        let text = || format!("a request may create {PARTITIONS_MAX} partitions");
        room = room.checked_sub(entry.after - entry.before).ok_or_else(|| (ErrorCode::PolicyViolation, text()))?;
        Ok(entry)
    };
    let planned: Vec<_> = topics.iter().map(|topic| (topic.name, plan(topic))).collect();
    let session = &session;
    let outcomes = join_all(planned.into_iter().map(|(name, planned)| async move {
        let outcome = match planned {
            Ok(entry) if !request.validate_only => submit(session, entry).await,
            planned => planned.map(drop),
        };
        (name, outcome)
    }));
    let outcomes = outcomes.await;
    let result = |(name, outcome)| {
        let (error_code, error_message) = match outcome {
            &Ok(()) => (ErrorCode::None, None),
            Err((code, text)) => (*code, Some(text)),
        };
        CreatePartitionsTopicResult { name, error_code, error_message: error_message.map(String::as_str) }
    };
    let results: Vec<_> = outcomes.iter().map(|(name, outcome)| result((*name, outcome))).collect();
    for result in results.iter().filter(|result| result.error_code != ErrorCode::None) {
        broker.metrics().error(ApiKey::CreatePartitions, result.error_code);
    }
    call.respond(&Response { results: Array::from(results), ..Default::default() })
}

/// The entry that does what is wanted of one topic. Replicas may be assigned, to this broker alone: there is no other.
fn plan(state: &State, node_id: i32, wanted: &CreatePartitionsTopic<'_>) -> Result<PartitionsAdded, NotAdded> {
    let unknown = || (ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition.".to_owned());
    let topic = state.topic(wanted.name).ok_or_else(unknown)?;
    let before = topic.partition_count();
    let most = Limits::default().partitions_per_topic;
    let after = match u32::try_from(wanted.count) {
        Ok(after) if after > most => Err(format!("a topic has 1 to {most} partitions")),
        Ok(after) if after > before => Ok(after),
        Ok(after) if after == before => Err(format!("Topic already has {before} partition(s).")),
        _ => Err(format!(
            "The topic {} currently has {before} partition(s); {} would not be an increase.",
            wanted.name, wanted.count
        )),
    };
    let after = after.map_err(|text| (ErrorCode::InvalidPartitions, text))?;
    if let Some(assignments) = &wanted.assignments {
        let refused = |text| Err((ErrorCode::InvalidReplicaAssignment, text));
        if assignments.len() != (after - before) as usize {
            return refused(format!(
                "Attempted to add {} additional partition(s), but only {} assignment(s) were specified.",
                after - before,
                assignments.len()
            ));
        }
        for assignment in assignments.iter() {
            check_replicas(&assignment.broker_ids, node_id)?;
        }
    }
    Ok(PartitionsAdded { id: topic.id(), before, after })
}

/// Kafka's rules for replicas that are assigned by hand, where this broker is the only one.
pub(super) fn check_replicas(replicas: &Array<'_, i32>, node_id: i32) -> Result<(), NotAdded> {
    let text = match replicas.iter().find(|id| *id != node_id) {
        Some(other) => {
            format!("The manual partition assignment includes broker {other}, but no such broker is registered.")
        }
        None if replicas.is_empty() => "The manual partition assignment includes an empty replica list.".to_owned(),
        None if replicas.len() > 1 => {
            format!("The manual partition assignment includes the broker {node_id} more than once.")
        }
        None => return Ok(()),
    };
    Err((ErrorCode::InvalidReplicaAssignment, text))
}

async fn submit(session: &Session, entry: PartitionsAdded) -> Result<(), NotAdded> {
    let entry = Entry::PartitionsAdded(entry);
    let verdict = session.broker().writer().submit(Some(session.id()), entry, false).await;
    match verdict.map_err(|error| (error_codes::of_entry(error), error.to_string()))? {
        Verdict::Refused(refused) => {
            let code = match refused {
                Refused::UnknownTopic => ErrorCode::UnknownTopicOrPartition,
                Refused::TooManyPartitions => ErrorCode::PolicyViolation,
                _ => ErrorCode::InvalidPartitions,
            };
            Err((code, refused.to_string()))
        }
        _ => Ok(()),
    }
}
