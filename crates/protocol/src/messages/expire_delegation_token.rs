//! ExpireDelegationToken (40): a delegation token ends earlier.

use crate::define::message;
use crate::ErrorCode;

message! {
    Request<'a> {
        hmac: &'a [u8] [0+],
        expiry_time_period_ms: i64 [0+],
    }

    Response {
        error_code: ErrorCode [0+],
        expiry_timestamp_ms: i64 [0+],
        throttle_time_ms: i32 [0+],
    }
}
