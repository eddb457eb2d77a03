//! The contract of a metadata log, in prose and types.

use std::sync::Arc;

use bytes::Bytes;
use kafscale_runtime::BoxFuture;
use kafscale_store::Body;
use tokio::sync::mpsc;

use crate::Frame;

/// A frame's place in the log: dense, from 1.
pub type Position = u64;

/// The frames of a log, each position once and in order, beginning after the position that the engine was opened at.
/// It ends when this session is fenced or the log is closed.
pub type Frames = mpsc::Receiver<Frame>;

/// One totally ordered log of frames.
///
/// What must always hold:
/// 1. Positions are dense, and what stands at one never changes.
/// 2. Appends of one session take positions in the order of the calls to `append` (of the calls, not of the first polls).
/// 3. `Ok(position)` means: durable, and every earlier position is definite. The frame then arrives on [`Frames`] like any
///    other, in its place.
/// 4. An append never ends as "perhaps": it stays pending until it is definite or this session is fenced. Dropping its
///    future does not take it back.
/// 5. After `Fenced` this session commits nothing more.
pub trait Log: Send + Sync + 'static {
    /// Appends one frame. Refused if [`Log::window`] appends are pending already.
    fn append(&self, draft: Draft) -> BoxFuture<'static, Result<Position, AppendError>>;

    /// The tail: every append that succeeded anywhere before this call began is at or below it. Linearizable.
    fn barrier(&self) -> BoxFuture<'_, Result<Position, BarrierError>>;

    /// Lets go of the frames below `floor` (exclusive), in the order: archive, floor, deletes. Objects whose data is still
    /// referred to (`is_live`) stay; a later call deletes them once they are not. May be repeated after an error.
    ///
    /// The caller keeps a frame for an hour after it applied it, by its own monotonic clock: whoever was fenced meanwhile
    /// is certain to notice only because nothing younger is trimmed.
    fn trim<'a>(
        &'a self,
        floor: Position,
        is_live: Arc<dyn Fn(Position) -> bool + Send + Sync>,
    ) -> BoxFuture<'a, Result<(), TrimError>>;

    /// Tells the engine how far this replica has applied; later frames carry it, so that replicas can be compared.
    fn applied(&self, progress: Progress);

    /// How many appends may be pending at once; a caller that has so many waits before it calls `append`.
    fn window(&self) -> usize;
}

/// What a session hands to `append`. The engine adds position, session, sequence, times and hashes.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Encoded entries.
    pub entries: Bytes,
    /// The data that the entries refer to by this frame's position; empty where data objects precede the log.
    pub payload: Body,
}

/// How far a replica has applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The last position applied.
    pub position: Position,
    /// The digest of the state there.
    pub digest: u128,
}

/// Why an append failed for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another session has taken over. Whether this very frame was committed is for the successor to know.
    #[error("fenced: {0}")]
    Fenced(String),
    /// Refused before anything was sent: the draft breaks a bound, or the log is closed.
    #[error("append refused: {0}")]
    Refused(String),
}

/// Why a barrier gave no tail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BarrierError {
    /// Another session has taken over.
    #[error("fenced: {0}")]
    Fenced(String),
    /// The log cannot be reached; try again.
    #[error("log unavailable: {0}")]
    Unavailable(String),
}

/// Why a trim stopped; what it had done stays done, and it may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("trim stopped: {0}")]
pub struct TrimError(pub String);
