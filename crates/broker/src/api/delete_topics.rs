//! DeleteTopics (20): by name, and from version 6 by id as well.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::future::join_all;
use kafscale_protocol::{
    ApiKey, Array, ErrorCode, Uuid,
    messages::delete_topics::{DeletableTopicResult, Request, Response},
};
use kafscale_state::{
    State, TopicId, Verdict,
    entry::{Entry, TopicDeleted},
};

use super::{Answer, Call, Refusal, Session, error_codes};

/// A topic as a request names it.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    name: Option<&'a str>,
    id: TopicId,
}

/// What became of one of them.
#[derive(Debug)]
struct Deleted {
    name: Option<String>,
    id: TopicId,
    outcome: Result<(), (ErrorCode, String)>,
}

/// Deletes what exists; every topic has its own result. All of them ride in one object. Before a topic is called unknown,
/// the replica catches up.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    let asked: Vec<Asked<'_>> = match call.version {
        ..6 => request.topic_names.iter().map(|name| Asked { name: Some(name), id: 0 }).collect(),
        _ => {
            let asked = request.topics.iter();
            asked.map(|topic| Asked { name: topic.name, id: u128::from_be_bytes(topic.topic_id.0) }).collect()
        }
    };
    Refusal::unless_few(asked.len())?;
    let broker = session.broker();
    let mut found = broker.replica().read(|state| resolve(state, &asked));
    if found.iter().any(|found| matches!(found.outcome, Err((code, _)) if is_absence(code))) {
        let reached = broker.barrier().await;
        found = broker.replica().read(|state| resolve(state, &asked));
        if let Err(error) = reached {
            let unreached = error_codes::of_barrier(&error);
            let absent = found.iter_mut().filter_map(|found| found.outcome.as_mut().err());
            absent.filter(|(code, _)| is_absence(*code)).for_each(|refused| *refused = (unreached, error.to_string()));
        }
    }
    let deleted = join_all(found.into_iter().map(|found| delete(&session, found))).await;
    let results: Vec<_> = deleted.iter().map(result).collect();
    for result in results.iter().filter(|result| result.error_code != ErrorCode::None) {
        broker.metrics().error(ApiKey::DeleteTopics, result.error_code);
    }
    call.respond(&Response { responses: Array::from(results), ..Default::default() })
}

fn is_absence(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId)
}

/// Finds each topic, once.
fn resolve(state: &State, asked: &[Asked<'_>]) -> Vec<Deleted> {
    let mut seen = BTreeSet::new();
    let find = |asked: &Asked<'_>| {
        let refused = |code, text: &str| Err((code, text.to_owned()));
        let topic = match asked.name {
            Some(name) => state.topic(name),
            None => state.topic_by_id(asked.id),
        };
        let outcome = match (asked.name, topic) {
            (Some(_), _) if asked.id != 0 => {
                refused(ErrorCode::InvalidRequest, "both name and id of a topic are given")
            }
            (None, _) if asked.id == 0 => refused(ErrorCode::InvalidRequest, "neither name nor id of a topic is given"),
            (_, Some(topic)) if !seen.insert(topic.id()) => {
                refused(ErrorCode::InvalidRequest, "the request names this topic twice")
            }
            (_, Some(_)) => Ok(()),
            (Some(_), None) => refused(ErrorCode::UnknownTopicOrPartition, "no topic has this name"),
            (None, None) => refused(ErrorCode::UnknownTopicId, "no topic has this id"),
        };
        // What is refused is answered as it was asked for; it may be that this client should not learn the rest.
        let topic = topic.filter(|_| outcome.is_ok());
        let name = topic.map(|topic| topic.name()).or(asked.name).map(str::to_owned);
        Deleted { name, id: topic.map_or(asked.id, |topic| topic.id()), outcome }
    };
    asked.iter().map(find).collect()
}

async fn delete(session: &Session, mut found: Deleted) -> Deleted {
    if found.outcome.is_ok() {
        let entry = Entry::TopicDeleted(TopicDeleted { id: found.id });
        found.outcome = match session.broker().writer().submit(Some(session.id()), entry, false).await {
            Ok(Verdict::Refused(refused)) => Err((ErrorCode::UnknownTopicOrPartition, refused.to_string())),
            Ok(_) => Ok(()),
            Err(error) => Err((error_codes::of_entry(error), error.to_string())),
        };
    }
    found
}

fn result(deleted: &Deleted) -> DeletableTopicResult<'_> {
    let (error_code, error_message) = match &deleted.outcome {
        Ok(()) => (ErrorCode::None, None),
        Err((code, text)) => (*code, Some(text.as_str())),
    };
    let topic_id = Uuid(deleted.id.to_be_bytes());
    DeletableTopicResult { name: deleted.name.as_deref(), topic_id, error_code, error_message }
}
