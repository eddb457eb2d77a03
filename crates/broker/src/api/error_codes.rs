//! The one place where the broker's own errors become Kafka's codes.

use kafscale_log::BarrierError;
use kafscale_protocol::ErrorCode;

use crate::{groups, read, write};

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

/// What became of a request to a group.
pub fn of_group(error: groups::Error) -> ErrorCode {
    match error {
        groups::Error::InvalidGroupId => ErrorCode::InvalidGroupId,
        groups::Error::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
        groups::Error::UnknownMember => ErrorCode::UnknownMemberId,
        groups::Error::MemberIdRequired => ErrorCode::MemberIdRequired,
        groups::Error::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
        groups::Error::GroupFull => ErrorCode::GroupMaxSizeReached,
        groups::Error::FencedInstance => ErrorCode::FencedInstanceId,
        groups::Error::IllegalGeneration => ErrorCode::IllegalGeneration,
        groups::Error::FencedMemberEpoch => ErrorCode::FencedMemberEpoch,
        groups::Error::StaleMemberEpoch => ErrorCode::StaleMemberEpoch,
        groups::Error::UnsupportedVersion => ErrorCode::UnsupportedVersion,
        groups::Error::UnreleasedInstance => ErrorCode::UnreleasedInstanceId,
        groups::Error::UnsupportedAssignor => ErrorCode::UnsupportedAssignor,
        groups::Error::InvalidPattern => ErrorCode::InvalidRegularExpression,
        groups::Error::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        groups::Error::NotCoordinator => ErrorCode::NotCoordinator,
        groups::Error::NotAvailable => ErrorCode::CoordinatorNotAvailable,
        groups::Error::Unsaveable => ErrorCode::UnknownServerError,
        groups::Error::GroupNotFound | groups::Error::CannotUpgrade(_) => ErrorCode::GroupIdNotFound,
        groups::Error::GroupNotEmpty => ErrorCode::NonEmptyGroup,
    }
}

/// Why one offset was not committed or deleted.
pub fn of_offset(error: groups::OffsetError) -> ErrorCode {
    match error {
        groups::OffsetError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        groups::OffsetError::NoRoom => ErrorCode::InvalidCommitOffsetSize,
    }
}

/// A log that cannot be asked for its end, where a group is meant.
pub fn of_group_barrier(error: &BarrierError) -> ErrorCode {
    match error {
        BarrierError::Fenced(_) => ErrorCode::NotCoordinator,
        BarrierError::Unavailable(_) => ErrorCode::CoordinatorNotAvailable,
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
/// an offset is out of range. Damaged records are among them: an operator can put back what they were.
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
