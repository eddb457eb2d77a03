//! DeleteGroups (42): empty groups are deleted.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        groups_names: Array<'a, &'a str> [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        results: Array<'a, DeletableGroupResult<'a>> [0+],
    }

    DeletableGroupResult<'a> {
        group_id: &'a str [0+],
        error_code: ErrorCode [0+],
    }
}
