//! AlterConfigs (33) and IncrementalAlterConfigs (44): settings change. Either all that a request wants of one resource is
//! done, or nothing of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::future::join_all;
use kafscale_protocol::{
    Array, ErrorCode,
    messages::{alter_configs as whole, incremental_alter_configs as incremental},
};
use kafscale_state::{State, Verdict, entry::Entry, verdict};

use super::{
    Answer, Call, Refusal, Session,
    config_resource::{Refused, Resource},
    error_codes,
};
use crate::config::alter::{Operation, altered, changes};

/// One setting as a request names it: name, operation, value.
type Asked<'a> = (&'a str, i8, Option<&'a str>);

/// What a request wants of one resource.
struct Wanted<'a> {
    kind: i8,
    name: &'a str,
    /// Whether settings that are not named go back to their defaults.
    replace: bool,
    asked: Vec<Asked<'a>>,
}

/// AlterConfigs: the settings that a request names are all that a resource has afterwards.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: whole::Request<'_> = call.request()?;
    Refusal::unless_few(request.resources.iter().map(|resource| resource.configs.len() + 1).sum())?;
    let wanted = request.resources.iter().map(|resource| Wanted {
        kind: resource.resource_type,
        name: resource.resource_name,
        replace: true,
        asked: resource.configs.iter().map(|config| (config.name, SET, config.value)).collect(),
    });
    let wanted: Vec<_> = wanted.collect();
    let outcomes = alter(&session, &call, &wanted, request.validate_only).await;
    let responses = wanted.iter().zip(&outcomes).map(|(wanted, outcome)| {
        let (error_code, error_message) = told(outcome);
        let (resource_type, resource_name) = (wanted.kind, wanted.name);
        whole::AlterConfigsResourceResponse { error_code, error_message, resource_type, resource_name }
    });
    call.respond(&whole::Response { responses: responses.collect(), ..Default::default() })
}

/// IncrementalAlterConfigs: single settings change, lists grow and shrink.
pub async fn handle_incremental(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: incremental::Request<'_> = call.request()?;
    Refusal::unless_few(request.resources.iter().map(|resource| resource.configs.len() + 1).sum())?;
    let wanted = request.resources.iter().map(|resource| Wanted {
        kind: resource.resource_type,
        name: resource.resource_name,
        replace: false,
        asked: resource.configs.iter().map(|config| (config.name, config.config_operation, config.value)).collect(),
    });
    let wanted: Vec<_> = wanted.collect();
    let outcomes = alter(&session, &call, &wanted, request.validate_only).await;
    let responses = wanted.iter().zip(&outcomes).map(|(wanted, outcome)| {
        let (error_code, error_message) = told(outcome);
        let (resource_type, resource_name) = (wanted.kind, wanted.name);
        incremental::AlterConfigsResourceResponse { error_code, error_message, resource_type, resource_name }
    });
    call.respond(&incremental::Response { responses: Array::from(responses.collect::<Vec<_>>()), ..Default::default() })
}

/// Kafka's numbers of the operations that need no list.
const SET: i8 = 0;
const DELETE: i8 = 1;

fn told(outcome: &Result<(), Refused>) -> (ErrorCode, Option<&str>) {
    match outcome {
        Ok(()) => (ErrorCode::None, None),
        Err((code, text)) => (*code, Some(text)),
    }
}

/// Changes one after the other: what a list becomes depends on what it was.
async fn alter(session: &Session, call: &Call, wanted: &[Wanted<'_>], validate_only: bool) -> Vec<Result<(), Refused>> {
    let broker = session.broker();
    let _alone = broker.config_changes().lock().await;
    let reached = broker.barrier().await;
    let state = broker.replica().snapshot();
    let mut times: BTreeMap<(i8, &str), usize> = BTreeMap::new();
    wanted.iter().for_each(|wanted| *times.entry((wanted.kind, wanted.name)).or_default() += 1);
    let plan = |wanted: &Wanted<'_>| {
        if let Err(error) = &reached {
            return Err((error_codes::of_barrier(error), error.to_string()));
        }
        if times[&(wanted.kind, wanted.name)] > 1 {
            return Err((ErrorCode::InvalidRequest, "Each resource must appear at most once.".to_owned()));
        }
        plan(&state, session.settings().node_id, wanted)
    };
    let carry_out = |planned: Result<Option<Entry>, Refused>| async move {
        match planned? {
            Some(entry) if !validate_only => submit(session, entry).await,
            _ => Ok(()),
        }
    };
    let outcomes = join_all(wanted.iter().map(|wanted| carry_out(plan(wanted)))).await;
    for (code, _) in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        broker.metrics().error(call.api, *code);
    }
    outcomes
}

/// The entry that does what is wanted; none if everything is so already.
fn plan(state: &State, node_id: i32, wanted: &Wanted<'_>) -> Result<Option<Entry>, Refused> {
    let refused = |text: String| Err((ErrorCode::InvalidRequest, text));
    let mut seen = BTreeSet::new();
    if !wanted.asked.iter().all(|(name, ..)| seen.insert(*name)) {
        return refused("Error due to duplicate config keys".to_owned());
    }
    let null = |(_, operation, value): &&Asked<'_>| *operation != DELETE && value.is_none();
    let nulls: Vec<&str> = wanted.asked.iter().filter(null).map(|(name, ..)| *name).take(SHOWN_MAX).collect();
    if !nulls.is_empty() {
        return refused(format!("Null value not supported for : {}", nulls.join(", ")));
    }
    let resource = Resource::parse(wanted.kind, wanted.name, node_id)?;
    let mut operations = Vec::with_capacity(wanted.asked.len());
    for &(name, operation, value) in &wanted.asked {
        match Operation::new(operation, value) {
            Some(operation) => operations.push((name, operation)),
            None => return refused(format!("Unknown operations type {operation}")),
        }
    }
    let before = resource.settings(state);
    let basis = if wanted.replace { Default::default() } else { before.clone() };
    let after = altered(resource.definitions(), &basis, &operations);
    let after = after.and_then(|after| resource.check(&after).map(|()| after));
    let after = after.map_err(|error| (error.code(), error.to_string()))?;
    let changes = changes(&before, &after);
    let nothing = changes.is_empty();
    let entry = resource.entry(state, changes)?;
    Ok((!nothing).then_some(entry))
}

/// Names that an answer repeats at most: it must stay short whatever was asked.
const SHOWN_MAX: usize = 10;

async fn submit(session: &Session, entry: Entry) -> Result<(), Refused> {
    let verdict = session.broker().writer().submit(Some(session.id()), entry, false).await;
    match verdict.map_err(|error| (error_codes::of_entry(error), error.to_string()))? {
        Verdict::Refused(refused) => {
            let code = match refused {
                verdict::Refused::UnknownTopic => ErrorCode::UnknownTopicOrPartition,
                _ => ErrorCode::InvalidConfig,
            };
            Err((code, refused.to_string()))
        }
        _ => Ok(()),
    }
}
