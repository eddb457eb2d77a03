//! Heartbeat (12): a member of a classic group says that it lives.

use crate::define::message;
use crate::ErrorCode;

message! {
    Request<'a> {
        group_id: &'a str [0+],
        generation_id: i32 [0+],
        member_id: &'a str [0+],
        group_instance_id: Option<&'a str> [3+],
    }

    Response {
        throttle_time_ms: i32 [1+, ignorable],
        error_code: ErrorCode [0+],
    }
}
