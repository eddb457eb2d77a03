//! ListPartitionReassignments (46): reassignments of partitions that are under way.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        timeout_ms: i32 [0+] = 60_000,
        topics: Option<Array<'a, ListPartitionReassignmentsTopics<'a>>> [0+],
    }

    ListPartitionReassignmentsTopics<'a> {
        name: &'a str [0+],
        partition_indexes: Array<'a, i32> [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
        topics: Array<'a, OngoingTopicReassignment<'a>> [0+],
    }

    OngoingTopicReassignment<'a> {
        name: &'a str [0+],
        partitions: Array<'a, OngoingPartitionReassignment<'a>> [0+],
    }

    OngoingPartitionReassignment<'a> {
        partition_index: i32 [0+],
        replicas: Array<'a, i32> [0+],
        adding_replicas: Array<'a, i32> [0+],
        removing_replicas: Array<'a, i32> [0+],
    }
}
