//! DescribeClientQuotas (48) and AlterClientQuotas (49). There are no quotas here: none is shown, and none is taken that would
//! not be kept.

use std::sync::Arc;

use kafscale_protocol::{
    ApiKey, Array, ErrorCode,
    messages::{alter_client_quotas as alter, describe_client_quotas as describe},
};

use super::{Answer, Call, Refusal, Session};

/// What quotas may be for.
const ENTITIES: [&str; 3] = ["user", "client-id", "ip"];

/// There are none.
pub async fn handle_describe(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: describe::Request<'_> = call.request()?;
    if let Some(text) = request.components.iter().find_map(|component| unknown_entity(component.entity_type)) {
        session.broker().metrics().error(ApiKey::DescribeClientQuotas, ErrorCode::InvalidRequest);
        let (error_code, error_message) = (ErrorCode::InvalidRequest, Some(text));
        return call.respond(&describe::Response { error_code, error_message, ..Default::default() });
    }
    call.respond(&describe::Response { entries: Some(Array::EMPTY), ..Default::default() })
}

fn unknown_entity(entity: &str) -> Option<&'static str> {
    match entity {
        "" => Some("Unexpected empty filter component entity type."),
        _ if !ENTITIES.contains(&entity) => Some("Unsupported client quota entity type"),
        _ => None,
    }
}

/// Takes quotas away that are not there, and sets none.
pub async fn handle_alter(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: alter::Request<'_> = call.request()?;
    Refusal::unless_few(request.entries.iter().map(|entry| entry.entity.len() + entry.ops.len() + 1).sum())?;
    let entries = request.entries.iter().map(|entry| {
        let refusal = refusal(&entry);
        if refusal.is_some() {
            session.broker().metrics().error(ApiKey::AlterClientQuotas, ErrorCode::InvalidRequest);
        }
        alter::EntryData {
            error_code: refusal.map_or(ErrorCode::None, |_| ErrorCode::InvalidRequest),
            error_message: refusal,
            entity: entry.entity,
        }
    });
    call.respond(&alter::Response { entries: entries.collect(), ..Default::default() })
}

fn refusal(entry: &alter::RequestedEntryData<'_>) -> Option<&'static str> {
    if entry.entity.is_empty() {
        return Some("Invalid empty client quota entity");
    }
    if entry.entity.iter().any(|entity| !ENTITIES.contains(&entity.entity_type)) {
        return Some("Unhandled client quota entity type");
    }
    let sets = entry.ops.iter().any(|operation| !operation.remove);
    sets.then_some("quotas are not enforced here, so none is taken")
}
