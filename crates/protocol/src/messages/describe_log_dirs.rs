//! DescribeLogDirs (35): where a broker keeps partitions, and how large they are.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        topics: Option<Array<'a, DescribableLogDirTopic<'a>>> [0+],
    }

    DescribableLogDirTopic<'a> {
        topic: &'a str [0+],
        partitions: Array<'a, i32> [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [3+, ignorable],
        results: Array<'a, DescribeLogDirsResult<'a>> [0+],
    }

    DescribeLogDirsResult<'a> {
        error_code: ErrorCode [0+],
        log_dir: &'a str [0+],
        topics: Array<'a, DescribeLogDirsTopic<'a>> [0+],
        total_bytes: i64 [4+, ignorable] = -1,
        usable_bytes: i64 [4+, ignorable] = -1,
        is_cordoned: bool [5+, ignorable],
    }

    DescribeLogDirsTopic<'a> {
        name: &'a str [0+],
        partitions: Array<'a, DescribeLogDirsPartition> [0+],
    }

    DescribeLogDirsPartition {
        partition_index: i32 [0+],
        partition_size: i64 [0+],
        offset_lag: i64 [0+],
        is_future_key: bool [0+],
    }
}
