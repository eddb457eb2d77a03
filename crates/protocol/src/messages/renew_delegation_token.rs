//! RenewDelegationToken (39): a delegation token lives longer.

use crate::define::message;
use crate::ErrorCode;

message! {
    Request<'a> {
        hmac: &'a [u8] [0+],
        renew_period_ms: i64 [0+],
    }

    Response {
        error_code: ErrorCode [0+],
        expiry_timestamp_ms: i64 [0+],
        throttle_time_ms: i32 [0+],
    }
}
