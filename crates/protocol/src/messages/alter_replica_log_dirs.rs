//! AlterReplicaLogDirs (34): replicas move between the log directories of a broker.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        dirs: Array<'a, AlterReplicaLogDir<'a>> [0+],
    }

    AlterReplicaLogDir<'a> {
        path: &'a str [0+],
        topics: Array<'a, AlterReplicaLogDirTopic<'a>> [0+],
    }

    AlterReplicaLogDirTopic<'a> {
        name: &'a str [0+],
        partitions: Array<'a, i32> [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        results: Array<'a, AlterReplicaLogDirTopicResult<'a>> [0+],
    }

    AlterReplicaLogDirTopicResult<'a> {
        topic_name: &'a str [0+],
        partitions: Array<'a, AlterReplicaLogDirPartitionResult> [0+],
    }

    AlterReplicaLogDirPartitionResult {
        partition_index: i32 [0+],
        error_code: ErrorCode [0+],
    }
}
