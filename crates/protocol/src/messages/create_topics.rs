//! CreateTopics (19).

use crate::define::message;
use crate::{Array, ErrorCode, Uuid};

message! {
    Request<'a> {
        topics: Array<'a, CreatableTopic<'a>> [0+],
        timeout_ms: i32 [0+] = 60_000,
        validate_only: bool [1+],
    }

    CreatableTopic<'a> {
        name: &'a str [0+],
        num_partitions: i32 [0+],
        replication_factor: i16 [0+],
        assignments: Array<'a, CreatableReplicaAssignment<'a>> [0+],
        configs: Array<'a, CreatableTopicConfig<'a>> [0+],
    }

    CreatableReplicaAssignment<'a> {
        partition_index: i32 [0+],
        broker_ids: Array<'a, i32> [0+],
    }

    CreatableTopicConfig<'a> {
        name: &'a str [0+],
        value: Option<&'a str> [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [2+, ignorable],
        topics: Array<'a, CreatableTopicResult<'a>> [0+],
    }

    CreatableTopicResult<'a> {
        name: &'a str [0+],
        topic_id: Uuid [7+, ignorable],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [1+, ignorable],
        topic_config_error_code: ErrorCode [5+, tag 0, ignorable],
        num_partitions: i32 [5+, ignorable] = -1,
        replication_factor: i16 [5+, ignorable] = -1,
        configs: Option<Array<'a, CreatableTopicConfigs<'a>>> [5+, ignorable],
    }

    CreatableTopicConfigs<'a> {
        name: &'a str [5+],
        value: Option<&'a str> [5+],
        read_only: bool [5+],
        config_source: i8 [5+, ignorable] = -1,
        is_sensitive: bool [5+],
    }
}
