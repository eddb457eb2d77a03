//! CreateDelegationToken (38): a token that stands for a principal.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        owner_principal_type: Option<&'a str> [3+],
        owner_principal_name: Option<&'a str> [3+],
        renewers: Array<'a, CreatableRenewers<'a>> [0+],
        max_lifetime_ms: i64 [0+],
    }

    CreatableRenewers<'a> {
        principal_type: &'a str [0+],
        principal_name: &'a str [0+],
    }

    Response<'a> {
        error_code: ErrorCode [0+],
        principal_type: &'a str [0+],
        principal_name: &'a str [0+],
        token_requester_principal_type: &'a str [3+],
        token_requester_principal_name: &'a str [3+],
        issue_timestamp_ms: i64 [0+],
        expiry_timestamp_ms: i64 [0+],
        max_timestamp_ms: i64 [0+],
        token_id: &'a str [0+],
        hmac: &'a [u8] [0+],
        throttle_time_ms: i32 [0+],
    }
}
