//! What can become of a batch or an entry besides success, in the write path's own words; `api` maps them to Kafka's codes.

use kafscale_state::verdict::RunRefused;

/// Why a batch was not appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The topic was deleted, or never was.
    #[error("no such partition")]
    UnknownPartition,
    /// The producer's epoch is older than the partition's.
    #[error("producer epoch is older than the current one")]
    InvalidProducerEpoch,
    /// Appended before the last five runs: what it got then is not known any more.
    #[error("duplicate of a batch that was appended long ago")]
    DuplicateSequence,
    /// There is a gap before its sequence.
    #[error("sequence out of order")]
    OutOfOrderSequence,
    /// The state is full; merging must catch up.
    #[error("too many extents wait to be merged")]
    Backlog,
    /// The state refuses it for good: no offsets are left, or it contradicts itself.
    #[error("refused by the state")]
    Refused,
    /// Refused before it was buffered: the store has not confirmed anything for too long.
    #[error("the store is not confirming writes")]
    StoreStalled,
    /// The store has not confirmed it in time; it may still be appended.
    #[error("outcome unknown: the store has not confirmed in time")]
    TimedOut,
    /// This broker was fenced or is stopping; whether it was appended is not known.
    #[error("the broker is stopping")]
    Stopped,
}

impl From<RunRefused> for Error {
    fn from(refused: RunRefused) -> Self {
        match refused {
            RunRefused::UnknownTopicOrPartition => Self::UnknownPartition,
            RunRefused::InvalidProducerEpoch => Self::InvalidProducerEpoch,
            RunRefused::DuplicateSequenceNumber => Self::DuplicateSequence,
            RunRefused::OutOfOrderSequenceNumber => Self::OutOfOrderSequence,
            RunRefused::BacklogFull => Self::Backlog,
            RunRefused::TransactionsUnsupported | RunRefused::OffsetsExhausted | RunRefused::Invalid => Self::Refused,
        }
    }
}
