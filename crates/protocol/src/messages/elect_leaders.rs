//! ElectLeaders (43): leaders of partitions are elected anew.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        election_type: i8 [1+],
        topic_partitions: Option<Array<'a, TopicPartitions<'a>>> [0+],
        timeout_ms: i32 [0+] = 60_000,
    }

    TopicPartitions<'a> {
        topic: &'a str [0+],
        partitions: Array<'a, i32> [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [1+],
        replica_election_results: Array<'a, ReplicaElectionResult<'a>> [0+],
    }

    ReplicaElectionResult<'a> {
        topic: &'a str [0+],
        partition_result: Array<'a, PartitionResult<'a>> [0+],
    }

    PartitionResult<'a> {
        partition_id: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
    }
}
