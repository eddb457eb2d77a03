//! DescribeQuorum (55): who votes on the log of the cluster's metadata.

use crate::define::message;
use crate::{Array, ErrorCode, Uuid};

message! {
    Request<'a> {
        topics: Array<'a, RequestedTopicData<'a>> [0+],
    }

    RequestedTopicData<'a> {
        topic_name: &'a str [0+],
        partitions: Array<'a, RequestedPartitionData> [0+],
    }

    RequestedPartitionData {
        partition_index: i32 [0+],
    }

    Response<'a> {
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [2+, ignorable],
        topics: Array<'a, TopicData<'a>> [0+],
        nodes: Array<'a, Node<'a>> [2+],
    }

    TopicData<'a> {
        topic_name: &'a str [0+],
        partitions: Array<'a, PartitionData<'a>> [0+],
    }

    PartitionData<'a> {
        partition_index: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [2+, ignorable],
        leader_id: i32 [0+],
        leader_epoch: i32 [0+],
        high_watermark: i64 [0+],
        current_voters: Array<'a, ReplicaState> [0+],
        observers: Array<'a, ReplicaState> [0+],
    }

    ReplicaState {
        replica_id: i32 [0+],
        replica_directory_id: Uuid [2+],
        log_end_offset: i64 [0+],
        last_fetch_timestamp: i64 [1+, ignorable] = -1,
        last_caught_up_timestamp: i64 [1+, ignorable] = -1,
    }

    Node<'a> {
        node_id: i32 [2+],
        listeners: Array<'a, Listener<'a>> [2+],
    }

    Listener<'a> {
        name: &'a str [2+],
        host: &'a str [2+],
        port: u16 [2+],
    }
}
