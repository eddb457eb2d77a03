//! LeaveGroup (13): members leave a group; from version 3 many at once.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        group_id: &'a str [0+],
        member_id: &'a str [0-2],
        members: Array<'a, MemberIdentity<'a>> [3+],
    }

    MemberIdentity<'a> {
        member_id: &'a str [3+],
        group_instance_id: Option<&'a str> [3+],
        reason: Option<&'a str> [5+, ignorable],
    }

    Response<'a> {
        throttle_time_ms: i32 [1+, ignorable],
        error_code: ErrorCode [0+],
        members: Array<'a, MemberResponse<'a>> [3+],
    }

    MemberResponse<'a> {
        member_id: &'a str [3+],
        group_instance_id: Option<&'a str> [3+],
        error_code: ErrorCode [3+],
    }
}
