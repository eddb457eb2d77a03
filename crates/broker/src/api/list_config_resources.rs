//! ListConfigResources (74): what has settings. Version 0 knows client metrics only, under the name
//! ListClientMetricsResources.

use std::{collections::BTreeSet, sync::Arc};

use kafscale_protocol::{
    ApiKey, ErrorCode,
    messages::list_config_resources::{ConfigResource, Request, Response},
};
use kafscale_state::{State, topic::Named};

use super::{
    Answer, Call, Refusal, Session,
    config_resource::code::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC},
    error_codes,
};

const ALL: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];

/// Answers once the replica has caught up. Of groups and client metrics those are listed that have settings, of topics and
/// brokers all.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    let broker = session.broker();
    let refused = |error_code| {
        broker.metrics().error(ApiKey::ListConfigResources, error_code);
        call.respond(&Response { error_code, ..Default::default() })
    };
    let kinds: BTreeSet<i8> = match (call.version, request.resource_types.is_empty()) {
        (0, _) => [CLIENT_METRICS].into(),
        (_, true) => ALL.into(),
        (_, false) => request.resource_types.iter().collect(),
    };
    if !kinds.iter().all(|kind| ALL.contains(kind)) {
        return refused(ErrorCode::UnsupportedVersion);
    }
    if let Err(error) = broker.barrier().await {
        return refused(error_codes::of_barrier(&error));
    }
    let state = broker.replica().snapshot();
    let found = kinds.iter().flat_map(|&resource_type| {
        let names = names(&state, resource_type).into_iter();
        names.map(move |name| (resource_type, name))
    });
    let found: Vec<(i8, String)> = found.collect();
    let listed = found.iter().map(|(kind, name)| ConfigResource { resource_name: name, resource_type: *kind });
    call.respond(&Response { config_resources: listed.collect(), ..Default::default() })
}

fn names(state: &State, kind: i8) -> Vec<String> {
    let named = |kind| state.named(kind).map(|(name, _)| name.to_owned()).collect();
    match kind {
        TOPIC => state.topics().map(|topic| topic.name().to_owned()).collect(),
        BROKER => state.brokers().map(|broker| broker.node_id.to_string()).collect(),
        // No logger can be described: see `config_resource`.
        BROKER_LOGGER => Vec::new(),
        CLIENT_METRICS => named(Named::ClientMetrics),
        _ => named(Named::Group),
    }
}
