//! FindCoordinator (10): any broker could coordinate; the answer names this one.

use std::sync::Arc;

use kafscale_protocol::{
    ApiKey, Array, ErrorCode,
    messages::find_coordinator::{Coordinator, Request, Response},
};

use super::{Answer, Call, Refusal, Session};

/// The types of keys that have a coordinator: groups and transactional ids.
const KEY_TYPES: std::ops::RangeInclusive<i8> = 0..=1;

/// Names this broker for each key.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    let settings = session.settings();
    let (error_code, error_message) = match KEY_TYPES.contains(&request.key_type) {
        true => (ErrorCode::None, None),
        false => (ErrorCode::InvalidRequest, Some("keys of this type have no coordinator here")),
    };
    let (node_id, host, port) = match error_code {
        ErrorCode::None => (settings.node_id, settings.advertised_host.as_str(), i32::from(settings.advertised_port)),
        _ => {
            session.broker().metrics().error(ApiKey::FindCoordinator, error_code);
            (-1, "", -1)
        }
    };
    if call.version < 4 {
        return call.respond(&Response { error_code, error_message, node_id, host, port, ..Default::default() });
    }
    Refusal::unless_few(request.coordinator_keys.len())?;
    let coordinator = |key| Coordinator { key, node_id, host, port, error_code, error_message };
    let coordinators: Array<'_, Coordinator<'_>> = request.coordinator_keys.iter().map(coordinator).collect();
    call.respond(&Response { coordinators, ..Default::default() })
}
