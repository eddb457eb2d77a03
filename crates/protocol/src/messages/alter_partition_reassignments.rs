//! AlterPartitionReassignments (45): the replicas of partitions are to be others.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        timeout_ms: i32 [0+] = 60_000,
        allow_replication_factor_change: bool [1+] = true,
        topics: Array<'a, ReassignableTopic<'a>> [0+],
    }

    ReassignableTopic<'a> {
        name: &'a str [0+],
        partitions: Array<'a, ReassignablePartition<'a>> [0+],
    }

    ReassignablePartition<'a> {
        partition_index: i32 [0+],
        replicas: Option<Array<'a, i32>> [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        allow_replication_factor_change: bool [1+, ignorable] = true,
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
        responses: Array<'a, ReassignableTopicResponse<'a>> [0+],
    }

    ReassignableTopicResponse<'a> {
        name: &'a str [0+],
        partitions: Array<'a, ReassignablePartitionResponse<'a>> [0+],
    }

    ReassignablePartitionResponse<'a> {
        partition_index: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
    }
}
