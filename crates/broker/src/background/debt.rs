//! What is still to be rewritten: which partitions have grown, and since when they wait.
//!
//! The applier tells which partitions grew; at the start everything is looked through once. From then on a round looks only
//! at partitions that have something to do, not at all of them. Waiting is told by this process's own clock: after a
//! restart it begins again, which costs time and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kafscale_runtime::Instant;
use kafscale_state::{Handle, State};
use parking_lot::Mutex;

/// Partitions that grew since somebody last looked, and by how many objects.
#[derive(Default)]
pub struct Grown(Mutex<(BTreeSet<Handle>, u64)>);

impl Grown {
    /// A frame was applied that made these partitions grow.
    pub fn note(&self, partitions: &[Handle]) {
        if !partitions.is_empty() {
            let mut grown = self.0.lock();
            grown.0.extend(partitions);
            grown.1 += 1;
        }
    }

    fn take(&self) -> (BTreeSet<Handle>, u64) {
        std::mem::take(&mut self.0.lock())
    }
}

/// What one partition waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// It has records that lie where a flush put them, since then.
    pub fresh_since: Option<Instant>,
    /// It has records that are in no segment, since then.
    pub since: Instant,
    /// So long they had waited already when this process began.
    pub head_start: Duration,
    /// It grew since it was last looked at for a segment.
    pub has_grown: bool,
    /// Unless it grows it need not be looked at before.
    pub look_at: Instant,
    /// A job failed: leave it alone until then.
    pub rests_until: Instant,
}

impl Waiting {
    /// How long records have waited for a segment.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_sub(self.since).saturating_add(self.head_start)
    }

    /// What waited is claimed: what is left behind begins to wait now.
    pub fn begin_anew(&mut self, now: Instant) {
        (self.since, self.head_start, self.has_grown) = (now, Duration::ZERO, true);
    }

    /// Nothing is due: it is looked at again when it has grown, or when it is so old.
    pub fn wait_for(&mut self, age: Duration, now: Instant) {
        self.has_grown = false;
        self.look_at = now + age.saturating_sub(self.age(now));
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Debt {
    partitions: BTreeMap<Handle, Waiting>,
    /// Objects that were written since the last merge began.
    pub objects: u64,
}

impl Debt {
    /// Everything that waits in a state. Segments are due as if waiting had begun with the records, as far as their timestamps
    /// can be believed.
    pub fn of(state: &State, now: Instant) -> Self {
        let mut partitions = BTreeMap::new();
        for handle in state.topics().flat_map(|topic| topic.handles()) {
            let Some(view) = state.partition(handle) else { continue };
            let Some(first) = view.unsegmented().next() else { continue };
            let age_ms = state.cluster_time_ms().saturating_sub(first.max_timestamp);
            let head_start = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
            let is_fresh = view.unmerged(1).next().is_some();
            let waiting = Waiting {
                fresh_since: is_fresh.then_some(now),
                since: now,
                head_start,
                has_grown: true,
                look_at: now,
                rests_until: Instant::ZERO,
            };
            partitions.insert(handle, waiting);
        }
        Self { partitions, objects: 0 }
    }

    /// Takes over what the applier has told.
    pub fn note(&mut self, grown: &Grown, now: Instant) {
        let (handles, objects) = grown.take();
        self.objects += objects;
        for handle in handles {
            let waiting = self.partitions.entry(handle).or_insert(Waiting {
                fresh_since: None,
                since: now,
                head_start: Duration::ZERO,
                has_grown: true,
                look_at: now,
                rests_until: Instant::ZERO,
            });
            waiting.has_grown = true;
            waiting.fresh_since.get_or_insert(now);
        }
    }

    /// Partitions that wait, in the order of their handles.
    pub fn iter(&self) -> impl Iterator<Item = (Handle, &Waiting)> {
        self.partitions.iter().map(|(handle, waiting)| (*handle, waiting))
    }

    /// Since when the oldest fresh records wait.
    pub fn fresh_since(&self) -> Option<Instant> {
        self.partitions.values().filter_map(|waiting| waiting.fresh_since).min()
    }

    /// How many partitions have fresh records, and how many have records in no segment.
    pub fn counts(&self) -> (usize, usize) {
        let fresh = self.partitions.values().filter(|waiting| waiting.fresh_since.is_some());
        (fresh.count(), self.partitions.len())
    }

    /// Changes what is noted of a partition.
    pub fn update(&mut self, handle: Handle, change: impl FnOnce(&mut Waiting)) {
        if let Some(waiting) = self.partitions.get_mut(&handle) {
            change(waiting);
        }
    }

    /// Nothing of the partition waits any more.
    pub fn done(&mut self, handle: Handle) {
        self.partitions.remove(&handle);
    }
}
