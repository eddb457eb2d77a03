//! JoinGroup (11): a member joins a group and hears who else is in it. The answer waits until the group is complete.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_protocol::{
    ApiKey, Array,
    messages::join_group::{JoinGroupResponseMember, Request, Response},
};

use super::{Answer, Call, Refusal, Session, error_codes};
use crate::groups::{
    Error,
    classic::{JoinAnswer, JoinRequest},
};

/// The first version in which a new member is first given an id and joins again with it (KIP-394).
const KNOWN_ID_REQUIRED: i16 = 4;
/// The first version in which the chosen protocol may be null.
const NULLABLE_PROTOCOL: i16 = 7;
/// The first version in which a leader can be told that there is nothing to assign (KIP-814).
const SKIPS_ASSIGNMENT: i16 = 9;

/// Waits for the rebalance without holding the request's bytes in more than what the member keeps.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.protocols.len())?;
    let groups = session.broker().groups();
    let joined = match groups.ready(request.group_id).await {
        Ok(()) => groups.join(request.group_id, join(&session, &call, &request)).await,
        Err(error) => Ok(Err((error, request.member_id.to_owned()))),
    };
    let joined = joined.unwrap_or_else(|_| Err((Error::NotCoordinator, request.member_id.to_owned())));
    respond(&session, &call, &joined)
}

fn join(session: &Session, call: &Call, request: &Request<'_>) -> JoinRequest {
    let millis = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let protocols = request.protocols.iter();
    JoinRequest {
        member_id: request.member_id.to_owned(),
        instance_id: request.group_instance_id.map(str::to_owned),
        client_id: call.client_id.clone().unwrap_or_default(),
        client_host: session.host().to_owned(),
        session_timeout: millis(request.session_timeout_ms),
        // Version 0 has one timeout for both.
        rebalance_timeout: millis(match request.rebalance_timeout_ms {
            ..0 => request.session_timeout_ms,
            timeout => timeout,
        }),
        protocol_type: request.protocol_type.to_owned(),
        protocols: protocols.map(|one| (one.name.to_owned(), Bytes::copy_from_slice(one.metadata))).collect(),
        requires_known_id: call.version >= KNOWN_ID_REQUIRED,
        can_skip_assignment: call.version >= SKIPS_ASSIGNMENT,
    }
}

fn respond(session: &Session, call: &Call, joined: &JoinAnswer) -> Result<Answer, Refusal> {
    let no_protocol = (call.version < NULLABLE_PROTOCOL).then_some("");
    match joined {
        Ok(joined) => {
            let members = joined.members.iter().map(|member| JoinGroupResponseMember {
                member_id: &member.id,
                group_instance_id: member.instance_id.as_deref(),
                metadata: &member.metadata,
            });
            call.respond(&Response {
                generation_id: joined.generation,
                protocol_type: Some(&joined.protocol_type),
                protocol_name: Some(&joined.protocol),
                leader: &joined.leader,
                skip_assignment: joined.skip_assignment,
                member_id: &joined.member_id,
                members: Array::from(members.collect::<Vec<_>>()),
                ..Default::default()
            })
        }
        Err((error, member_id)) => {
            let error_code = error_codes::of_group(*error);
            session.broker().metrics().error(ApiKey::JoinGroup, error_code);
            call.respond(&Response { error_code, protocol_name: no_protocol, member_id, ..Default::default() })
        }
    }
}
