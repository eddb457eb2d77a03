//! DescribeConfigs (32): the settings of topics and brokers, with where each comes from.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        resources: Array<'a, DescribeConfigsResource<'a>> [0+],
        include_synonyms: bool [1+],
        include_documentation: bool [3+],
    }

    DescribeConfigsResource<'a> {
        resource_type: i8 [0+],
        resource_name: &'a str [0+],
        configuration_keys: Option<Array<'a, &'a str>> [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        results: Array<'a, DescribeConfigsResult<'a>> [0+],
    }

    DescribeConfigsResult<'a> {
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
        resource_type: i8 [0+],
        resource_name: &'a str [0+],
        configs: Array<'a, DescribeConfigsResourceResult<'a>> [0+],
    }

    DescribeConfigsResourceResult<'a> {
        name: &'a str [0+],
        value: Option<&'a str> [0+],
        read_only: bool [0+],
        config_source: i8 [1+, ignorable] = -1,
        is_sensitive: bool [0+],
        synonyms: Array<'a, DescribeConfigsSynonym<'a>> [1+, ignorable],
        config_type: i8 [3+, ignorable],
        documentation: Option<&'a str> [3+, ignorable],
    }

    DescribeConfigsSynonym<'a> {
        name: &'a str [1+],
        value: Option<&'a str> [1+],
        source: i8 [1+],
    }
}
