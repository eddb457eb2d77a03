//! CreatePartitions (37): topics get more partitions.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        topics: Array<'a, CreatePartitionsTopic<'a>> [0+],
        timeout_ms: i32 [0+],
        validate_only: bool [0+],
    }

    CreatePartitionsTopic<'a> {
        name: &'a str [0+],
        count: i32 [0+],
        assignments: Option<Array<'a, CreatePartitionsAssignment<'a>>> [0+],
    }

    CreatePartitionsAssignment<'a> {
        broker_ids: Array<'a, i32> [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        results: Array<'a, CreatePartitionsTopicResult<'a>> [0+],
    }

    CreatePartitionsTopicResult<'a> {
        name: &'a str [0+],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
    }
}
