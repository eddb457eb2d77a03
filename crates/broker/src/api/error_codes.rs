//! The one place where the broker's own errors become Kafka's codes.

use kafscale_log::BarrierError;
use kafscale_protocol::ErrorCode;

use crate::{read, write};

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
        write::EntryError::TimedOut | write::EntryError::StoreStalled => ErrorCode::RequestTimedOut,
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

/// Why a partition's records, or the offset of one, were not told. Consumers take each of these for passing, except that
/// an offset is out of range.
pub fn of_read(error: &read::Error, uses_topic_ids: bool) -> ErrorCode {
    match error {
        read::Error::UnknownPartition if uses_topic_ids => ErrorCode::UnknownTopicId,
        read::Error::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        read::Error::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        read::Error::EndUnknown(BarrierError::Fenced(_)) => ErrorCode::NotLeaderOrFollower,
        read::Error::EndUnknown(BarrierError::Unavailable(_)) => ErrorCode::OffsetNotAvailable,
        read::Error::Load(_) => ErrorCode::KafkaStorageError,
    }
}
