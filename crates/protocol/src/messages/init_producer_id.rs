//! InitProducerId (22): a producer id and epoch, or the next epoch of one. (Version 6, two-phase commit, is unstable in
//! Kafka and not served.)

use crate::ErrorCode;
use crate::define::message;

message! {
    Request<'a> {
        transactional_id: Option<&'a str> [0+],
        transaction_timeout_ms: i32 [0+],
        producer_id: i64 [3+] = -1,
        producer_epoch: i16 [3+] = -1,
    }

    Response {
        throttle_time_ms: i32 [0+, ignorable],
        error_code: ErrorCode [0+],
        producer_id: i64 [0+] = -1,
        producer_epoch: i16 [0+],
    }
}
