//! Produce (0): record batches for partitions. From version 13 topics go by id.

use crate::define::message;
use crate::{Array, ErrorCode, Records, Uuid};

message! {
    Request<'a> {
        transactional_id: Option<&'a str> [3+],
        acks: i16 [0+],
        timeout_ms: i32 [0+],
        topic_data: Array<'a, TopicProduceData<'a>> [0+],
    }

    TopicProduceData<'a> {
        name: &'a str [0-12, ignorable],
        topic_id: Uuid [13+, ignorable],
        partition_data: Array<'a, PartitionProduceData<'a>> [0+],
    }

    PartitionProduceData<'a> {
        index: i32 [0+],
        records: Option<Records<'a>> [0+],
    }

    Response<'a> {
        responses: Array<'a, TopicProduceResponse<'a>> [0+],
        throttle_time_ms: i32 [1+, ignorable],
        node_endpoints: Array<'a, NodeEndpoint<'a>> [10+, tag 0],
    }

    TopicProduceResponse<'a> {
        name: &'a str [0-12, ignorable],
        topic_id: Uuid [13+, ignorable],
        partition_responses: Array<'a, PartitionProduceResponse<'a>> [0+],
    }

    PartitionProduceResponse<'a> {
        index: i32 [0+],
        error_code: ErrorCode [0+],
        base_offset: i64 [0+],
        log_append_time_ms: i64 [2+, ignorable] = -1,
        log_start_offset: i64 [5+, ignorable] = -1,
        record_errors: Array<'a, BatchIndexAndErrorMessage<'a>> [8+, ignorable],
        error_message: Option<&'a str> [8+, ignorable],
        current_leader: LeaderIdAndEpoch [10+, tag 0],
    }

    BatchIndexAndErrorMessage<'a> {
        batch_index: i32 [8+],
        batch_index_error_message: Option<&'a str> [8+],
    }

    LeaderIdAndEpoch {
        leader_id: i32 [10+] = -1,
        leader_epoch: i32 [10+] = -1,
    }

    NodeEndpoint<'a> {
        node_id: i32 [10+],
        host: &'a str [10+],
        port: i32 [10+],
        rack: Option<&'a str> [10+],
    }
}
