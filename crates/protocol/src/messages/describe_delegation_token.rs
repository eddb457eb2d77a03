//! DescribeDelegationToken (41): the delegation tokens of some owners.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        owners: Option<Array<'a, DescribeDelegationTokenOwner<'a>>> [0+],
    }

    DescribeDelegationTokenOwner<'a> {
        principal_type: &'a str [0+],
        principal_name: &'a str [0+],
    }

    Response<'a> {
        error_code: ErrorCode [0+],
        tokens: Array<'a, DescribedDelegationToken<'a>> [0+],
        throttle_time_ms: i32 [0+],
    }

    DescribedDelegationToken<'a> {
        principal_type: &'a str [0+],
        principal_name: &'a str [0+],
        token_requester_principal_type: &'a str [3+],
        token_requester_principal_name: &'a str [3+],
        issue_timestamp: i64 [0+],
        expiry_timestamp: i64 [0+],
        max_timestamp: i64 [0+],
        token_id: &'a str [0+],
        hmac: &'a [u8] [0+],
        renewers: Array<'a, DescribedDelegationTokenRenewer<'a>> [0+],
    }

    DescribedDelegationTokenRenewer<'a> {
        principal_type: &'a str [0+],
        principal_name: &'a str [0+],
    }
}
