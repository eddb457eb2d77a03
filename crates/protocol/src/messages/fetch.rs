//! Fetch (1): record batches of partitions from an offset on. From version 13 topics go by id; from version 7 requests may
//! be incremental within a session.

use crate::define::message;
use crate::{Array, ErrorCode, Records, Uuid};

message! {
    Request<'a> {
        cluster_id: Option<&'a str> [12+, tag 0, ignorable],
        replica_id: i32 [0-14] = -1,
        replica_state: ReplicaState [15+, tag 1],
        max_wait_ms: i32 [0+],
        min_bytes: i32 [0+],
        max_bytes: i32 [3+, ignorable] = i32::MAX,
        isolation_level: i8 [4+, ignorable],
        session_id: i32 [7+, ignorable],
        session_epoch: i32 [7+, ignorable] = -1,
        topics: Array<'a, FetchTopic<'a>> [0+],
        forgotten_topics_data: Array<'a, ForgottenTopic<'a>> [7+],
        rack_id: &'a str [11+, ignorable],
    }

    ReplicaState {
        replica_id: i32 [15+] = -1,
        replica_epoch: i64 [15+] = -1,
    }

    FetchTopic<'a> {
        topic: &'a str [0-12, ignorable],
        topic_id: Uuid [13+, ignorable],
        partitions: Array<'a, FetchPartition> [0+],
    }

    FetchPartition {
        partition: i32 [0+],
        current_leader_epoch: i32 [9+, ignorable] = -1,
        fetch_offset: i64 [0+],
        last_fetched_epoch: i32 [12+] = -1,
        log_start_offset: i64 [5+, ignorable] = -1,
        partition_max_bytes: i32 [0+],
        replica_directory_id: Uuid [17+, tag 0, ignorable],
        high_watermark: i64 [18+, tag 1, ignorable] = i64::MAX,
    }

    ForgottenTopic<'a> {
        topic: &'a str [7-12, ignorable],
        topic_id: Uuid [13+, ignorable],
        partitions: Array<'a, i32> [7+],
    }

    Response<'a> {
        throttle_time_ms: i32 [1+, ignorable],
        error_code: ErrorCode [7+, ignorable],
        session_id: i32 [7+],
        responses: Array<'a, FetchableTopicResponse<'a>> [0+],
        node_endpoints: Array<'a, NodeEndpoint<'a>> [16+, tag 0],
    }

    FetchableTopicResponse<'a> {
        topic: &'a str [0-12, ignorable],
        topic_id: Uuid [13+, ignorable],
        partitions: Array<'a, PartitionData<'a>> [0+],
    }

    PartitionData<'a> {
        partition_index: i32 [0+],
        error_code: ErrorCode [0+],
        high_watermark: i64 [0+],
        last_stable_offset: i64 [4+, ignorable] = -1,
        log_start_offset: i64 [5+, ignorable] = -1,
        diverging_epoch: EpochEndOffset [12+, tag 0],
        current_leader: LeaderIdAndEpoch [12+, tag 1],
        snapshot_id: SnapshotId [12+, tag 2],
        aborted_transactions: Option<Array<'a, AbortedTransaction>> [4+, ignorable],
        preferred_read_replica: i32 [11+] = -1,
        records: Records<'a> [0+],
    }

    EpochEndOffset {
        epoch: i32 [12+] = -1,
        end_offset: i64 [12+] = -1,
    }

    LeaderIdAndEpoch {
        leader_id: i32 [12+] = -1,
        leader_epoch: i32 [12+] = -1,
    }

    SnapshotId {
        end_offset: i64 [0+] = -1,
        epoch: i32 [0+] = -1,
    }

    AbortedTransaction {
        producer_id: i64 [4+],
        first_offset: i64 [4+],
    }

    NodeEndpoint<'a> {
        node_id: i32 [16+],
        host: &'a str [16+],
        port: i32 [16+],
        rack: Option<&'a str> [16+],
    }
}
