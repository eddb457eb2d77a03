//! What the engine counts.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use kafscale_runtime::Instant;
use kafscale_store::hedge::{Hedge, Slow};

use crate::Position;

/// When a create gets another one beside it.
const SLOW: Slow = Slow { at_least: Duration::from_millis(20), at_first: Duration::from_secs(1) };

const NONE: u64 = u64::MAX;

/// Counters of one engine.
#[derive(Debug)]
pub(crate) struct Meter {
    pub creates: AtomicU64,
    pub repeats: AtomicU64,
    /// How long creates take, and the extra attempts at them.
    pub hedge: Hedge,
    pub read_backs: AtomicU64,
    pub floor_reads: AtomicU64,
    pub barriers: AtomicU64,
    pub barrier_reads: AtomicU64,
    /// The last position issued.
    pub tail: AtomicU64,
    /// Every position up to here is definite.
    pub definite: AtomicU64,
    pending_since_us: AtomicU64,
}

/// A reading of the engine's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Objects of the log created or being created.
    pub creates: u64,
    /// Attempts after the first of a create.
    pub repeats: u64,
    /// Second attempts started beside a slow first one.
    pub hedges: u64,
    /// Reads that settled an unknown outcome.
    pub read_backs: u64,
    /// Reads of the floor that made a late create or barrier count.
    pub floor_reads: u64,
    /// Barriers answered.
    pub barriers: u64,
    /// Reads that barriers cost: fewer than barriers, because callers share them.
    pub barrier_reads: u64,
    /// The last position issued.
    pub tail: Position,
    /// Every position up to here is definite.
    pub definite: Position,
    /// Since when the oldest append has been pending, on the runtime's clock.
    pub pending_since: Option<Instant>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            creates: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
            hedge: Hedge::new(SLOW),
            read_backs: AtomicU64::new(0),
            floor_reads: AtomicU64::new(0),
            barriers: AtomicU64::new(0),
            barrier_reads: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            definite: AtomicU64::new(0),
            pending_since_us: AtomicU64::new(NONE),
        }
    }
}

impl Meter {
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    pub fn set_pending_since(&self, since: Option<Instant>) {
        self.pending_since_us.store(since.map_or(NONE, micros), Relaxed);
    }

    pub fn figures(&self) -> Figures {
        let pending_since_us = self.pending_since_us.load(Relaxed);
        Figures {
            creates: self.creates.load(Relaxed),
            repeats: self.repeats.load(Relaxed),
            hedges: self.hedge.count(),
            read_backs: self.read_backs.load(Relaxed),
            floor_reads: self.floor_reads.load(Relaxed),
            barriers: self.barriers.load(Relaxed),
            barrier_reads: self.barrier_reads.load(Relaxed),
            tail: self.tail.load(Relaxed),
            definite: self.definite.load(Relaxed),
            pending_since: (pending_since_us != NONE).then(|| Duration::from_micros(pending_since_us)),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(NONE - 1)
}
