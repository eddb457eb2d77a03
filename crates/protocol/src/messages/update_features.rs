//! UpdateFeatures (57): the levels of the cluster's features change.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        timeout_ms: i32 [0+] = 60_000,
        feature_updates: Array<'a, FeatureUpdateKey<'a>> [0+],
        validate_only: bool [1+],
    }

    FeatureUpdateKey<'a> {
        feature: &'a str [0+],
        max_version_level: i16 [0+],
        allow_downgrade: bool [0-0],
        upgrade_type: i8 [1+] = 1,
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
        results: Array<'a, UpdatableFeatureResult<'a>> [0-1, ignorable],
    }

    UpdatableFeatureResult<'a> {
        feature: &'a str [0+],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
    }
}
