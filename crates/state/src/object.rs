//! Objects: which stored objects extents refer to, how much of them, and which ones nothing refers to any more.
//!
//! An object is live while an extent refers to it. When the last reference goes it is *dead since* that position, and stays
//! in the state as such until an entry says that it is gone from the store: so no restart forgets garbage. The same goes
//! for segments, which are known by their partition and base offset, and for the *graves* of deleted topics, whose names
//! the paths of their segments are made of.
//!
//! The trimmer of the log asks before it deletes a frame, since on a lone broker a frame's payload is the data itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Handle, Position};

/// An object's number in the state, below 2^48. Even: the frame at half of it; odd: a data object, numbered by apply.
/// So the place of a frame's payload needs no look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub(crate) u64);

/// Where an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The payload of the log's frame at `position`.
    LogFrame {
        /// Position in the log.
        position: u64,
    },
    /// An object that was stored before its commit.
    Data {
        /// Which store; 0 is the main one.
        store: u8,
        /// Session that wrote it.
        session: u64,
        /// Its number within the session.
        number: u64,
    },
    /// An object of one of the higher levels, whose batches have their base offsets.
    Merged(Merged),
    /// A published segment of a partition.
    Segment {
        /// Whose.
        partition: Handle,
        /// Offset of its first record.
        base_offset: u64,
    },
    /// The index of a published segment.
    SegmentIndex {
        /// Whose.
        partition: Handle,
        /// Offset of the segment's first record.
        base_offset: u64,
    },
}

/// What identifies a merged object. The random part makes its name unique whatever a session believed of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Merged {
    /// Which store; 0 is the main one.
    pub store: u8,
    /// Its level, from 1.
    pub level: u8,
    /// Session that wrote it.
    pub session: u64,
    /// Its number within the session.
    pub number: u64,
    /// Random.
    pub nonce: u64,
}

/// Where the records begin in a data object: behind its header. Persisted, since extents are placed by bytes of the object.
pub const DATA_RECORDS_AT: u32 = 104;

/// What the state knows of a live object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object {
    /// Where it is.
    pub place: Place,
    /// Extents that refer to it; never 0.
    pub extents: u64,
    /// Bytes that those extents cover.
    pub bytes: u64,
}

impl Place {
    /// The shard that knows which data object lies here.
    pub(crate) fn slot(self) -> usize {
        match self {
            Self::LogFrame { position } => position as usize % crate::SLOTS,
            Self::Data { number, .. } | Self::Merged(Merged { number, .. }) => number as usize % crate::SLOTS,
            Self::Segment { partition, .. } | Self::SegmentIndex { partition, .. } => crate::slot(partition),
        }
    }

    /// How often its records were rewritten into larger objects: 0 for what flushes wrote; segments are beyond all levels.
    pub fn level(self) -> u8 {
        match self {
            Self::LogFrame { .. } | Self::Data { .. } => 0,
            Self::Merged(Merged { level, .. }) => level,
            Self::Segment { .. } | Self::SegmentIndex { .. } => u8::MAX,
        }
    }

    /// Whether batches here carry their offsets. Those of flushes do not: offsets were given after the object was written.
    pub fn has_offsets(self) -> bool {
        self.level() > 0
    }
}

impl ObjectId {
    pub(crate) const fn log_frame(position: u64) -> Self {
        Self(position << 1)
    }

    pub(crate) const fn data(number: u64) -> Self {
        Self(number << 1 | 1)
    }

    /// The shard that keeps the object's record.
    pub(crate) fn slot(self) -> usize {
        (self.0 >> 1) as usize % crate::SLOTS
    }

    /// The log position, if the object is a frame's payload.
    pub fn log_position(self) -> Option<u64> {
        (self.0 & 1 == 0).then_some(self.0 >> 1)
    }
}

/// An object that nothing refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadObject {
    /// Where it is.
    pub place: Place,
    /// The position at which the last reference went.
    pub since: Position,
    /// Its records live on in another object, which may yet turn out to be damaged.
    pub replaced: bool,
}

/// A segment that nothing refers to, or the place of one that may have been written under a claim that is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadSegment {
    /// The number of its topic, which may have a grave.
    pub(crate) topic: u32,
    /// Kafka's partition index.
    pub(crate) index: u32,
    /// The position at which the last reference went.
    pub since: Position,
    /// Its records live on in another object.
    pub replaced: bool,
}

/// A deleted topic under whose path there may still be objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grave {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The position of the deletion.
    pub since: Position,
    /// Cluster time of the deletion, Unix milliseconds.
    pub time_ms: i64,
}

/// Everything that waits for its deletion from the store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dead {
    pub(crate) objects: BTreeMap<ObjectId, DeadObject>,
    pub(crate) segments: BTreeMap<(Handle, u64), DeadSegment>,
    /// By the number of the topic.
    pub(crate) graves: BTreeMap<u32, Arc<Grave>>,
}

impl Dead {
    /// Whether objects of a deleted topic may lie under this name.
    pub(crate) fn has_grave(&self, namespace: &str, name: &str) -> bool {
        self.graves.values().any(|grave| grave.namespace == namespace && grave.name == name)
    }
}
