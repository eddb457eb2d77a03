//! DescribeGroups (15): classic groups with their members.

use std::sync::Arc;

use kafscale_protocol::{
    Array, ErrorCode,
    messages::describe_groups::{DescribedGroup, DescribedGroupMember, Request, Response},
};

use super::{Answer, Call, Refusal, Session, error_codes, operations};
use crate::groups::Described;

/// The first version in which an unknown group is an error; before, it is a dead one.
const GROUP_NOT_FOUND: i16 = 6;

/// Answers after a barrier: a group may be said not to exist.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.groups.len())?;
    let caught_up = session.broker().barrier().await.map_err(|error| error_codes::of_group_barrier(&error));
    let groups = session.broker().groups();
    let operations = if request.include_authorized_operations { operations::ON_GROUP } else { i32::MIN };
    let found: Vec<_> = request
        .groups
        .iter()
        .map(|id| {
            let found = match caught_up {
                Ok(()) if groups.is_coordinator(id) => Ok(groups.describe(id)),
                Ok(()) => Err(ErrorCode::NotCoordinator),
                Err(error_code) => Err(error_code),
            };
            let other = matches!(found, Ok(None)) && groups.describe_consumers(id).is_some();
            (id, found, format!("Group {id} {}.", if other { "is not a classic group" } else { "not found" }))
        })
        .collect();
    let described = found.iter().map(|(id, found, absent)| match found {
        Ok(Some(group)) => describe(id, group, operations),
        Ok(None) => {
            let is_error = call.version >= GROUP_NOT_FOUND;
            DescribedGroup {
                error_code: if is_error { ErrorCode::GroupIdNotFound } else { ErrorCode::None },
                error_message: is_error.then_some(absent),
                group_id: id,
                group_state: "Dead",
                authorized_operations: operations,
                ..Default::default()
            }
        }
        Err(error_code) => DescribedGroup { error_code: *error_code, group_id: id, ..Default::default() },
    });
    let described: Array<'_, _> = described.collect();
    call.respond(&Response { groups: described, ..Default::default() })
}

fn describe<'a>(id: &'a str, group: &'a Described, authorized_operations: i32) -> DescribedGroup<'a> {
    let members = group.members.iter().map(|member| DescribedGroupMember {
        member_id: &member.id,
        group_instance_id: member.instance_id.as_deref(),
        client_id: &member.client_id,
        client_host: &member.client_host,
        member_metadata: &member.metadata,
        member_assignment: &member.assignment,
    });
    DescribedGroup {
        group_id: id,
        group_state: group.phase.name(),
        protocol_type: &group.protocol_type,
        protocol_data: &group.protocol,
        members: members.collect(),
        authorized_operations,
        ..Default::default()
    }
}
