//! Metadata (3): brokers, and topics with their partitions and leaders. In version 0 an empty list asks for all topics, later
//! a null one does.

use crate::define::message;
use crate::{Array, ErrorCode, Uuid};

message! {
    Request<'a> {
        topics: Option<Array<'a, MetadataRequestTopic<'a>>> [0+, nullable 1+],
        allow_auto_topic_creation: bool [4+] = true,
        include_cluster_authorized_operations: bool [8-10],
        include_topic_authorized_operations: bool [8+],
    }

    MetadataRequestTopic<'a> {
        topic_id: Uuid [10+, ignorable],
        name: Option<&'a str> [0+, nullable 10+],
    }

    Response<'a> {
        throttle_time_ms: i32 [3+, ignorable],
        brokers: Array<'a, MetadataResponseBroker<'a>> [0+],
        cluster_id: Option<&'a str> [2+, ignorable],
        controller_id: i32 [1+, ignorable] = -1,
        topics: Array<'a, MetadataResponseTopic<'a>> [0+],
        cluster_authorized_operations: i32 [8-10] = i32::MIN,
        error_code: ErrorCode [13+, ignorable],
    }

    MetadataResponseBroker<'a> {
        node_id: i32 [0+],
        host: &'a str [0+],
        port: i32 [0+],
        rack: Option<&'a str> [1+, ignorable],
    }

    MetadataResponseTopic<'a> {
        error_code: ErrorCode [0+],
        name: Option<&'a str> [0+, nullable 12+],
        topic_id: Uuid [10+, ignorable],
        is_internal: bool [1+, ignorable],
        partitions: Array<'a, MetadataResponsePartition<'a>> [0+],
        topic_authorized_operations: i32 [8+] = i32::MIN,
    }

    MetadataResponsePartition<'a> {
        error_code: ErrorCode [0+],
        partition_index: i32 [0+],
        leader_id: i32 [0+],
        leader_epoch: i32 [7+, ignorable] = -1,
        replica_nodes: Array<'a, i32> [0+],
        isr_nodes: Array<'a, i32> [0+],
        offline_replicas: Array<'a, i32> [5+, ignorable],
    }
}
