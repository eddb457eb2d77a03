//! Live objects: which stored objects extents refer to, and how much of them.
//!
//! An object is live while an extent refers to it. The trimmer of the log asks before it deletes a frame, since on a lone
//! broker a frame's payload is the data itself.

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
}

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
            Self::Data { number, .. } => number as usize % crate::SLOTS,
        }
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
