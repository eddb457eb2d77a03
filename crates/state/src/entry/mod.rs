//! The catalogue of everything that is ever said in the log: one file per entry.
//!
//! A frame's entries follow each other: kind (u8), version (u8), length of the body (varint), body. Numbers in bodies are
//! minimal varints, signed ones zigzag; strings and lists carry their count. These bytes are persisted: a kind is never
//! renumbered, a changed body is a new version, and golden tests hold the bytes of each.
//!
//! A frame is decoded wholly before anything is applied. An unknown kind or version stops the broker; it is never
//! skipped, since the replicas that know it would then differ from those that do not.

mod broker_gone;
mod broker_joined;
mod cleaned;
mod cluster;
mod commit;
mod config_set;
mod feature_level;
mod group_deleted;
mod group_saved;
mod merged;
mod named_config_set;
mod objects_deleted;
mod offsets_saved;
mod partitions_added;
mod pid_block;
mod records_deleted;
mod retained;
mod segment_claimed;
mod segment_published;
mod sequencer;
mod topic_created;
mod topic_deleted;

#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use broker_gone::BrokerGone;
pub use broker_joined::BrokerJoined;
pub use cleaned::{Cleaned, CleanedTo};
pub use cluster::Cluster;
pub use commit::{BatchBounds, Commit, Extent, ObjectRef, Producer, Run};
pub use config_set::{Change, ConfigSet, Resource};
pub use feature_level::FeatureLevel;
pub use group_deleted::GroupDeleted;
pub use group_saved::GroupSaved;
pub(crate) use group_saved::{read_content, write_content};
pub use merged::{Merged, Swap, SwapExtent};
pub(crate) use merged::{decode_object, encode_object};
pub use named_config_set::NamedConfigSet;
pub use objects_deleted::ObjectsDeleted;
pub use offsets_saved::{Committer, OffsetChange, OffsetsSaved};
pub use partitions_added::PartitionsAdded;
pub use pid_block::PidBlock;
pub use records_deleted::RecordsDeleted;
pub use retained::{Cut, Retained};
pub use segment_claimed::SegmentClaimed;
pub use segment_published::SegmentPublished;
pub use sequencer::Sequencer;
pub use topic_created::TopicCreated;
pub(crate) use topic_created::{read_settings, write_settings};
pub use topic_deleted::TopicDeleted;

use crate::codec::{Malformed, Reader, Writer};

/// What an entry is; persisted, never renumber. Those that this build does not apply keep their numbers here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "each kind is documented at the entry of its name")]
pub enum Kind {
    Cluster = 1,
    FeatureLevel = 2,
    Sequencer = 3,
    /// Reserved: a new generation of the log begins.
    Recovered = 4,
    BrokerJoined = 5,
    BrokerGone = 6,
    TopicCreated = 16,
    TopicDeleted = 17,
    PartitionsAdded = 18,
    ConfigSet = 19,
    NamedConfigSet = 20,
    Commit = 32,
    RecordsDeleted = 33,
    Retained = 34,
    PidBlock = 48,
    /// Reserved: a transactional id gets its producer id and epoch.
    TxnInit = 49,
    /// Reserved: partitions join a transaction.
    TxnPartitions = 50,
    /// Reserved: a group's offsets join a transaction.
    TxnOffsets = 51,
    /// Reserved: a transaction ends.
    TxnEnd = 52,
    /// Reserved: a transaction took too long.
    TxnTimeout = 53,
    GroupSaved = 64,
    OffsetsSaved = 65,
    GroupDeleted = 66,
    Merged = 80,
    SegmentClaimed = 81,
    SegmentPublished = 82,
    ObjectsDeleted = 83,
    Cleaned = 84,
    /// Reserved: access rules.
    AclSet = 96,
    /// Reserved: credentials.
    ScramSet = 97,
    /// Reserved: quotas.
    QuotaSet = 98,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is documented at its type")]
pub enum Entry {
    Cluster(Cluster),
    FeatureLevel(FeatureLevel),
    Sequencer(Sequencer),
    BrokerJoined(BrokerJoined),
    BrokerGone(BrokerGone),
    TopicCreated(TopicCreated),
    TopicDeleted(TopicDeleted),
    PartitionsAdded(PartitionsAdded),
    ConfigSet(ConfigSet),
    NamedConfigSet(NamedConfigSet),
    Commit(Commit),
    RecordsDeleted(RecordsDeleted),
    Retained(Retained),
    PidBlock(PidBlock),
    GroupSaved(GroupSaved),
    OffsetsSaved(OffsetsSaved),
    GroupDeleted(GroupDeleted),
    Merged(Merged),
    SegmentClaimed(SegmentClaimed),
    SegmentPublished(SegmentPublished),
    ObjectsDeleted(ObjectsDeleted),
    Cleaned(Cleaned),
}

/// Why a frame's entries cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A kind that this build does not apply: the log was written by a newer one.
    #[error("entry {index} has kind {kind}, which this version does not know")]
    UnknownKind {
        /// Which entry of the frame, from 0.
        index: usize,
        /// Its kind.
        kind: u8,
    },
    /// A version of a known kind that this build does not know.
    #[error("entry {index} of kind {kind} has version {version}, which this version does not know")]
    UnknownVersion {
        /// Which entry of the frame, from 0.
        index: usize,
        /// Its kind.
        kind: u8,
        /// Its version.
        version: u8,
    },
    /// Bytes that are not what the format says.
    #[error("entry {index} has a malformed {what}")]
    Malformed {
        /// Which entry of the frame, from 0.
        index: usize,
        /// Which part of it.
        what: &'static str,
    },
}

/// How the body of an entry is written.
trait Body: Sized {
    const KIND: Kind;
    /// Versions from 1 to this one are read.
    const VERSION_MAX: u8 = 1;

    /// The version that is written: the lowest that can say it, so that a build reads all that needs nothing newer.
    fn version(&self) -> u8 {
        1
    }

    fn encode(&self, writer: &mut Writer);
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed>;
}

impl Entry {
    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Cluster(_) => Kind::Cluster,
            Self::FeatureLevel(_) => Kind::FeatureLevel,
            Self::Sequencer(_) => Kind::Sequencer,
            Self::BrokerJoined(_) => Kind::BrokerJoined,
            Self::BrokerGone(_) => Kind::BrokerGone,
            Self::TopicCreated(_) => Kind::TopicCreated,
            Self::TopicDeleted(_) => Kind::TopicDeleted,
            Self::PartitionsAdded(_) => Kind::PartitionsAdded,
            Self::ConfigSet(_) => Kind::ConfigSet,
            Self::NamedConfigSet(_) => Kind::NamedConfigSet,
            Self::Commit(_) => Kind::Commit,
            Self::RecordsDeleted(_) => Kind::RecordsDeleted,
            Self::Retained(_) => Kind::Retained,
            Self::PidBlock(_) => Kind::PidBlock,
            Self::GroupSaved(_) => Kind::GroupSaved,
            Self::OffsetsSaved(_) => Kind::OffsetsSaved,
            Self::GroupDeleted(_) => Kind::GroupDeleted,
            Self::Merged(_) => Kind::Merged,
            Self::SegmentClaimed(_) => Kind::SegmentClaimed,
            Self::SegmentPublished(_) => Kind::SegmentPublished,
            Self::ObjectsDeleted(_) => Kind::ObjectsDeleted,
            Self::Cleaned(_) => Kind::Cleaned,
        }
    }

    /// Appends the entry as it stands in a frame.
    pub fn encode(&self, frame: &mut Vec<u8>) {
        match self {
            Self::Cluster(body) => write(body, frame),
            Self::FeatureLevel(body) => write(body, frame),
            Self::Sequencer(body) => write(body, frame),
            Self::BrokerJoined(body) => write(body, frame),
            Self::BrokerGone(body) => write(body, frame),
            Self::TopicCreated(body) => write(body, frame),
            Self::TopicDeleted(body) => write(body, frame),
            Self::PartitionsAdded(body) => write(body, frame),
            Self::ConfigSet(body) => write(body, frame),
            Self::NamedConfigSet(body) => write(body, frame),
            Self::Commit(body) => write(body, frame),
            Self::RecordsDeleted(body) => write(body, frame),
            Self::Retained(body) => write(body, frame),
            Self::PidBlock(body) => write(body, frame),
            Self::GroupSaved(body) => write(body, frame),
            Self::OffsetsSaved(body) => write(body, frame),
            Self::GroupDeleted(body) => write(body, frame),
            Self::Merged(body) => write(body, frame),
            Self::SegmentClaimed(body) => write(body, frame),
            Self::SegmentPublished(body) => write(body, frame),
            Self::ObjectsDeleted(body) => write(body, frame),
            Self::Cleaned(body) => write(body, frame),
        }
    }
}

/// The entries of a frame as bytes.
pub fn encode(entries: &[Entry]) -> Bytes {
    let mut frame = Vec::new();
    entries.iter().for_each(|entry| entry.encode(&mut frame));
    Bytes::from(frame)
}

/// All entries of a frame.
pub fn decode(frame: &[u8]) -> Result<Vec<Entry>, DecodeError> {
    let mut reader = Reader::new(frame);
    let mut entries = Vec::new();
    while reader.remaining() > 0 {
        entries.push(decode_one(&mut reader, entries.len())?);
    }
    Ok(entries)
}

fn decode_one(reader: &mut Reader<'_>, index: usize) -> Result<Entry, DecodeError> {
    let malformed = |Malformed(what)| DecodeError::Malformed { index, what };
    let kind = reader.u8("kind").map_err(malformed)?;
    let version = reader.u8("version").map_err(malformed)?;
    let len = reader.count(1, "length").map_err(malformed)?;
    let body = reader.take(len, "body").map_err(malformed)?;
    let header = Header { index, kind, version };
    Ok(match kind {
        kind if kind == Kind::Cluster as u8 => Entry::Cluster(header.read(body)?),
        kind if kind == Kind::FeatureLevel as u8 => Entry::FeatureLevel(header.read(body)?),
        kind if kind == Kind::Sequencer as u8 => Entry::Sequencer(header.read(body)?),
        kind if kind == Kind::BrokerJoined as u8 => Entry::BrokerJoined(header.read(body)?),
        kind if kind == Kind::BrokerGone as u8 => Entry::BrokerGone(header.read(body)?),
        kind if kind == Kind::TopicCreated as u8 => Entry::TopicCreated(header.read(body)?),
        kind if kind == Kind::TopicDeleted as u8 => Entry::TopicDeleted(header.read(body)?),
        kind if kind == Kind::PartitionsAdded as u8 => Entry::PartitionsAdded(header.read(body)?),
        kind if kind == Kind::ConfigSet as u8 => Entry::ConfigSet(header.read(body)?),
        kind if kind == Kind::NamedConfigSet as u8 => Entry::NamedConfigSet(header.read(body)?),
        kind if kind == Kind::Commit as u8 => Entry::Commit(header.read(body)?),
        kind if kind == Kind::RecordsDeleted as u8 => Entry::RecordsDeleted(header.read(body)?),
        kind if kind == Kind::Retained as u8 => Entry::Retained(header.read(body)?),
        kind if kind == Kind::PidBlock as u8 => Entry::PidBlock(header.read(body)?),
        kind if kind == Kind::GroupSaved as u8 => Entry::GroupSaved(header.read(body)?),
        kind if kind == Kind::OffsetsSaved as u8 => Entry::OffsetsSaved(header.read(body)?),
        kind if kind == Kind::GroupDeleted as u8 => Entry::GroupDeleted(header.read(body)?),
        kind if kind == Kind::Merged as u8 => Entry::Merged(header.read(body)?),
        kind if kind == Kind::SegmentClaimed as u8 => Entry::SegmentClaimed(header.read(body)?),
        kind if kind == Kind::SegmentPublished as u8 => Entry::SegmentPublished(header.read(body)?),
        kind if kind == Kind::ObjectsDeleted as u8 => Entry::ObjectsDeleted(header.read(body)?),
        kind if kind == Kind::Cleaned as u8 => Entry::Cleaned(header.read(body)?),
        kind => return Err(DecodeError::UnknownKind { index, kind }),
    })
}

/// An entry's header while its body is read.
struct Header {
    index: usize,
    kind: u8,
    version: u8,
}

impl Header {
    fn read<B: Body>(self, body: &[u8]) -> Result<B, DecodeError> {
        let Self { index, kind, version } = self;
        if !(1..=B::VERSION_MAX).contains(&version) {
            return Err(DecodeError::UnknownVersion { index, kind, version });
        }
        let mut reader = Reader::new(body);
        let read = B::decode(&mut reader).and_then(|entry| reader.finish("end of the body").map(|()| entry));
        read.map_err(|Malformed(what)| DecodeError::Malformed { index, what })
    }
}

fn write<B: Body>(body: &B, frame: &mut Vec<u8>) {
    let mut writer = Writer::default();
    body.encode(&mut writer);
    let mut header = Writer { bytes: std::mem::take(frame) };
    header.u8(B::KIND as u8);
    header.u8(body.version());
    header.count(writer.bytes.len());
    header.bytes.append(&mut writer.bytes);
    *frame = header.bytes;
}
