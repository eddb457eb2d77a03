//! DescribeGroups (15): classic groups with their members.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        groups: Array<'a, &'a str> [0+],
        include_authorized_operations: bool [3+],
    }

    Response<'a> {
        throttle_time_ms: i32 [1+, ignorable],
        groups: Array<'a, DescribedGroup<'a>> [0+],
    }

    DescribedGroup<'a> {
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [6+],
        group_id: &'a str [0+],
        group_state: &'a str [0+],
        protocol_type: &'a str [0+],
        protocol_data: &'a str [0+],
        members: Array<'a, DescribedGroupMember<'a>> [0+],
        authorized_operations: i32 [3+] = i32::MIN,
    }

    DescribedGroupMember<'a> {
        member_id: &'a str [0+],
        group_instance_id: Option<&'a str> [4+, ignorable],
        client_id: &'a str [0+],
        client_host: &'a str [0+],
        member_metadata: &'a [u8] [0+],
        member_assignment: &'a [u8] [0+],
    }
}
