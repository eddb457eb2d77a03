//! The store log of a lone broker: one object per frame, header, entries and payload together, so that one create makes
//! data durable, ordered and committed at once.
//!
//! ```text
//!   append ──> Appender: position, header ──> create (repeated until definite) ──┐ up to 4 side by side
//!                 ▲                                                              ▼
//!                 └── Ok, Frames: strictly in order of positions <── whose write id stands there?
//!   barrier ─> one shared GET of the first position not issued: absent = nobody else writes
//!   trim ────> archive, floor, deletes
//! ```
//!
//! What must hold:
//! 1. A position is created only when every position up to four before it is definite, and never skipped.
//! 2. An object found at a position counts as ours only after its write id was read.
//! 3. A foreign write id ends the session: nothing is acknowledged after that, and it never takes over by itself.
//! 4. *Trimmed names are free again*, so a create could succeed below a successor's floor. A successor trims nothing in its
//!    first hour; so an outcome counts only if at most a minute before it was certain that nobody else had finished a
//!    take-over (`Core::proven_at`), or if the floor, read after it, lies at or below our own first indefinite position.
//!    What proves it: an append that counts, as of its start, and a barrier, as of its start, while nothing was in flight.

mod appender;
pub mod archive;
mod barrier;
mod clock;
mod core;
mod create;
mod fence;
pub mod floor;
mod meter;
pub mod names;
mod replay;
mod take_over;
mod trim;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use kafscale_runtime::{BoxFuture, Handle};
use kafscale_store::Store;
pub use meter::Figures;
use tokio::sync::mpsc;

use self::{
    appender::Intake,
    barrier::Barriers,
    core::{Core, Fault, Patience},
    take_over::TakeOver,
};
use crate::{AppendError, BarrierError, Draft, Frame, Log, Position, Progress, TrimError, frame::DecodeError};

/// How many positions may be in flight at once.
pub const WINDOW: Position = 4;

/// How long a store that does not answer is asked for the floor.
const FLOOR_PATIENCE: Duration = Duration::from_secs(60);

/// Limits and pauses. The defaults fit every store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// An attempt without an answer is given up after this, and a second per MiB that it moves, and repeated; it may still
    /// land.
    pub attempt_timeout: Duration,
    /// The first pause before a repeat; it doubles.
    pub back_off_min: Duration,
    /// The longest pause before a repeat.
    pub back_off_max: Duration,
    /// How long opening goes on asking a store that does not answer.
    pub open_patience: Duration,
    /// How long a barrier does.
    pub barrier_patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            attempt_timeout: Duration::from_secs(10),
            back_off_min: Duration::from_millis(50),
            back_off_max: Duration::from_secs(2),
            open_patience: Duration::from_secs(60),
            barrier_patience: Duration::from_secs(5),
        }
    }
}

/// What a snapshot says of the log; the default stands before the first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resume {
    /// The last position in the snapshot and the digest there. Replay begins after it.
    pub progress: Progress,
    /// The greatest session up to there.
    pub session: u64,
    /// The cluster time there, in Unix milliseconds.
    pub cluster_time_ms: i64,
}

/// What [`open`] needs.
pub struct OpenArgs {
    /// Where the log lives.
    pub store: Arc<dyn Store>,
    /// Time, randomness and tasks.
    pub runtime: Handle,
    /// The cluster that the log must belong to.
    pub cluster_id: u128,
    /// The life of the log.
    pub generation: u64,
    /// Where replay begins.
    pub resume: Resume,
    /// The entries of the new session's first frame.
    pub take_over_entries: Box<dyn Fn(u64) -> Bytes + Send + Sync>,
    /// Takes every frame after `resume`, each once and in order, while `open` runs and afterwards. Somebody must drain it:
    /// both wait while it is full. It is dropped when the session ends.
    pub frames: mpsc::Sender<Frame>,
    /// Completes once everything up to this position was applied; with `false` if it never will be, because a frame cannot
    /// be. What cannot be applied is not taken over: nothing is written before.
    pub applied: Box<dyn Fn(Position) -> BoxFuture<'static, bool> + Send + Sync>,
    /// Limits and pauses.
    pub settings: Settings,
}

/// What opening found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The new session.
    pub session: u64,
    /// Where its first frame stands.
    pub position: Position,
    /// The last definite position: all up to here were sent to `frames`.
    pub tail: Position,
    /// How many frames were sent to `frames`.
    pub replayed: u64,
    /// Requests that waited for each other.
    pub round_trips: u32,
}

/// Why a log cannot be opened. Nothing was deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// An object that existed is gone.
    #[error("the log lost position {position}: later objects prove that it existed; run `kafscale recover`")]
    Lost {
        /// The missing position.
        position: Position,
    },
    /// What stands at a position is not its frame.
    #[error(
        "the log is unreadable at position {position}, the object whose name ends so: {source}; put back what it was, for \
         example from the bucket's versions, or run `kafscale recover`"
    )]
    Corrupt {
        /// Where.
        position: Position,
        /// What is wrong.
        source: DecodeError,
    },
    /// The log was trimmed beyond the snapshot that replay began at.
    #[error("position {position} was trimmed, the log begins at {floor}: the snapshot is too old")]
    Trimmed {
        /// The first position that is kept.
        floor: Position,
        /// The position that is needed.
        position: Position,
    },
    /// The floor object cannot be read.
    #[error(transparent)]
    Floor(floor::FloorError),
    /// The store gave no answer for too long.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The store refuses.
    #[error("refused by the store: {0}")]
    Refused(String),
    /// The receiver of the frames is gone, or has met one that it cannot apply.
    #[error("nobody applies the frames")]
    Abandoned,
}

impl From<Fault> for OpenError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unavailable(reason) => Self::Unavailable(reason),
            Fault::Refused(reason) => Self::Refused(reason),
        }
    }
}

/// Replays the log behind `resume` and takes it over as a new session.
pub async fn open(args: OpenArgs) -> Result<(Arc<Lone>, Opened), OpenError> {
    let OpenArgs { store, runtime, cluster_id, generation, resume, take_over_entries, frames, applied, settings } =
        args;
    let core = Arc::new(Core::new(store, runtime, settings, (cluster_id, generation), resume.progress));
    let take_over = TakeOver {
        core: &core,
        frames: &frames,
        entries: &*take_over_entries,
        applied: &*applied,
        session: resume.session,
        cluster_time_ms: resume.cluster_time_ms,
        next: resume.progress.position + 1,
        replayed: 0,
        round_trips: 0,
    };
    let (taken, round_trips, replayed) = take_over.run().await?;
    core.proven_at(taken.proven_at);
    core.meter.tail.store(taken.tail, Relaxed);
    core.meter.definite.store(taken.tail, Relaxed);
    let opened = Opened { session: taken.session, position: taken.position, tail: taken.tail, replayed, round_trips };
    let intake = Intake::start(Arc::clone(&core), &taken, frames);
    let barriers = Barriers::new(Arc::clone(&core), Arc::clone(intake.tail()));
    Ok((
        Arc::new(Lone { core, session: opened.session, intake, barriers, trimming: tokio::sync::Mutex::default() }),
        opened,
    ))
}

/// The store log of a lone broker.
pub struct Lone {
    core: Arc<Core>,
    session: u64,
    intake: Intake,
    barriers: Barriers,
    trimming: tokio::sync::Mutex<()>,
}

impl Lone {
    /// This life of the broker.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// The first position that is kept: frames below it are deleted once nothing refers to their data.
    pub async fn floor(&self) -> Result<Position, TrimError> {
        let floor = self.core.floor(Patience::For(FLOOR_PATIENCE)).await;
        floor.map_err(|fault| TrimError(fault.to_string()))?.map_err(|error| TrimError(error.to_string()))
    }

    /// What the engine counted.
    pub fn figures(&self) -> Figures {
        self.core.meter.figures()
    }

    /// Why this session is over, if it is.
    pub fn fenced(&self) -> Option<String> {
        self.core.fence.reason()
    }

    /// Completes with the reason once this session is over.
    pub async fn wait_fenced(&self) -> String {
        self.core.fence.wait().await;
        self.core.fence.reason().expect("it was raised")
    }

    /// The cluster time as the next frame would carry it, in Unix milliseconds.
    pub fn cluster_time_ms(&self) -> i64 {
        self.core.cluster_time_ms()
    }

    /// Whether store clock and system clock contradict each other, so that nothing may expire.
    pub fn clock_is_suspect(&self) -> bool {
        self.core.clock_is_suspect()
    }
}

impl Log for Lone {
    fn append(&self, draft: Draft) -> BoxFuture<'static, Result<Position, AppendError>> {
        self.intake.append(draft)
    }

    fn barrier(&self) -> BoxFuture<'_, Result<Position, BarrierError>> {
        Box::pin(self.barriers.wait())
    }

    fn trim<'a>(
        &'a self,
        floor: Position,
        is_live: Arc<dyn Fn(Position) -> bool + Send + Sync>,
    ) -> BoxFuture<'a, Result<(), TrimError>> {
        Box::pin(self.trim_to(floor, is_live))
    }

    fn applied(&self, progress: Progress) {
        *self.core.progress.lock() = progress;
    }

    fn window(&self) -> usize {
        WINDOW as usize
    }
}
