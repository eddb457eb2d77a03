//! DescribeAcls (29): access rules that match a filter.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
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
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
        resources: Array<'a, DescribeAclsResource<'a>> [0+],
    }

    DescribeAclsResource<'a> {
        resource_type: i8 [0+],
        resource_name: &'a str [0+],
        pattern_type: i8 [1+] = 3,
        acls: Array<'a, AclDescription<'a>> [0+],
    }

    AclDescription<'a> {
        principal: &'a str [0+],
        host: &'a str [0+],
        operation: i8 [0+],
        permission_type: i8 [0+],
    }
}
