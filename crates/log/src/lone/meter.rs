//! What the engine counts, for metrics and for its own decisions about hedging.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use kafscale_runtime::Instant;
use parking_lot::Mutex;

use crate::Position;

/// How many of the latest creates the percentiles look at.
const SAMPLES: usize = 256;
/// Fewer than these say nothing about a percentile.
const SAMPLES_MIN: usize = 64;
/// A create that is slow only by a moment is not worth a second one.
const HEDGE_AFTER_MIN: Duration = Duration::from_millis(20);
/// Hedges are at most one in so many creates.
const CREATES_PER_HEDGE: u64 = 20;

const NONE: u64 = u64::MAX;

/// Counters of one engine.
#[derive(Debug)]
pub(crate) struct Meter {
    pub creates: AtomicU64,
    pub repeats: AtomicU64,
    pub hedges: AtomicU64,
    pub read_backs: AtomicU64,
    pub floor_reads: AtomicU64,
    pub barriers: AtomicU64,
    pub barrier_reads: AtomicU64,
    /// The last position issued.
    pub tail: AtomicU64,
    /// Every position up to here is definite.
    pub definite: AtomicU64,
    pending_since_us: AtomicU64,
    latencies: Mutex<Latencies>,
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
    /// Median duration of the latest creates, once there were enough of them.
    pub create_p50: Option<Duration>,
    /// Their 95th percentile.
    pub create_p95: Option<Duration>,
}

#[derive(Debug, Default)]
struct Latencies {
    micros: Vec<u64>,
    oldest: usize,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            creates: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
            hedges: AtomicU64::new(0),
            read_backs: AtomicU64::new(0),
            floor_reads: AtomicU64::new(0),
            barriers: AtomicU64::new(0),
            barrier_reads: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            definite: AtomicU64::new(0),
            pending_since_us: AtomicU64::new(NONE),
            latencies: Mutex::default(),
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

    /// Takes the duration of a create that succeeded without a repeat.
    pub fn created_in(&self, duration: Duration) {
        let mut latencies = self.latencies.lock();
        if latencies.micros.len() < SAMPLES {
            latencies.micros.push(micros(duration));
        } else {
            let oldest = latencies.oldest;
            latencies.micros[oldest] = micros(duration);
            latencies.oldest = (oldest + 1) % SAMPLES;
        }
    }

    /// How long a create may take before a second one is started beside it; nothing until enough was seen.
    pub fn hedge_after(&self) -> Option<Duration> {
        self.percentile(95).map(|p95| p95.max(HEDGE_AFTER_MIN))
    }

    /// Takes one hedge out of the budget, if it allows one.
    pub fn take_hedge(&self) -> bool {
        let allowed = (self.hedges.load(Relaxed) + 1) * CREATES_PER_HEDGE <= self.creates.load(Relaxed);
        if allowed {
            Self::add(&self.hedges);
        }
        allowed
    }

    pub fn figures(&self) -> Figures {
        let pending_since_us = self.pending_since_us.load(Relaxed);
        Figures {
            creates: self.creates.load(Relaxed),
            repeats: self.repeats.load(Relaxed),
            hedges: self.hedges.load(Relaxed),
            read_backs: self.read_backs.load(Relaxed),
            floor_reads: self.floor_reads.load(Relaxed),
            barriers: self.barriers.load(Relaxed),
            barrier_reads: self.barrier_reads.load(Relaxed),
            tail: self.tail.load(Relaxed),
            definite: self.definite.load(Relaxed),
            pending_since: (pending_since_us != NONE).then(|| Duration::from_micros(pending_since_us)),
            create_p50: self.percentile(50),
            create_p95: self.percentile(95),
        }
    }

    fn percentile(&self, percent: usize) -> Option<Duration> {
        let mut micros = self.latencies.lock().micros.clone();
        if micros.len() < SAMPLES_MIN {
            return None;
        }
        let rank = (micros.len() * percent).div_ceil(100) - 1;
        let (_, value, _) = micros.select_nth_unstable(rank);
        Some(Duration::from_micros(*value))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(NONE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_need_64_samples_and_forget_old_ones() {
        let meter = Meter::default();
        for millis in 1..=63 {
            meter.created_in(Duration::from_millis(millis));
        }
        assert_eq!(meter.hedge_after(), None);
        meter.created_in(Duration::from_millis(64));
        assert_eq!(meter.hedge_after(), Some(Duration::from_millis(61)));
        for _ in 0..SAMPLES {
            meter.created_in(Duration::from_millis(1));
        }
        assert_eq!(meter.figures().create_p95, Some(Duration::from_millis(1)));
        assert_eq!(meter.hedge_after(), Some(HEDGE_AFTER_MIN));
    }

    #[test]
    fn hedges_stay_within_one_in_twenty() {
        let meter = Meter::default();
        let mut hedges = 0;
        for _ in 0..100 {
            Meter::add(&meter.creates);
            hedges += u64::from(meter.take_hedge());
        }
        assert_eq!(hedges, 5);
    }
}
