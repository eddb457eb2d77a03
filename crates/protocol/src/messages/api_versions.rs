//! ApiVersions (18): which APIs in which versions a broker serves, and the features of its cluster.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        client_software_name: &'a str [3+, ignorable],
        client_software_version: &'a str [3+, ignorable],
    }

    Response<'a> {
        error_code: ErrorCode [0+],
        api_keys: Array<'a, ApiVersion> [0+],
        throttle_time_ms: i32 [1+, ignorable],
        supported_features: Array<'a, SupportedFeatureKey<'a>> [3+, tag 0, ignorable],
        finalized_features_epoch: i64 [3+, tag 1, ignorable] = -1,
        finalized_features: Array<'a, FinalizedFeatureKey<'a>> [3+, tag 2, ignorable],
        zk_migration_ready: bool [3+, tag 3, ignorable],
    }

    ApiVersion {
        api_key: i16 [0+],
        min_version: i16 [0+],
        max_version: i16 [0+],
    }

    SupportedFeatureKey<'a> {
        name: &'a str [3+],
        min_version: i16 [3+],
        max_version: i16 [3+],
    }

    FinalizedFeatureKey<'a> {
        name: &'a str [3+],
        max_version_level: i16 [3+],
        min_version_level: i16 [3+],
    }
}
