//! DeleteAcls (31): access rules go, by filters.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        filters: Array<'a, DeleteAclsFilter<'a>> [0+],
    }

    DeleteAclsFilter<'a> {
        resource_type_filter: i8 [0+],
        resource_name_filter: Option<&'a str> [0+],
        pattern_type_filter: i8 [1+] = 3,
        principal_filter: Option<&'a str> [0+],
        host_filter: Option<&'a str> [0+],
        operation: i8 [0+],
        permission_type: i8 [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        filter_results: Array<'a, DeleteAclsFilterResult<'a>> [0+],
    }

    DeleteAclsFilterResult<'a> {
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
        matching_acls: Array<'a, DeleteAclsMatchingAcl<'a>> [0+],
    }

    DeleteAclsMatchingAcl<'a> {
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
        resource_type: i8 [0+],
        resource_name: &'a str [0+],
        pattern_type: i8 [1+] = 3,
        principal: &'a str [0+],
        host: &'a str [0+],
        operation: i8 [0+],
        permission_type: i8 [0+],
    }
}
