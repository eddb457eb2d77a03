//! DeleteRecords (21): clients let go of the records below an offset.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        topics: Array<'a, DeleteRecordsTopic<'a>> [0+],
        timeout_ms: i32 [0+],
    }

    DeleteRecordsTopic<'a> {
        name: &'a str [0+],
        partitions: Array<'a, DeleteRecordsPartition> [0+],
    }

    DeleteRecordsPartition {
        partition_index: i32 [0+],
        offset: i64 [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        topics: Array<'a, DeleteRecordsTopicResult<'a>> [0+],
    }

    DeleteRecordsTopicResult<'a> {
        name: &'a str [0+],
        partitions: Array<'a, DeleteRecordsPartitionResult> [0+],
    }

    DeleteRecordsPartitionResult {
        partition_index: i32 [0+],
        low_watermark: i64 [0+],
        error_code: ErrorCode [0+],
    }
}
