//! Heartbeat (12): a member of a classic group says that it lives, and hears whether it must join again.

use std::sync::Arc;

use kafscale_protocol::{
    ApiKey, ErrorCode,
    messages::heartbeat::{Request, Response},
};

use super::{Answer, Call, Refusal, Session, error_codes};

/// Never reaches the log.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    let groups = session.broker().groups();
    let beaten = match groups.ready(request.group_id).await {
        Ok(()) => {
            groups.heartbeat(request.group_id, request.member_id, request.group_instance_id, request.generation_id)
        }
        Err(error) => Err(error),
    };
    let error_code = beaten.map_or_else(error_codes::of_group, |()| ErrorCode::None);
    if error_code != ErrorCode::None {
        session.broker().metrics().error(ApiKey::Heartbeat, error_code);
    }
    call.respond(&Response { error_code, ..Default::default() })
}
