//! IncrementalAlterConfigs (44): single settings of topics, brokers, groups and client metrics are changed.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        resources: Array<'a, AlterConfigsResource<'a>> [0+],
        validate_only: bool [0+],
    }

    AlterConfigsResource<'a> {
        resource_type: i8 [0+],
        resource_name: &'a str [0+],
        configs: Array<'a, AlterableConfig<'a>> [0+],
    }

    AlterableConfig<'a> {
        name: &'a str [0+],
        config_operation: i8 [0+],
        value: Option<&'a str> [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        responses: Array<'a, AlterConfigsResourceResponse<'a>> [0+],
    }

    AlterConfigsResourceResponse<'a> {
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
        resource_type: i8 [0+],
        resource_name: &'a str [0+],
    }
}
