//! Apply: one frame of the log becomes a change of the state and a verdict per entry.
//!
//! A frame is decoded wholly before the first change, so an error leaves the state as it was and the broker stops. From
//! there on nothing fails: an entry that cannot be applied changes nothing and says why in its verdict. Results depend on
//! nothing but the state and the frame.

mod clean;
mod commit;
mod config;
mod garbage;
mod group;
mod merge;
mod segment;
mod session;
mod topic;

use crate::entry::{self, DecodeError, Entry};
use crate::limits::PID_BLOCK_MAX;
use crate::verdict::{CutRefused, Refused, StartRefused, Verdict};
use crate::{FEATURE_LEVEL_KNOWN, Handle, Position, State, digest, pid, slot};

use std::sync::Arc;

/// What a frame's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameFacts {
    /// Its position; the one after the state's.
    pub position: Position,
    /// The session that wrote it.
    pub session: u64,
    /// Cluster time when it was written, Unix milliseconds.
    pub cluster_time_ms: i64,
    /// First byte of its payload in the frame's object: extents are placed by bytes of the object.
    pub payload_at: u32,
}

/// What a frame did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// One per entry; none for a void frame.
    pub verdicts: Vec<Verdict>,
    /// Partitions that grew or ceased to exist.
    pub touched: Vec<Handle>,
    /// Partitions that are new, or whose records lie elsewhere now, begin later, or are cleaner, or whose topics have other
    /// settings or are gone. May name one twice.
    pub changed: Vec<Handle>,
    /// Partitions of which records left segments, and lie in extents of a merged object now.
    pub unsegmented: Vec<Handle>,
    /// Settings of brokers changed, which count for topics that have none of their own.
    pub defaults_changed: bool,
    /// The frame's session was over: it kept its position and changed nothing.
    pub void: bool,
}

/// Why a frame cannot be applied. The state is as it was, and the broker must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The frame is not the next one.
    #[error("frame {got} was applied where frame {expected} was due")]
    OutOfPlace {
        /// The state's position plus one.
        expected: Position,
        /// The frame's position.
        got: Position,
    },
    /// Its entries cannot be understood.
    #[error("frame {position}: {source}")]
    Undecodable {
        /// The frame's position.
        position: Position,
        /// What is wrong.
        source: DecodeError,
    },
    /// It raises the feature level beyond what this version knows.
    #[error("frame {position} raises the feature level to {level}, this version knows {FEATURE_LEVEL_KNOWN}")]
    FeatureLevel {
        /// The frame's position.
        position: Position,
        /// The level.
        level: u16,
    },
}

impl ApplyError {
    /// Whether a newer version wrote the frame: there is nothing wrong with it.
    pub fn is_newer_version(&self) -> bool {
        match self {
            Self::OutOfPlace { .. } => false,
            Self::Undecodable { source, .. } => {
                matches!(source, DecodeError::UnknownKind { .. } | DecodeError::UnknownVersion { .. })
            }
            Self::FeatureLevel { .. } => true,
        }
    }
}

/// The frame while its entries are applied.
struct Frame {
    facts: FrameFacts,
    /// Its payload belongs to a commit already.
    payload_taken: bool,
    touched: Vec<Handle>,
    changed: Vec<Handle>,
    unsegmented: Vec<Handle>,
    defaults_changed: bool,
}

impl State {
    /// Applies the next frame.
    pub fn apply(&mut self, facts: FrameFacts, entries: &[u8]) -> Result<Applied, ApplyError> {
        let expected = self.position + 1;
        if facts.position != expected {
            return Err(ApplyError::OutOfPlace { expected, got: facts.position });
        }
        if self.is_session_over(facts.session) {
            self.advance(facts.position, &[]);
            return Ok(Applied { void: true, ..Applied::default() });
        }
        let entries = Self::understand(facts.position, entries)?;
        self.cluster_time_ms = self.cluster_time_ms.max(facts.cluster_time_ms);
        let (payload_taken, touched, changed, unsegmented, defaults_changed) = Default::default();
        let mut frame = Frame { facts, payload_taken, touched, changed, unsegmented, defaults_changed };
        let verdicts: Vec<_> = entries.iter().map(|entry| self.apply_entry(&mut frame, entry)).collect();
        self.free_garbage();
        self.advance(facts.position, &verdicts);
        let Frame { touched, changed, unsegmented, defaults_changed, .. } = frame;
        Ok(Applied { verdicts, touched, changed, unsegmented, defaults_changed, void: false })
    }

    fn understand(position: Position, entries: &[u8]) -> Result<Vec<Entry>, ApplyError> {
        let entries = entry::decode(entries).map_err(|source| ApplyError::Undecodable { position, source })?;
        for entry in &entries {
            match entry {
                Entry::FeatureLevel(raise) if raise.level > FEATURE_LEVEL_KNOWN => {
                    return Err(ApplyError::FeatureLevel { position, level: raise.level });
                }
                _ => {}
            }
        }
        Ok(entries)
    }

    fn advance(&mut self, position: Position, verdicts: &[Verdict]) {
        self.position = position;
        self.digest = digest::chain(self.digest, position, verdicts);
    }

    fn apply_entry(&mut self, frame: &mut Frame, entry: &Entry) -> Verdict {
        let outcome = match entry {
            Entry::Cluster(entry) => self.apply_cluster(entry),
            Entry::FeatureLevel(entry) => self.apply_feature_level(entry),
            Entry::Sequencer(entry) => self.apply_sequencer(frame.facts, entry),
            Entry::BrokerJoined(entry) => self.apply_broker_joined(frame.facts, entry),
            Entry::BrokerGone(entry) => self.apply_broker_gone(entry),
            Entry::TopicCreated(entry) => self.apply_topic_created(frame, entry),
            Entry::TopicDeleted(entry) => self.apply_topic_deleted(frame, entry),
            Entry::PartitionsAdded(entry) => self.apply_partitions_added(frame, entry),
            Entry::ConfigSet(entry) => self.apply_config_set(frame, entry),
            Entry::NamedConfigSet(entry) => self.apply_named_config_set(entry),
            Entry::Commit(entry) => self.apply_commit(frame, entry),
            Entry::RecordsDeleted(entry) => Ok(self.apply_records_deleted(frame, entry)),
            Entry::Retained(entry) => Ok(self.apply_retained(frame, entry)),
            Entry::PidBlock(entry) => self.apply_pid_block(frame.facts, entry),
            Entry::GroupSaved(entry) => self.apply_group_saved(entry),
            Entry::OffsetsSaved(entry) => self.apply_offsets_saved(entry),
            Entry::GroupDeleted(entry) => self.apply_group_deleted(entry),
            Entry::Merged(entry) => self.apply_merged(frame, entry),
            Entry::SegmentClaimed(entry) => self.apply_segment_claimed(frame, entry),
            Entry::SegmentPublished(entry) => self.apply_segment_published(frame, entry),
            Entry::ObjectsDeleted(entry) => Ok(self.apply_objects_deleted(entry)),
            Entry::Cleaned(entry) => Ok(self.apply_cleaned(frame, entry)),
        };
        outcome.unwrap_or_else(Verdict::Refused)
    }

    fn apply_pid_block(&mut self, facts: FrameFacts, entry: &entry::PidBlock) -> Result<Verdict, Refused> {
        if !(1..=PID_BLOCK_MAX).contains(&entry.count) {
            return Err(Refused::InvalidPidBlock);
        }
        let block = pid::PidBlock { count: entry.count, position: facts.position, time_ms: self.cluster_time_ms };
        let expiration_ms = self.producer_id_expiration_ms();
        let first = Arc::make_mut(&mut self.pids).give(block, expiration_ms);
        first.map(|first| Verdict::PidBlock { first }).ok_or(Refused::InvalidPidBlock)
    }

    fn apply_records_deleted(&mut self, frame: &mut Frame, entry: &entry::RecordsDeleted) -> Verdict {
        frame.changed.extend(entry.starts.iter().map(|(handle, _)| *handle));
        Verdict::RecordsDeleted(entry.starts.iter().map(|(handle, start)| self.move_start(*handle, *start)).collect())
    }

    fn apply_retained(&mut self, frame: &mut Frame, entry: &entry::Retained) -> Verdict {
        frame.changed.extend(entry.cuts.iter().map(|cut| cut.partition));
        let cut = |cut| self.apply_cut(entry.node_id, cut);
        Verdict::Retained(entry.cuts.iter().map(cut).collect())
    }

    fn apply_cut(&mut self, node_id: i32, cut: &entry::Cut) -> Result<i64, CutRefused> {
        let view = self.partition(cut.partition).ok_or(CutRefused::UnknownTopicOrPartition)?;
        if self.settings_hash(view.topic, node_id) != cut.settings {
            return Err(CutRefused::SettingsChanged);
        }
        let start = view.retained_from(cut.keep, self.cluster_time_ms);
        self.move_start(cut.partition, start).map_err(|_| CutRefused::UnknownTopicOrPartition)
    }

    fn move_start(&mut self, handle: Handle, start: i64) -> Result<i64, StartRefused> {
        let partition = self.partition(handle).ok_or(StartRefused::UnknownTopicOrPartition)?.partition;
        let start = match start {
            -1 => partition.end,
            _ => u64::try_from(start).map_err(|_| StartRefused::OffsetOutOfRange)?,
        };
        if start > partition.end {
            return Err(StartRefused::OffsetOutOfRange);
        }
        if start <= partition.start {
            return Ok(partition.start as i64);
        }
        if let Some(partition) = Arc::make_mut(&mut self.shards[slot(handle)]).partitions.get_mut(&handle) {
            Arc::make_mut(partition).start = start;
            Arc::make_mut(&mut self.trimmed).insert(handle);
        }
        Ok(start as i64)
    }
}
