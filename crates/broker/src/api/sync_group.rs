//! SyncGroup (14): the leader hands in the assignments; everybody gets their own once they are saved.

use std::sync::Arc;

use bytes::Bytes;
use kafscale_protocol::{
    ApiKey,
    messages::sync_group::{Request, Response},
};

use super::{Answer, Call, Refusal, Session, error_codes};
use crate::groups::{Error, classic::SyncRequest};

/// Waits until the group's assignments are in the log.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.assignments.len())?;
    let groups = session.broker().groups();
    let synced = match groups.ready(request.group_id).await {
        Ok(()) => groups.sync(request.group_id, sync(&request)).await.unwrap_or(Err(Error::NotCoordinator)),
        Err(error) => Err(error),
    };
    match &synced {
        Ok(synced) => call.respond(&Response {
            protocol_type: Some(&synced.protocol_type),
            protocol_name: Some(&synced.protocol),
            assignment: &synced.assignment,
            ..Default::default()
        }),
        Err(error) => {
            let error_code = error_codes::of_group(*error);
            session.broker().metrics().error(ApiKey::SyncGroup, error_code);
            call.respond(&Response { error_code, ..Default::default() })
        }
    }
}

fn sync(request: &Request<'_>) -> SyncRequest {
    let assignments = request.assignments.iter();
    SyncRequest {
        member_id: request.member_id.to_owned(),
        instance_id: request.group_instance_id.map(str::to_owned),
        generation: request.generation_id,
        protocol_type: request.protocol_type.map(str::to_owned),
        protocol: request.protocol_name.map(str::to_owned),
        assignments: assignments
            .map(|one| (one.member_id.to_owned(), Bytes::copy_from_slice(one.assignment)))
            .collect(),
    }
}
