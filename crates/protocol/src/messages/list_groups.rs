//! ListGroups (16): groups, by state and type.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        states_filter: Array<'a, &'a str> [4+],
        types_filter: Array<'a, &'a str> [5+],
    }

    Response<'a> {
        throttle_time_ms: i32 [1+, ignorable],
        error_code: ErrorCode [0+],
        groups: Array<'a, ListedGroup<'a>> [0+],
    }

    ListedGroup<'a> {
        group_id: &'a str [0+],
        protocol_type: &'a str [0+],
        group_state: &'a str [4+, ignorable],
        group_type: &'a str [5+, ignorable],
    }
}
