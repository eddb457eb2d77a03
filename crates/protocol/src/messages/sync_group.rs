//! SyncGroup (14): the leader hands in the assignments; everybody gets their own.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        group_id: &'a str [0+],
        generation_id: i32 [0+],
        member_id: &'a str [0+],
        group_instance_id: Option<&'a str> [3+],
        protocol_type: Option<&'a str> [5+, ignorable],
        protocol_name: Option<&'a str> [5+, ignorable],
        assignments: Array<'a, SyncGroupRequestAssignment<'a>> [0+],
    }

    SyncGroupRequestAssignment<'a> {
        member_id: &'a str [0+],
        assignment: &'a [u8] [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [1+, ignorable],
        error_code: ErrorCode [0+],
        protocol_type: Option<&'a str> [5+, ignorable],
        protocol_name: Option<&'a str> [5+, ignorable],
        assignment: &'a [u8] [0+],
    }
}
