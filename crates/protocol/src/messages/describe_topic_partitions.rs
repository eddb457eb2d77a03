//! DescribeTopicPartitions (75): topics and their partitions, page by page.

use crate::define::message;
use crate::{Array, ErrorCode, Uuid};

message! {
    Request<'a> {
        topics: Array<'a, TopicRequest<'a>> [0+],
        response_partition_limit: i32 [0+] = 2000,
        cursor: Option<Cursor<'a>> [0+],
    }

    TopicRequest<'a> {
        name: &'a str [0+],
    }

    Cursor<'a> {
        topic_name: &'a str [0+],
        partition_index: i32 [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+, ignorable],
        topics: Array<'a, DescribeTopicPartitionsResponseTopic<'a>> [0+],
        next_cursor: Option<Cursor<'a>> [0+],
    }

    DescribeTopicPartitionsResponseTopic<'a> {
        error_code: ErrorCode [0+],
        name: Option<&'a str> [0+],
        topic_id: Uuid [0+, ignorable],
        is_internal: bool [0+, ignorable],
        partitions: Array<'a, DescribeTopicPartitionsResponsePartition<'a>> [0+],
        topic_authorized_operations: i32 [0+] = i32::MIN,
    }

    DescribeTopicPartitionsResponsePartition<'a> {
        error_code: ErrorCode [0+],
        partition_index: i32 [0+],
        leader_id: i32 [0+],
        leader_epoch: i32 [0+, ignorable] = -1,
        replica_nodes: Array<'a, i32> [0+],
        isr_nodes: Array<'a, i32> [0+],
        eligible_leader_replicas: Option<Array<'a, i32>> [0+],
        last_known_elr: Option<Array<'a, i32>> [0+],
        offline_replicas: Array<'a, i32> [0+, ignorable],
    }
}
