//! UnregisterBroker (64): a broker that is gone is forgotten.

use crate::define::message;
use crate::ErrorCode;

message! {
    Request {
        broker_id: i32 [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
    }
}
