//! LeaveGroup (13): members leave a group; from version 3 many at once, also by an operator.

use std::sync::Arc;

use kafscale_protocol::{
    ApiKey, Array, ErrorCode,
    messages::leave_group::{MemberResponse, Request, Response},
};

use super::{Answer, Call, Refusal, Session, error_codes};
use crate::groups::classic::Leaving;

/// The first version that names many members.
const BATCHES: i16 = 3;

/// Members that are not in the group have their own errors; before version 3 there is one for all.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.members.len())?;
    let leaving: Vec<Leaving> = match call.version {
        BATCHES.. => request.members.iter().map(|member| leaving(member.member_id, member.group_instance_id)).collect(),
        _ => vec![leaving(request.member_id, None)],
    };
    if request.members.iter().any(|member| member.reason.is_some()) {
        let reason = request.members.iter().find_map(|member| member.reason).unwrap_or_default();
        tracing::debug!(group = request.group_id, reason, members = leaving.len(), "members leave");
    }
    let groups = session.broker().groups();
    let left = match groups.ready(request.group_id).await {
        Ok(()) => groups.leave(request.group_id, &leaving),
        Err(error) => Err(error),
    };
    let code = |left: &Result<(), _>| left.map_or_else(error_codes::of_group, |()| ErrorCode::None);
    let (mut error_code, answers) = match left {
        Ok(answers) => (ErrorCode::None, answers),
        Err(error) => (error_codes::of_group(error), Vec::new()),
    };
    if call.version < BATCHES && error_code == ErrorCode::None {
        error_code = answers.first().map_or(ErrorCode::None, code);
    }
    if error_code != ErrorCode::None {
        session.broker().metrics().error(ApiKey::LeaveGroup, error_code);
    }
    let members = leaving.iter().zip(&answers).map(|(leaving, left)| MemberResponse {
        member_id: &leaving.member_id,
        group_instance_id: leaving.instance_id.as_deref(),
        error_code: code(left),
    });
    let members: Array<'_, _> = if call.version < BATCHES { Array::EMPTY } else { members.collect() };
    call.respond(&Response { error_code, members, ..Default::default() })
}

fn leaving(member_id: &str, instance_id: Option<&str>) -> Leaving {
    Leaving { member_id: member_id.to_owned(), instance_id: instance_id.map(str::to_owned) }
}
