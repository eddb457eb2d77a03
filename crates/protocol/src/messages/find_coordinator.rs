//! FindCoordinator (10): which broker coordinates a group or a transactional id. From version 4 for many keys at once.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        key: &'a str [0-3],
        key_type: i8 [1+],
        coordinator_keys: Array<'a, &'a str> [4+],
    }

    Response<'a> {
        throttle_time_ms: i32 [1+, ignorable],
        error_code: ErrorCode [0-3],
        error_message: Option<&'a str> [1-3, ignorable],
        node_id: i32 [0-3],
        host: &'a str [0-3],
        port: i32 [0-3],
        coordinators: Array<'a, Coordinator<'a>> [4+],
    }

    Coordinator<'a> {
        key: &'a str [4+],
        node_id: i32 [4+],
        host: &'a str [4+],
        port: i32 [4+],
        error_code: ErrorCode [4+],
        error_message: Option<&'a str> [4+, ignorable],
    }
}
