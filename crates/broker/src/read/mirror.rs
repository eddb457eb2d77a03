//! A second bucket with copies of the first one's objects (the provider replicates them, or another region holds them), which
//! is read first.
//!
//! Only record data is read from it: objects that never change, so a copy is right or it is not there. It is never the
//! reason why a fetch fails: what it does not have, does not answer in time, cuts short or holds damaged comes from the
//! first bucket. A mirror that fails is left alone for a while, up to a minute, so that one that is down costs next to
//! nothing. Before anything is read from it its `cluster.json` must name this cluster: names alone would not tell the
//! objects of another one.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use kafscale_runtime::{Handle as Runtime, Instant, timeout};
use kafscale_state::Place;
use kafscale_store::{ReadError, ReadRange, Store};
use parking_lot::Mutex;

use crate::cluster::{self, Cluster};

/// An answer may take so long, and a second more for each 4 MiB.
const PATIENCE: Duration = Duration::from_secs(1);
/// After a failure it is left alone for so long; each further one doubles that.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Of so many of our latest objects it is known when they were written, to tell the lag.
const RECENT_MAX: usize = 4_096;

/// What came of reading from the mirror, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MirrorCounts {
    /// Reads that it answered.
    pub hits: u64,
    /// Objects that it did not have (yet).
    pub misses: u64,
    /// Reads that it failed: no answer, an error.
    pub failures: u64,
    /// Answers that were cut short or damaged.
    pub wrong: u64,
    /// Reads that did not try it, because it had failed just before, or is not known to be of this cluster.
    pub skipped: u64,
    /// How far it is behind, as far as its misses and hits tell.
    pub lag_ms: u64,
}

/// See the module.
pub struct Mirror {
    store: Arc<dyn Store>,
    runtime: Runtime,
    cluster_id: u128,
    trust: Mutex<Trust>,
    recent: Mutex<Recent>,
    hits: AtomicU64,
    misses: AtomicU64,
    failures: AtomicU64,
    wrong: AtomicU64,
    skipped: AtomicU64,
}

#[derive(Default)]
struct Trust {
    is_ours: bool,
    skip_until: Instant,
    pause: Duration,
}

/// When our latest objects were written, in that order, and what follows for the lag.
#[derive(Default)]
struct Recent {
    written: VecDeque<(Place, Instant)>,
    lag: Duration,
}

impl Recent {
    fn age(&self, object: Place, now: Instant) -> Option<Duration> {
        let found = self.written.iter().rev().find(|(place, _)| *place == object);
        found.map(|(_, at)| now.saturating_sub(*at))
    }
}

impl Mirror {
    /// Reads copies of the objects of this cluster from `store`.
    pub fn new(store: Arc<dyn Store>, runtime: Runtime, cluster_id: u128) -> Self {
        let (trust, recent, hits, misses, failures, wrong, skipped) = Default::default();
        Self { store, runtime, cluster_id, trust, recent, hits, misses, failures, wrong, skipped }
    }

    /// Exactly these bytes of an object, or nothing: then the first bucket is to be asked.
    pub async fn get(&self, object: Place, name: &str, start: u64, len: u64) -> Option<Bytes> {
        if self.trust.lock().skip_until > self.runtime.now() || !self.is_ours().await {
            self.skipped.fetch_add(1, Relaxed);
            return None;
        }
        match self.ask(name, ReadRange::At { start, len }, len).await {
            Ok(bytes) if bytes.len() as u64 == len => Some(bytes),
            Ok(bytes) => {
                self.found_wrong(name, &format!("{} of {len} bytes", bytes.len()));
                None
            }
            Err(ReadError::NotFound(_)) => {
                self.misses.fetch_add(1, Relaxed);
                self.answered();
                let mut recent = self.recent.lock();
                if let Some(age) = recent.age(object, self.runtime.now()) {
                    recent.lag = recent.lag.max(age);
                }
                None
            }
            Err(error) => {
                self.failures.fetch_add(1, Relaxed);
                self.failed(name, &error.to_string());
                None
            }
        }
    }

    /// What [`get`](Self::get) gave of this object is what was written.
    pub fn found_right(&self, object: Place) {
        self.hits.fetch_add(1, Relaxed);
        self.answered();
        let mut recent = self.recent.lock();
        if let Some(age) = recent.age(object, self.runtime.now()) {
            recent.lag = recent.lag.min(age);
        }
    }

    /// What it gave is not.
    pub fn found_wrong(&self, name: &str, why: &str) {
        self.wrong.fetch_add(1, Relaxed);
        self.failed(name, why);
    }

    /// This broker has written an object.
    pub fn written(&self, object: Place) {
        let mut recent = self.recent.lock();
        if recent.written.back().is_none_or(|(last, _)| *last != object) {
            recent.written.push_back((object, self.runtime.now()));
        }
        if recent.written.len() > RECENT_MAX {
            recent.written.pop_front();
        }
    }

    /// What came of it so far.
    pub fn counts(&self) -> MirrorCounts {
        MirrorCounts {
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            failures: self.failures.load(Relaxed),
            wrong: self.wrong.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
            lag_ms: u64::try_from(self.recent.lock().lag.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Whether its marker is known to name this cluster; looks if that is not known yet.
    async fn is_ours(&self) -> bool {
        if self.trust.lock().is_ours {
            return true;
        }
        let range = ReadRange::At { start: 0, len: cluster::MARKER_BYTES_MAX };
        let found = match self.ask(cluster::MARKER, range, cluster::MARKER_BYTES_MAX).await {
            Ok(bytes) => Cluster::of_marker(&bytes).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match found {
            Ok(found) if found.id == self.cluster_id => {
                self.trust.lock().is_ours = true;
                true
            }
            Ok(found) => {
                self.failed(cluster::MARKER, &format!("it belongs to another cluster, {:032x}", found.id));
                false
            }
            Err(why) => {
                self.failed(cluster::MARKER, &why);
                false
            }
        }
    }

    async fn ask(&self, name: &str, range: ReadRange, bytes: u64) -> Result<Bytes, ReadError> {
        let limit = PATIENCE + Duration::from_secs(bytes >> 22);
        let answer = timeout(&*self.runtime, limit, self.store.get(name, range)).await;
        answer.unwrap_or_else(|_| Err(ReadError::Unavailable(format!("no answer within {limit:?}"))))
    }

    fn answered(&self) {
        self.trust.lock().pause = Duration::ZERO;
    }

    fn failed(&self, name: &str, why: &str) {
        let mut trust = self.trust.lock();
        let is_first = trust.pause.is_zero();
        trust.pause = (trust.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        trust.skip_until = self.runtime.now() + trust.pause;
        // Once for each row of failures.
        if is_first {
            tracing::warn!(name, why, "the read replica is left alone for a while; reads come from the primary");
        }
    }
}

#[cfg(test)]
mod tests;
