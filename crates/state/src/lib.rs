//! The state: a pure function of the log.
//!
//! [`State::apply`] takes a frame's entries and answers each with a verdict; everything that a broker knows is read from
//! the state that results. No I/O, clock, randomness, floats or hash-order iteration in this crate, and nothing that may
//! do so among its dependencies. A clone of the state is cheap (shards are copied on write), so a snapshot is written
//! from a clone while apply goes on.
//!
//! What may never happen: an entry that cannot be applied changes something, two replicas at one position differ, or
//! bytes from the log or a snapshot make this crate panic or allocate more than a small multiple of their length.

pub mod entry;
pub mod extent;
pub mod group;
pub mod invariants;
pub mod limits;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub mod producer;
pub mod rebuild;
pub mod snapshot;
pub mod topic;
pub mod verdict;

mod apply;
mod broker;
mod codec;
mod digest;
mod object;
mod partition;
mod pid;
mod shard;
mod state;
mod tiles;

pub use apply::{Applied, ApplyError, FrameFacts};
pub use broker::{Broker, PRODUCER_ID_EXPIRATION_MS, PRODUCER_ID_EXPIRATION_MS_DEFAULT};
pub use extent::ExtentView;
pub use limits::Limits;
pub use object::{DATA_RECORDS_AT, DeadObject, DeadSegment, Grave, Merged, Object, ObjectId, Place};
pub use partition::{Claim, Clean, Keep, PartitionView, SegmentView};
pub use shard::{SLOTS, slot};
pub use state::{Backlog, DeadSegmentView, State};
pub use topic::{Topic, TopicId};
pub use verdict::Verdict;

/// A partition's dense number, given by apply and never reused.
pub type Handle = u32;

/// A place in the log: dense, from 1; 0 is before the first frame.
pub type Position = u64;

/// The newest feature level whose rules this build knows.
pub const FEATURE_LEVEL_KNOWN: u16 = 1;
