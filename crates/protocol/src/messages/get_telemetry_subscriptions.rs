//! GetTelemetrySubscriptions (71): which of its metrics a client shall send.

use crate::define::message;
use crate::{Array, ErrorCode, Uuid};

message! {
    Request {
        client_instance_id: Uuid [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [0+],
        client_instance_id: Uuid [0+],
        subscription_id: i32 [0+],
        accepted_compression_types: Array<'a, i8> [0+],
        push_interval_ms: i32 [0+],
        telemetry_max_bytes: i32 [0+],
        delta_temporality: bool [0+],
        requested_metrics: Array<'a, &'a str> [0+],
    }
}
