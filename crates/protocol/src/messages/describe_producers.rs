//! DescribeProducers (61): the producers that partitions remember.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        topics: Array<'a, TopicRequest<'a>> [0+],
    }

    TopicRequest<'a> {
        name: &'a str [0+],
        partition_indexes: Array<'a, i32> [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        topics: Array<'a, TopicResponse<'a>> [0+],
    }

    TopicResponse<'a> {
        name: &'a str [0+],
        partitions: Array<'a, PartitionResponse<'a>> [0+],
    }

    PartitionResponse<'a> {
        partition_index: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
        active_producers: Array<'a, ProducerState> [0+],
    }

    ProducerState {
        producer_id: i64 [0+],
        producer_epoch: i32 [0+],
        last_sequence: i32 [0+] = -1,
        last_timestamp: i64 [0+] = -1,
        coordinator_epoch: i32 [0+],
        current_txn_start_offset: i64 [0+] = -1,
    }
}
