//! OffsetForLeaderEpoch (23): where a leader epoch ends.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        replica_id: i32 [3+, ignorable] = -2,
        topics: Array<'a, OffsetForLeaderTopic<'a>> [0+],
    }

    OffsetForLeaderTopic<'a> {
        topic: &'a str [0+],
        partitions: Array<'a, OffsetForLeaderPartition> [0+],
    }

    OffsetForLeaderPartition {
        partition: i32 [0+],
        current_leader_epoch: i32 [2+, ignorable] = -1,
        leader_epoch: i32 [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [2+, ignorable],
        topics: Array<'a, OffsetForLeaderTopicResult<'a>> [0+],
    }

    OffsetForLeaderTopicResult<'a> {
        topic: &'a str [0+],
        partitions: Array<'a, EpochEndOffset> [0+],
    }

    EpochEndOffset {
        error_code: ErrorCode [0+],
        partition: i32 [0+],
        leader_epoch: i32 [1+, ignorable] = -1,
        end_offset: i64 [0+] = -1,
    }
}
