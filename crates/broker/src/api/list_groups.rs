//! ListGroups (16): groups, by state and type.

use std::sync::Arc;

use kafscale_protocol::{
    Array, ErrorCode,
    messages::list_groups::{ListedGroup, Request, Response},
};

use super::{Answer, Call, Refusal, Session, error_codes};

/// Answers after a barrier: a group that is not listed does not exist. An empty filter lets everything pass; case does not
/// matter.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.states_filter.len() + request.types_filter.len())?;
    if let Err(error) = session.broker().barrier().await {
        return call.respond(&Response { error_code: error_codes::of_group_barrier(&error), ..Default::default() });
    }
    let passes = |filter: &Array<'_, &str>, value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(value))
    };
    let groups = session.broker().groups().list();
    let wanted = groups
        .iter()
        .filter(|group| passes(&request.types_filter, group.kind) && passes(&request.states_filter, group.phase));
    let groups: Array<'_, _> = wanted
        .map(|group| ListedGroup {
            group_id: &group.id,
            protocol_type: &group.protocol_type,
            group_state: group.phase,
            group_type: group.kind,
        })
        .collect();
    call.respond(&Response { error_code: ErrorCode::None, groups, ..Default::default() })
}
