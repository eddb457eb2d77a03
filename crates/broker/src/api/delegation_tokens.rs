//! CreateDelegationToken (38), RenewDelegationToken (39), ExpireDelegationToken (40) and DescribeDelegationToken (41), refused
//! as Apache Kafka refuses them on a listener without authentication.

use std::sync::Arc;

use kafscale_protocol::{
    ErrorCode,
    messages::{
        create_delegation_token as create, describe_delegation_token as describe, expire_delegation_token as expire,
        renew_delegation_token as renew,
    },
};

use super::{Answer, Call, Refusal, Session};

const CODE: ErrorCode = ErrorCode::DelegationTokenRequestNotAllowed;
/// Who everybody is.
const PRINCIPAL: (&str, &str) = ("User", "ANONYMOUS");
const NEVER: i64 = -1;

/// Refuses.
pub async fn handle_create(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let _request: create::Request<'_> = call.request()?;
    session.broker().metrics().error(call.api, CODE);
    let (kind, name) = PRINCIPAL;
    let requester = if call.version >= 3 { PRINCIPAL } else { ("", "") };
    call.respond(&create::Response {
        error_code: CODE,
        principal_type: kind,
        principal_name: name,
        token_requester_principal_type: requester.0,
        token_requester_principal_name: requester.1,
        issue_timestamp_ms: NEVER,
        expiry_timestamp_ms: NEVER,
        max_timestamp_ms: NEVER,
        ..Default::default()
    })
}

/// Refuses.
pub async fn handle_renew(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let _request: renew::Request<'_> = call.request()?;
    session.broker().metrics().error(call.api, CODE);
    call.respond(&renew::Response { error_code: CODE, expiry_timestamp_ms: NEVER, ..Default::default() })
}

/// Refuses.
pub async fn handle_expire(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let _request: expire::Request<'_> = call.request()?;
    session.broker().metrics().error(call.api, CODE);
    call.respond(&expire::Response { error_code: CODE, expiry_timestamp_ms: NEVER, ..Default::default() })
}

/// Refuses.
pub async fn handle_describe(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let _request: describe::Request<'_> = call.request()?;
    session.broker().metrics().error(call.api, CODE);
    call.respond(&describe::Response { error_code: CODE, ..Default::default() })
}
