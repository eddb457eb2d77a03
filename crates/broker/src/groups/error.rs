//! What can become of a request to a group besides success, in Kafka's sense; `api` maps it to Kafka's codes.

use kafscale_state::verdict::{OffsetRefused, Refused};

use crate::write::EntryError;

/// Why a request of a member, or about a group, was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An empty group id where members are meant.
    #[error("group id must not be empty")]
    InvalidGroupId,
    /// Outside of what `group.min.session.timeout.ms` and `group.max.session.timeout.ms` allow.
    #[error("session timeout out of bounds")]
    InvalidSessionTimeout,
    /// The group has no such member.
    #[error("no such member")]
    UnknownMember,
    /// The member must join again with the id that it is given.
    #[error("join again with the member id given")]
    MemberIdRequired,
    /// Another protocol type than the group's, or no protocol that all support.
    #[error("protocols do not fit the group's")]
    InconsistentProtocol,
    /// The group has as many members, or weighs as much, as it may.
    #[error("the group is full")]
    GroupFull,
    /// Another member has this `group.instance.id` now.
    #[error("another member has this instance id")]
    FencedInstance,
    /// Not the group's generation.
    #[error("not the current generation")]
    IllegalGeneration,
    /// Not the epoch of the member of a KIP-848 group: it must give up all that it owns and join again.
    #[error("the member must abandon all its partitions and rejoin")]
    FencedMemberEpoch,
    /// Not the epoch that the member has now: it may try again with that.
    #[error("not the member's current epoch")]
    StaleMemberEpoch,
    /// A member of a KIP-848 group commits by a version of the request that knows no epochs.
    #[error("members of this group commit by version 9 or above")]
    UnsupportedVersion,
    /// The member that has this `group.instance.id` has not left.
    #[error("another member has this instance id and has not left")]
    UnreleasedInstance,
    /// There is no such assignor.
    #[error("the assignor is not supported; supported are uniform and range")]
    UnsupportedAssignor,
    /// The expression cannot be compiled, or is too large.
    #[error("the regular expression is invalid or too large")]
    InvalidPattern,
    /// The members must join again.
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    /// Another broker coordinates this group.
    #[error("another broker coordinates this group")]
    NotCoordinator,
    /// This broker cannot coordinate now: it may be behind, or the store does not confirm.
    #[error("the coordinator is not available")]
    NotAvailable,
    /// The group could not be saved: it is too large.
    #[error("the group cannot be saved")]
    Unsaveable,
    /// No such group.
    #[error("no such group")]
    GroupNotFound,
    /// A classic group that cannot become a KIP-848 group while it has members.
    #[error("cannot upgrade the classic group to a consumer group: {0}")]
    CannotUpgrade(&'static str),
    /// The group has members.
    #[error("the group has members")]
    GroupNotEmpty,
}

/// Why one offset was not committed or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OffsetError {
    /// The partition does not exist, or no longer.
    #[error("no such partition")]
    UnknownPartition,
    /// All groups hold as much as they may.
    #[error("no room for more offsets")]
    NoRoom,
}

impl From<OffsetRefused> for OffsetError {
    fn from(refused: OffsetRefused) -> Self {
        match refused {
            OffsetRefused::UnknownTopicOrPartition => Self::UnknownPartition,
            OffsetRefused::TooLarge => Self::NoRoom,
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::UnknownMember => Self::UnknownMember,
            Refused::IllegalGeneration => Self::IllegalGeneration,
            Refused::StaleMemberEpoch => Self::StaleMemberEpoch,
            Refused::GroupNotFound => Self::GroupNotFound,
            Refused::GroupNotEmpty => Self::GroupNotEmpty,
            Refused::GroupChanged => Self::NotCoordinator,
            _ => Self::Unsaveable,
        }
    }
}

impl From<EntryError> for Error {
    fn from(error: EntryError) -> Self {
        match error {
            EntryError::TimedOut | EntryError::StoreStalled => Self::NotAvailable,
            EntryError::Stopped => Self::NotCoordinator,
        }
    }
}
