//! PushTelemetry (72): metrics of a client.

use crate::define::message;
use crate::{ErrorCode, Uuid};

message! {
    Request<'a> {
        client_instance_id: Uuid [0+],
        subscription_id: i32 [0+],
        terminating: bool [0+],
        compression_type: i8 [0+],
        metrics: &'a [u8] [0+],
    }

    Response {
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [0+],
    }
}
