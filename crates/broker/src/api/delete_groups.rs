//! DeleteGroups (42): groups without members are deleted, with their offsets.

use std::sync::Arc;

use futures_util::future::join_all;
use kafscale_protocol::{
    ApiKey, Array, ErrorCode,
    messages::delete_groups::{DeletableGroupResult, Request, Response},
};

use super::{Answer, Call, Refusal, Session, error_codes};

/// Each group has its own outcome.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.groups_names.len())?;
    let groups = session.broker().groups();
    let delete = async |group_id: &str| {
        let deleted = match groups.ready(group_id).await {
            Ok(()) => groups.delete(group_id).await,
            Err(error) => Err(error),
        };
        deleted.map_or_else(error_codes::of_group, |()| ErrorCode::None)
    };
    let ids: Vec<&str> = request.groups_names.iter().collect();
    let deleted = join_all(ids.iter().map(|id| delete(id))).await;
    let results = ids.iter().zip(deleted).map(|(group_id, error_code)| {
        if error_code != ErrorCode::None {
            session.broker().metrics().error(ApiKey::DeleteGroups, error_code);
        }
        DeletableGroupResult { group_id, error_code }
    });
    let results: Array<'_, _> = results.collect();
    call.respond(&Response { results, ..Default::default() })
}
