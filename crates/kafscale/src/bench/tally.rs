//! What is counted while a run goes on, shared by the client's threads.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

/// Latencies above an hour are counted as an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Three digits: a figure is right to 0.1 %.
const DIGITS: u8 = 3;

/// Counters of one client.
#[derive(Debug)]
pub struct Tally {
    started: Instant,
    records: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
    detail: Mutex<Detail>,
}

/// What cannot be counted by one number.
#[derive(Debug)]
struct Detail {
    latency_us: Histogram<u64>,
    errors: BTreeMap<String, u64>,
    last_at: Duration,
}

/// The sums of one or several tallies.
pub struct Totals {
    /// Records that arrived.
    pub records: u64,
    /// Their values' bytes.
    pub bytes: u64,
    /// Records that were given up.
    pub failed: u64,
    /// Latencies in microseconds.
    pub latency_us: Histogram<u64>,
    /// Errors and how often each came.
    pub errors: BTreeMap<String, u64>,
    /// When the last record arrived, from the start.
    pub last_at: Duration,
}

impl Tally {
    /// Nothing counted yet; times are counted from `started`.
    pub fn new(started: Instant) -> Self {
        let detail = Detail { latency_us: histogram(), errors: BTreeMap::new(), last_at: Duration::ZERO };
        Self {
            started,
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            detail: Mutex::new(detail),
        }
    }

    /// The time since the start.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// A record of `bytes` arrived now, that was due at `due` after the start.
    pub fn arrived(&self, bytes: usize, due: Duration) {
        let now = self.now();
        self.records.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut detail = self.detail();
        detail.latency_us.saturating_record(micros(now.saturating_sub(due)));
        detail.last_at = now;
    }

    /// A record arrived whose latency nobody knows.
    pub fn read(&self, bytes: usize) {
        self.records.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A record was given up.
    pub fn failed(&self, error: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.error(error);
    }

    /// Something went wrong that may not have cost a record.
    pub fn error(&self, error: String) {
        *self.detail().errors.entry(error).or_insert(0) += 1;
    }

    /// Records and bytes so far.
    pub fn progress(&self) -> (u64, u64) {
        (self.records.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    fn detail(&self) -> std::sync::MutexGuard<'_, Detail> {
        self.detail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds up tallies.
pub fn total<'a>(tallies: impl IntoIterator<Item = &'a Tally>) -> Totals {
    let mut totals = Totals {
        records: 0,
        bytes: 0,
        failed: 0,
        latency_us: histogram(),
        errors: BTreeMap::new(),
        last_at: Duration::ZERO,
    };
    for tally in tallies {
        let (records, bytes) = tally.progress();
        totals.records += records;
        totals.bytes += bytes;
        totals.failed += tally.failed.load(Ordering::Relaxed);
        let detail = tally.detail();
        totals.latency_us.add(&detail.latency_us).expect("all histograms have the same bounds");
        for (error, count) in &detail.errors {
            *totals.errors.entry(error.clone()).or_insert(0) += count;
        }
        totals.last_at = totals.last_at.max(detail.last_at);
    }
    totals
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).expect("the bounds are constants")
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
