//! ListOffsets (2): the offset at a timestamp, or at one of the named places (earliest, latest, ...).

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        replica_id: i32 [0+],
        isolation_level: i8 [2+],
        topics: Array<'a, ListOffsetsTopic<'a>> [0+],
        timeout_ms: i32 [10+, ignorable],
    }

    ListOffsetsTopic<'a> {
        name: &'a str [0+],
        partitions: Array<'a, ListOffsetsPartition> [0+],
    }

    ListOffsetsPartition {
        partition_index: i32 [0+],
        current_leader_epoch: i32 [4+, ignorable] = -1,
        timestamp: i64 [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [2+, ignorable],
        topics: Array<'a, ListOffsetsTopicResponse<'a>> [0+],
    }

    ListOffsetsTopicResponse<'a> {
        name: &'a str [0+],
        partitions: Array<'a, ListOffsetsPartitionResponse> [0+],
    }

    ListOffsetsPartitionResponse {
        partition_index: i32 [0+],
        error_code: ErrorCode [0+],
        timestamp: i64 [1+] = -1,
        offset: i64 [1+] = -1,
        leader_epoch: i32 [4+] = -1,
    }
}
