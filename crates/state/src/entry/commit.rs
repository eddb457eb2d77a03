//! `Commit`: the batches of one object become part of their partitions' logs.
//!
//! An object is sorted by (slot, handle), then producer. An *extent* is all of one partition's batches in it, a *run* one
//! producer's adjacent batches with contiguous sequences. Where an extent lies is not stored: extents and runs follow each
//! other without a gap from the start of the payload.

use crate::Handle;

/// The entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Where the bytes are.
    pub object: ObjectRef,
    /// The producers that runs refer to by index.
    pub producers: Vec<Producer>,
    /// One per partition, in the order of the payload.
    pub extents: Vec<Extent>,
}

/// Which object holds the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectRef {
    /// The payload of the frame that holds this entry (a lone broker).
    ThisFrame,
    /// A data object that was stored before.
    Data {
        /// Which store; 0 is the main one.
        store: u8,
        /// Session that wrote it.
        session: u64,
        /// Its number within the session.
        number: u64,
        /// XXH3-128 of the object's section.
        section_hash: u128,
    },
}

/// An idempotent producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Producer {
    /// Producer id, not negative.
    pub id: i64,
    /// Producer epoch, not negative.
    pub epoch: i16,
    /// Whether its batches carry the transactional bit.
    pub transactional: bool,
}

/// All of one partition's batches in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Which partition.
    pub partition: Handle,
    /// The greatest of the batches' max timestamps, Unix milliseconds.
    pub max_timestamp: i64,
    /// Its runs, in the order of the bytes.
    pub runs: Vec<Run>,
}

/// One producer's adjacent batches with contiguous sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Index into the commit's producers; none for batches without a producer id.
    pub producer: Option<u32>,
    /// Sequence of the first record; -1 without a producer.
    pub base_sequence: i32,
    /// Records in all.
    pub records: u32,
    /// Bytes in all.
    pub bytes: u32,
    /// The bounds of its batches; only where it may be a retry, else empty.
    pub batches: Vec<BatchBounds>,
}

/// One batch of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchBounds {
    /// Records in it.
    pub records: u32,
    /// Its length in bytes.
    pub bytes: u32,
}
