//! ConsumerGroupDescribe (69): KIP-848 groups with their members.

use crate::define::message;
use crate::{Array, ErrorCode, Uuid};

message! {
    Request<'a> {
        group_ids: Array<'a, &'a str> [0+],
        include_authorized_operations: bool [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        groups: Array<'a, DescribedGroup<'a>> [0+],
    }

    DescribedGroup<'a> {
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
        group_id: &'a str [0+],
        group_state: &'a str [0+],
        group_epoch: i32 [0+],
        assignment_epoch: i32 [0+],
        assignor_name: &'a str [0+],
        members: Array<'a, Member<'a>> [0+],
        authorized_operations: i32 [0+] = i32::MIN,
    }

    Member<'a> {
        member_id: &'a str [0+],
        instance_id: Option<&'a str> [0+],
        rack_id: Option<&'a str> [0+],
        member_epoch: i32 [0+],
        client_id: &'a str [0+],
        client_host: &'a str [0+],
        subscribed_topic_names: Array<'a, &'a str> [0+],
        subscribed_topic_regex: Option<&'a str> [0+],
        assignment: Assignment<'a> [0+],
        target_assignment: Assignment<'a> [0+],
        member_type: i8 [1+, ignorable] = -1,
    }

    Assignment<'a> {
        topic_partitions: Array<'a, TopicPartitions<'a>> [0+],
    }

    TopicPartitions<'a> {
        topic_id: Uuid [0+],
        topic_name: &'a str [0+],
        partitions: Array<'a, i32> [0+],
    }
}
