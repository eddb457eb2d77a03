//! ListConfigResources (74): what has settings. Version 0 is ListClientMetricsResources.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        resource_types: Array<'a, i8> [1+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [0+],
        config_resources: Array<'a, ConfigResource<'a>> [0+],
    }

    ConfigResource<'a> {
        resource_name: &'a str [0+],
        resource_type: i8 [1+, ignorable] = 16,
    }
}
