//! The one place where the broker's own errors become Kafka's codes.

use kafscale_log::BarrierError;
use kafscale_protocol::ErrorCode;

use crate::write;

/// What became of a batch.
pub fn of_write(error: write::Error) -> ErrorCode {
    match error {
        write::Error::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        write::Error::InvalidProducerEpoch => ErrorCode::InvalidProducerEpoch,
        write::Error::DuplicateSequence => ErrorCode::DuplicateSequenceNumber,
        write::Error::OutOfOrderSequence => ErrorCode::OutOfOrderSequenceNumber,
        write::Error::Refused => ErrorCode::InvalidRecord,
        write::Error::Backlog | write::Error::StoreStalled => ErrorCode::NotEnoughReplicas,
        write::Error::TimedOut => ErrorCode::RequestTimedOut,
        write::Error::Stopped => ErrorCode::NotLeaderOrFollower,
    }
}

/// What became of an entry.
pub fn of_entry(error: write::EntryError) -> ErrorCode {
    match error {
        write::EntryError::TimedOut => ErrorCode::RequestTimedOut,
        write::EntryError::Stopped => ErrorCode::NotController,
    }
}

/// A log that cannot be asked for its end: clients try again, perhaps elsewhere.
pub fn of_barrier(error: &BarrierError) -> ErrorCode {
    match error {
        BarrierError::Fenced(_) => ErrorCode::NotLeaderOrFollower,
        BarrierError::Unavailable(_) => ErrorCode::LeaderNotAvailable,
    }
}
