//! AlterClientQuotas (49): quotas of users and clients change.

use crate::define::message;
use crate::{Array, ErrorCode, Float64};

message! {
    Request<'a> {
        entries: Array<'a, RequestedEntryData<'a>> [0+],
        validate_only: bool [0+],
    }

    RequestedEntryData<'a> {
        entity: Array<'a, EntityData<'a>> [0+],
        ops: Array<'a, OpData<'a>> [0+],
    }

    EntityData<'a> {
        entity_type: &'a str [0+],
        entity_name: Option<&'a str> [0+],
    }

    OpData<'a> {
        key: &'a str [0+],
        value: Float64 [0+],
        remove: bool [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        entries: Array<'a, EntryData<'a>> [0+],
    }

    EntryData<'a> {
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
        entity: Array<'a, EntityData<'a>> [0+],
    }
}
