//! JoinGroup (11): a member joins a group and hears who else is in it.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        group_id: &'a str [0+],
        session_timeout_ms: i32 [0+],
        rebalance_timeout_ms: i32 [1+, ignorable] = -1,
        member_id: &'a str [0+],
        group_instance_id: Option<&'a str> [5+],
        protocol_type: &'a str [0+],
        protocols: Array<'a, JoinGroupRequestProtocol<'a>> [0+],
        reason: Option<&'a str> [8+, ignorable],
    }

    JoinGroupRequestProtocol<'a> {
        name: &'a str [0+],
        metadata: &'a [u8] [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [2+, ignorable],
        error_code: ErrorCode [0+],
        generation_id: i32 [0+] = -1,
        protocol_type: Option<&'a str> [7+, ignorable],
        protocol_name: Option<&'a str> [0+, nullable 7+],
        leader: &'a str [0+],
        skip_assignment: bool [9+],
        member_id: &'a str [0+],
        members: Array<'a, JoinGroupResponseMember<'a>> [0+],
    }

    JoinGroupResponseMember<'a> {
        member_id: &'a str [0+],
        group_instance_id: Option<&'a str> [5+, ignorable],
        metadata: &'a [u8] [0+],
    }
}
