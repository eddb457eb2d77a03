//! Verdicts: what apply answers to each entry.
//!
//! An answer to a client always comes from the verdict of the broker's own replica. The digest chains over the encoded
//! verdicts, so a change of their bytes is a change of apply's results.

use crate::Handle;
use crate::codec::Writer;
use crate::producer::Piece;
use crate::topic::{Handles, TopicId};

/// The answer to one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Applied; there is nothing to say.
    Done,
    /// The broker has this seat in its zone.
    BrokerJoined {
        /// The lowest that was free.
        seat: u32,
    },
    /// The topic has these handles, in the order of its partitions.
    TopicCreated {
        /// Handles of partitions 0 and on.
        handles: Handles,
    },
    /// The new partitions have these handles.
    PartitionsAdded {
        /// Handles of the partitions from the old count on.
        handles: Handles,
    },
    /// The producer ids `first..first + count` belong to the session that asked.
    PidBlock {
        /// The first of them.
        first: i64,
    },
    /// What became of the runs.
    Commit(CommitVerdict),
    /// The log start offset of each partition, in the order of the entry.
    RecordsDeleted(Vec<Result<i64, StartRefused>>),
    /// The log start offset of each partition, in the order of the entry.
    Retained(Vec<Result<i64, CutRefused>>),
    /// The group is what was said.
    GroupSaved {
        /// The revision that the next save must name.
        revision: u64,
    },
    /// One per offset of the entry.
    OffsetsSaved(Vec<Result<(), OffsetRefused>>),
    /// One per swap of the entry.
    Merged(Vec<Result<(), SwapRefused>>),
    /// Nothing was changed.
    Refused(Refused),
}

/// Why an entry was refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The log belongs to another cluster.
    #[error("the log belongs to another cluster")]
    OtherCluster,
    /// A level below the present one.
    #[error("the feature level is higher already")]
    FeatureLevelLower,
    /// The broker knows only lower levels.
    #[error("the broker does not know the present feature level")]
    FeatureLevelUnknown,
    /// The session is not newer than the one that it follows, or is gone.
    #[error("the session is over")]
    SessionOver,
    /// No such live session.
    #[error("no such session")]
    UnknownSession,
    /// The name is taken.
    #[error("topic exists already")]
    TopicAlreadyExists {
        /// By this topic.
        id: TopicId,
    },
    /// The id is taken, or 0.
    #[error("topic id is not usable")]
    InvalidTopicId,
    /// No such topic.
    #[error("unknown topic")]
    UnknownTopic,
    /// A name or address that breaks the rules of its kind.
    #[error("invalid name")]
    InvalidName,
    /// A partition count that is 0, too great, or not what the topic had.
    #[error("invalid partition count")]
    InvalidPartitions,
    /// All partitions that the state may hold exist.
    #[error("too many partitions")]
    TooManyPartitions,
    /// Too many settings, or one that is too long.
    #[error("invalid settings")]
    InvalidSettings,
    /// An empty block, one that is too great, or no ids are left.
    #[error("invalid block of producer ids")]
    InvalidPidBlock,
    /// Its object was committed before: a frame has one payload, and an object is committed once.
    #[error("object is committed already")]
    ObjectCommitted,
    /// A number beyond what the state can store.
    #[error("object number out of range")]
    InvalidObject,
    /// Too many brokers.
    #[error("too many brokers")]
    TooManyBrokers,
    /// The group has another revision than the writer knew.
    #[error("the group has changed")]
    GroupChanged,
    /// No such group.
    #[error("no such group")]
    GroupNotFound,
    /// It has members, or offsets that are in use.
    #[error("the group is not empty")]
    GroupNotEmpty,
    /// The committer is no member, or none is needed where there are some.
    #[error("no such member of the group")]
    UnknownMember,
    /// The member commits under another generation than the group's.
    #[error("the group has another generation")]
    IllegalGeneration,
    /// The member of a KIP-848 group commits under another epoch than its own.
    #[error("the member has another epoch")]
    StaleMemberEpoch,
    /// The group, or all groups together, weigh more than they may.
    #[error("too many groups, or one that is too large")]
    TooManyGroups,
    /// A group that contradicts itself, or an id that is too long.
    #[error("invalid group")]
    InvalidGroup,
    /// No such partition.
    #[error("unknown partition")]
    UnknownPartition,
    /// The partition has a claim.
    #[error("a segment of this partition is being written already")]
    ClaimedAlready,
    /// No claim of this number.
    #[error("no such claim")]
    ClaimUnknown,
    /// A claim, or what was made of it, that does not fit the partition.
    #[error("invalid claim")]
    InvalidClaim,
    /// Something of a deleted topic of this name may still lie under its path.
    #[error("the path of the topic is not free yet")]
    PathInUse,
}

/// Why a partition's part of a merged object is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SwapRefused {
    /// The partition does not exist, or no longer.
    #[error("unknown topic or partition")]
    UnknownTopicOrPartition,
    /// The records lie elsewhere than where they were read, or some are gone.
    #[error("the extents are not those that were read")]
    SourcesChanged,
    /// A segment is being made of them.
    #[error("the extents are claimed for a segment")]
    Claimed,
    /// There would be more extents than before, and the state holds as many as it may.
    #[error("the backlog of extents is full")]
    BacklogFull,
    /// It contradicts itself.
    #[error("invalid swap")]
    Invalid,
}

impl SwapRefused {
    /// Never renumber: the digest covers it; 0 stands for success.
    fn code(self) -> u8 {
        match self {
            Self::UnknownTopicOrPartition => 1,
            Self::SourcesChanged => 2,
            Self::Claimed => 3,
            Self::BacklogFull => 4,
            Self::Invalid => 5,
        }
    }
}

/// Why an offset was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OffsetRefused {
    /// The partition does not exist, or no longer.
    #[error("unknown topic or partition")]
    UnknownTopicOrPartition,
    /// Its metadata is too long, or all groups together weigh what they may.
    #[error("offset metadata too large")]
    TooLarge,
}

/// The answer to a commit, shaped like it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitVerdict {
    /// One per extent of the entry.
    pub extents: Vec<ExtentVerdict>,
}

/// The answer to one partition's runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtentVerdict {
    /// Which partition.
    pub partition: Handle,
    /// Its log start offset; -1 when it does not exist.
    pub log_start_offset: i64,
    /// One per run.
    pub runs: Vec<RunVerdict>,
}

/// The answer to one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunVerdict {
    /// All of it was written now.
    Accepted {
        /// Offset of its first record.
        base_offset: i64,
    },
    /// All of it had been written by one earlier run.
    Duplicate {
        /// Offset of its first record.
        base_offset: i64,
    },
    /// Some of it had been written before, in one or more runs; what follows, if anything, was written now.
    Partial {
        /// What had been written.
        known: Vec<Piece>,
        /// Offset of the first record that was written now; none if all had been written.
        rest_base_offset: Option<i64>,
    },
    /// None of it was written now.
    Refused(RunRefused),
}

/// Where a record of a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// At this offset, written now.
    New(i64),
    /// At this offset, written before.
    Before(i64),
    /// Written before, longer ago than is remembered: Kafka's DUPLICATE_SEQUENCE_NUMBER.
    Forgotten,
}

impl RunVerdict {
    /// Where the record with this index within the run is. A batch lies in one piece, so the answer for its first record
    /// is the answer for the batch.
    pub fn place(&self, record: u32) -> Result<Placed, RunRefused> {
        match self {
            Self::Accepted { base_offset } => Ok(Placed::New(base_offset + i64::from(record))),
            Self::Duplicate { base_offset } => Ok(Placed::Before(base_offset + i64::from(record))),
            Self::Refused(refused) => Err(*refused),
            Self::Partial { known, rest_base_offset } => {
                let mut index = record;
                for piece in known {
                    if index < piece.records {
                        let offset = piece.base_offset.map(|base| base + i64::from(index));
                        return Ok(offset.map_or(Placed::Forgotten, Placed::Before));
                    }
                    index -= piece.records;
                }
                // Records beyond the run have no place; a caller that asks for one is answered like an unusable run.
                rest_base_offset.map(|base| Placed::New(base + i64::from(index))).ok_or(RunRefused::Invalid)
            }
        }
    }
}

/// Why a run was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RunRefused {
    /// The partition does not exist, or no longer.
    #[error("unknown topic or partition")]
    UnknownTopicOrPartition,
    /// The producer has a newer epoch.
    #[error("invalid producer epoch")]
    InvalidProducerEpoch,
    /// Written, longer ago than is remembered.
    #[error("duplicate sequence number")]
    DuplicateSequenceNumber,
    /// It does not continue the producer's sequence.
    #[error("out of order sequence number")]
    OutOfOrderSequenceNumber,
    /// It carries the transactional bit, which this feature level does not know.
    #[error("transactions are not supported")]
    TransactionsUnsupported,
    /// The state holds as many extents as it may; try again later.
    #[error("the backlog of extents is full")]
    BacklogFull,
    /// The partition has no offsets left.
    #[error("no offsets are left")]
    OffsetsExhausted,
    /// It contradicts itself: empty, too many records, bounds that do not add up, an unknown producer index.
    #[error("invalid run")]
    Invalid,
}

/// Why a log start offset was not moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartRefused {
    /// The partition does not exist, or no longer.
    #[error("unknown topic or partition")]
    UnknownTopicOrPartition,
    /// Beyond the end, or below -1.
    #[error("offset out of range")]
    OffsetOutOfRange,
}

/// Why retention has not cut a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CutRefused {
    /// The partition does not exist, or no longer.
    #[error("unknown topic or partition")]
    UnknownTopicOrPartition,
    /// Its settings are no longer those that the rule was read from.
    #[error("the settings have changed")]
    SettingsChanged,
}

impl Verdict {
    /// Appends the bytes that the digest covers.
    pub(crate) fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Done => writer.u8(0),
            Self::BrokerJoined { seat } => {
                writer.u8(1);
                writer.varint(u64::from(*seat));
            }
            Self::TopicCreated { handles } => encode_handles(2, handles, writer),
            Self::PartitionsAdded { handles } => encode_handles(3, handles, writer),
            Self::PidBlock { first } => {
                writer.u8(4);
                writer.zigzag(*first);
            }
            Self::Commit(commit) => {
                writer.u8(5);
                commit.encode(writer);
            }
            Self::RecordsDeleted(starts) => {
                writer.u8(6);
                writer.count(starts.len());
                starts.iter().for_each(|start| writer.zigzag(start.unwrap_or_else(StartRefused::code)));
            }
            Self::Retained(starts) => {
                writer.u8(11);
                writer.count(starts.len());
                starts.iter().for_each(|start| writer.zigzag(start.unwrap_or_else(CutRefused::code)));
            }
            Self::Refused(refused) => {
                writer.u8(7);
                writer.u8(refused.code());
            }
            Self::GroupSaved { revision } => {
                writer.u8(8);
                writer.varint(*revision);
            }
            Self::Merged(swaps) => {
                writer.u8(10);
                writer.count(swaps.len());
                swaps.iter().for_each(|swap| writer.u8(swap.err().map_or(0, SwapRefused::code)));
            }
            Self::OffsetsSaved(offsets) => {
                writer.u8(9);
                writer.count(offsets.len());
                for offset in offsets {
                    writer.u8(match offset {
                        Ok(()) => 0,
                        Err(OffsetRefused::UnknownTopicOrPartition) => 1,
                        Err(OffsetRefused::TooLarge) => 2,
                    });
                }
            }
        }
    }
}

impl StartRefused {
    /// Below every offset. Never renumber: the digest covers it.
    fn code(self) -> i64 {
        match self {
            Self::UnknownTopicOrPartition => -1,
            Self::OffsetOutOfRange => -2,
        }
    }
}

impl CutRefused {
    /// Below every offset. Never renumber: the digest covers it.
    fn code(self) -> i64 {
        match self {
            Self::UnknownTopicOrPartition => -1,
            Self::SettingsChanged => -2,
        }
    }
}

fn encode_handles(tag: u8, handles: &Handles, writer: &mut Writer) {
    writer.u8(tag);
    writer.varint(u64::from(handles.first));
    writer.varint(u64::from(handles.count));
}

impl CommitVerdict {
    fn encode(&self, writer: &mut Writer) {
        writer.count(self.extents.len());
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is(crate::planted::Bug::IteratedHashMap) {
            return crate::planted::in_hash_order(&self.extents, |extent| extent.encode(writer));
        }
        self.extents.iter().for_each(|extent| extent.encode(writer));
    }
}

impl ExtentVerdict {
    fn encode(&self, writer: &mut Writer) {
        writer.varint(u64::from(self.partition));
        writer.zigzag(self.log_start_offset);
        writer.count(self.runs.len());
        self.runs.iter().for_each(|run| run.encode(writer));
    }
}

impl RunVerdict {
    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Accepted { base_offset } => {
                writer.u8(0);
                writer.zigzag(*base_offset);
            }
            Self::Duplicate { base_offset } => {
                writer.u8(1);
                writer.zigzag(*base_offset);
            }
            Self::Partial { known, rest_base_offset } => {
                writer.u8(2);
                writer.count(known.len());
                for piece in known {
                    writer.varint(u64::from(piece.records));
                    writer.optional(piece.base_offset.map(|offset| offset as u64));
                }
                writer.optional(rest_base_offset.map(|offset| offset as u64));
            }
            Self::Refused(refused) => {
                writer.u8(3);
                writer.u8(refused.code());
            }
        }
    }
}

impl RunRefused {
    /// Never renumber: the digest covers it.
    fn code(self) -> u8 {
        match self {
            Self::UnknownTopicOrPartition => 0,
            Self::InvalidProducerEpoch => 1,
            Self::DuplicateSequenceNumber => 2,
            Self::OutOfOrderSequenceNumber => 3,
            Self::TransactionsUnsupported => 4,
            Self::BacklogFull => 5,
            Self::OffsetsExhausted => 6,
            Self::Invalid => 7,
        }
    }
}

impl Refused {
    /// Never renumber: the digest covers it.
    fn code(self) -> u8 {
        match self {
            Self::OtherCluster => 0,
            Self::FeatureLevelLower => 1,
            Self::FeatureLevelUnknown => 2,
            Self::SessionOver => 3,
            Self::UnknownSession => 4,
            Self::TopicAlreadyExists { .. } => 5,
            Self::InvalidTopicId => 6,
            Self::UnknownTopic => 7,
            Self::InvalidName => 8,
            Self::InvalidPartitions => 9,
            Self::TooManyPartitions => 10,
            Self::InvalidSettings => 11,
            Self::InvalidPidBlock => 12,
            Self::ObjectCommitted => 13,
            Self::InvalidObject => 14,
            Self::TooManyBrokers => 15,
            Self::GroupChanged => 16,
            Self::GroupNotFound => 17,
            Self::GroupNotEmpty => 18,
            Self::UnknownMember => 19,
            Self::IllegalGeneration => 20,
            Self::StaleMemberEpoch => 23,
            Self::TooManyGroups => 21,
            Self::InvalidGroup => 22,
            Self::UnknownPartition => 24,
            Self::ClaimedAlready => 25,
            Self::ClaimUnknown => 26,
            Self::InvalidClaim => 27,
            Self::PathInUse => 28,
        }
    }
}
