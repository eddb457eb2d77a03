//! OffsetCommit (8): a group commits offsets. Topics are named by id from version 10.

use crate::define::message;
use crate::{Array, ErrorCode, Uuid};

message! {
    Request<'a> {
        group_id: &'a str [0+],
        generation_id_or_member_epoch: i32 [1+, ignorable] = -1,
        member_id: &'a str [1+, ignorable],
        group_instance_id: Option<&'a str> [7+],
        retention_time_ms: i64 [2-4, ignorable] = -1,
        topics: Array<'a, OffsetCommitRequestTopic<'a>> [0+],
    }

    OffsetCommitRequestTopic<'a> {
        name: &'a str [0-9, ignorable],
        topic_id: Uuid [10+, ignorable],
        partitions: Array<'a, OffsetCommitRequestPartition<'a>> [0+],
    }

    OffsetCommitRequestPartition<'a> {
        partition_index: i32 [0+],
        committed_offset: i64 [0+],
        committed_leader_epoch: i32 [6+, ignorable] = -1,
        committed_metadata: Option<&'a str> [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [3+, ignorable],
        topics: Array<'a, OffsetCommitResponseTopic<'a>> [0+],
    }

    OffsetCommitResponseTopic<'a> {
        name: &'a str [0-9, ignorable],
        topic_id: Uuid [10+, ignorable],
        partitions: Array<'a, OffsetCommitResponsePartition> [0+],
    }

    OffsetCommitResponsePartition {
        partition_index: i32 [0+],
        error_code: ErrorCode [0+],
    }
}
