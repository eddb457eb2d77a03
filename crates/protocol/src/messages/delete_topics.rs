//! DeleteTopics (20). From version 6 by name or by id.

use crate::define::message;
use crate::{Array, ErrorCode, Uuid};

message! {
    Request<'a> {
        topics: Array<'a, DeleteTopicState<'a>> [6+],
        topic_names: Array<'a, &'a str> [0-5, ignorable],
        timeout_ms: i32 [0+],
    }

    DeleteTopicState<'a> {
        name: Option<&'a str> [6+],
        topic_id: Uuid [6+],
    }

    Response<'a> {
        throttle_time_ms: i32 [1+, ignorable],
        responses: Array<'a, DeletableTopicResult<'a>> [0+],
    }

    DeletableTopicResult<'a> {
        name: Option<&'a str> [0+, nullable 6+],
        topic_id: Uuid [6+, ignorable],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [5+, ignorable],
    }
}
