//! ConsumerGroupHeartbeat (68): a member of a KIP-848 group joins, lives and leaves.

use crate::define::message;
use crate::{Array, ErrorCode, Uuid};

message! {
    Request<'a> {
        group_id: &'a str [0+],
        member_id: &'a str [0+],
        member_epoch: i32 [0+],
        instance_id: Option<&'a str> [0+],
        rack_id: Option<&'a str> [0+],
        rebalance_timeout_ms: i32 [0+] = -1,
        subscribed_topic_names: Option<Array<'a, &'a str>> [0+],
        subscribed_topic_regex: Option<&'a str> [1+],
        server_assignor: Option<&'a str> [0+],
        topic_partitions: Option<Array<'a, TopicPartitions<'a>>> [0+],
    }

    TopicPartitions<'a> {
        topic_id: Uuid [0+],
        partitions: Array<'a, i32> [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
        member_id: Option<&'a str> [0+],
        member_epoch: i32 [0+],
        heartbeat_interval_ms: i32 [0+],
        assignment: Option<Assignment<'a>> [0+],
    }

    Assignment<'a> {
        topic_partitions: Array<'a, TopicPartitions<'a>> [0+],
    }
}
