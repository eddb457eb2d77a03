//! DescribeAcls (29), CreateAcls (30) and DeleteAcls (31), answered as by an Apache Kafka broker without an authorizer:
//! everybody may do everything, and there are no rules.

use std::sync::Arc;

use kafscale_protocol::{
    ApiKey, ErrorCode,
    messages::{create_acls as create, delete_acls as delete, describe_acls as describe},
};

use super::{Answer, Call, Refusal, Session};

const CODE: ErrorCode = ErrorCode::SecurityDisabled;
const TEXT: &str = "No Authorizer is configured on the broker";

/// Refuses the whole.
pub async fn handle_describe(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let _request: describe::Request<'_> = call.request()?;
    session.broker().metrics().error(ApiKey::DescribeAcls, CODE);
    let error_message = Some(TEXT);
    call.respond(&describe::Response { error_code: CODE, error_message, ..Default::default() })
}

/// Refuses each rule.
pub async fn handle_create(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: create::Request<'_> = call.request()?;
    Refusal::unless_few(request.creations.len())?;
    session.broker().metrics().error(ApiKey::CreateAcls, CODE);
    let error_message = Some(TEXT);
    let refused = request.creations.iter().map(|_| create::AclCreationResult { error_code: CODE, error_message });
    call.respond(&create::Response { results: refused.collect(), ..Default::default() })
}

/// Refuses each filter.
pub async fn handle_delete(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: delete::Request<'_> = call.request()?;
    Refusal::unless_few(request.filters.len())?;
    session.broker().metrics().error(ApiKey::DeleteAcls, CODE);
    let refused = request.filters.iter().map(|_| delete::DeleteAclsFilterResult {
        error_code: CODE,
        error_message: Some(TEXT),
        ..Default::default()
    });
    call.respond(&delete::Response { filter_results: refused.collect(), ..Default::default() })
}
