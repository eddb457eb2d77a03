//! DescribeClientQuotas (48): quotas that match a filter.

use crate::define::message;
use crate::{Array, ErrorCode, Float64};

message! {
    Request<'a> {
        components: Array<'a, ComponentData<'a>> [0+],
        strict: bool [0+],
    }

    ComponentData<'a> {
        entity_type: &'a str [0+],
        match_type: i8 [0+],
        match_: Option<&'a str> [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
        entries: Option<Array<'a, EntryData<'a>>> [0+],
    }

    EntryData<'a> {
        entity: Array<'a, EntityData<'a>> [0+],
        values: Array<'a, ValueData<'a>> [0+],
    }

    EntityData<'a> {
        entity_type: &'a str [0+],
        entity_name: Option<&'a str> [0+],
    }

    ValueData<'a> {
        key: &'a str [0+],
        value: Float64 [0+],
    }
}
