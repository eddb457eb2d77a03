//! OffsetFetch (9): committed offsets; from version 8 of many groups. Topics are named by id from version 10.

use crate::define::message;
use crate::{Array, ErrorCode, Uuid};

message! {
    Request<'a> {
        group_id: &'a str [0-7],
        topics: Option<Array<'a, OffsetFetchRequestTopic<'a>>> [0-7, nullable 2-7],
        groups: Array<'a, OffsetFetchRequestGroup<'a>> [8+],
        require_stable: bool [7+],
    }

    OffsetFetchRequestTopic<'a> {
        name: &'a str [0-7],
        partition_indexes: Array<'a, i32> [0-7],
    }

    OffsetFetchRequestGroup<'a> {
        group_id: &'a str [8+],
        member_id: Option<&'a str> [9+, ignorable],
        member_epoch: i32 [9+, ignorable] = -1,
        topics: Option<Array<'a, OffsetFetchRequestTopics<'a>>> [8+],
    }

    OffsetFetchRequestTopics<'a> {
        name: &'a str [8-9, ignorable],
        topic_id: Uuid [10+, ignorable],
        partition_indexes: Array<'a, i32> [8+],
    }

    Response<'a> {
        throttle_time_ms: i32 [3+, ignorable],
        topics: Array<'a, OffsetFetchResponseTopic<'a>> [0-7],
        error_code: ErrorCode [2-7, ignorable],
        groups: Array<'a, OffsetFetchResponseGroup<'a>> [8+],
    }

    OffsetFetchResponseTopic<'a> {
        name: &'a str [0-7],
        partitions: Array<'a, OffsetFetchResponsePartition<'a>> [0-7],
    }

    OffsetFetchResponsePartition<'a> {
        partition_index: i32 [0-7],
        committed_offset: i64 [0-7],
        committed_leader_epoch: i32 [5-7, ignorable] = -1,
        metadata: Option<&'a str> [0-7],
        error_code: ErrorCode [0-7],
    }

    OffsetFetchResponseGroup<'a> {
        group_id: &'a str [8+],
        topics: Array<'a, OffsetFetchResponseTopics<'a>> [8+],
        error_code: ErrorCode [8+],
    }

    OffsetFetchResponseTopics<'a> {
        name: &'a str [8-9, ignorable],
        topic_id: Uuid [10+, ignorable],
        partitions: Array<'a, OffsetFetchResponsePartitions<'a>> [8+],
    }

    OffsetFetchResponsePartitions<'a> {
        partition_index: i32 [8+],
        committed_offset: i64 [8+],
        committed_leader_epoch: i32 [8+, ignorable] = -1,
        metadata: Option<&'a str> [8+],
        error_code: ErrorCode [8+],
    }
}
