//! CreateAcls (30): new access rules.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        creations: Array<'a, AclCreation<'a>> [0+],
    }

    AclCreation<'a> {
        resource_type: i8 [0+],
        resource_name: &'a str [0+],
        resource_pattern_type: i8 [1+] = 3,
        principal: &'a str [0+],
        host: &'a str [0+],
        operation: i8 [0+],
        permission_type: i8 [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        results: Array<'a, AclCreationResult<'a>> [0+],
    }

    AclCreationResult<'a> {
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
    }
}
