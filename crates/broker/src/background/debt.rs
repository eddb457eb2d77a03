//! What is still to be rewritten: which partitions have grown, and since when they wait.
//!
//! The applier tells which partitions grew, and of which records left their segments; at the start everything is looked
//! through once. From then on a round looks only at partitions that have something to do, not at all of them. Waiting is told
//! by this process's own clock: after a restart it begins again, which costs time and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kafscale_runtime::Instant;
use kafscale_state::{Applied, Handle, State};
use parking_lot::Mutex;

use super::turns::Turns;

/// Partitions that have more to be rewritten since somebody last looked.
#[derive(Default)]
pub struct Grown(Mutex<Growth>);

#[derive(Default)]
struct Growth {
    /// By what a flush wrote.
    fresh: BTreeSet<Handle>,
    /// By what left its segment.
    unsegmented: BTreeSet<Handle>,
    /// How many objects were flushed.
    objects: u64,
}

impl Grown {
    /// A frame was applied.
    pub fn note(&self, applied: &Applied) {
        let Applied { touched, unsegmented, .. } = applied;
        if touched.is_empty() && unsegmented.is_empty() {
            return;
        }
        let mut growth = self.0.lock();
        growth.fresh.extend(touched);
        growth.unsegmented.extend(unsegmented);
        growth.objects += u64::from(!touched.is_empty());
    }

    fn take(&self) -> Growth {
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
    /// Those that the last merge left behind though their records were due, since another job was at them.
    left: BTreeSet<Handle>,
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
        Self { partitions, left: BTreeSet::new(), objects: 0 }
    }

    /// Takes over what the applier has told.
    pub fn note(&mut self, grown: &Grown, now: Instant) {
        let Growth { fresh, unsegmented, objects } = grown.take();
        self.objects += objects;
        for handle in fresh {
            self.grew(handle, now).fresh_since.get_or_insert(now);
        }
        for handle in unsegmented {
            self.grew(handle, now);
        }
    }

    fn grew(&mut self, handle: Handle, now: Instant) -> &mut Waiting {
        let waiting = self.partitions.entry(handle).or_insert(Waiting {
            fresh_since: None,
            since: now,
            head_start: Duration::ZERO,
            has_grown: true,
            look_at: now,
            rests_until: Instant::ZERO,
        });
        waiting.has_grown = true;
        waiting
    }

    /// Partitions that wait, in the order of their handles.
    pub fn iter(&self) -> impl Iterator<Item = (Handle, &Waiting)> {
        self.partitions.iter().map(|(handle, waiting)| (*handle, waiting))
    }

    /// Since when the oldest fresh records wait.
    pub fn fresh_since(&self) -> Option<Instant> {
        self.partitions.values().filter_map(|waiting| waiting.fresh_since).min()
    }

    /// A merge begins with everything that waits.
    pub fn begin_merge(&mut self) {
        self.objects = 0;
        self.left.clear();
    }

    /// The merge leaves a partition behind: another job is at it, or was there first.
    pub fn leave(&mut self, handle: Handle) {
        self.left.insert(handle);
    }

    /// It was had after all.
    pub fn moved(&mut self, handle: Handle) {
        self.left.remove(&handle);
    }

    /// Whether one that was left behind can be taken up now, so that it need not wait until there is load, or it is old.
    pub fn is_left_free(&self, turns: &Turns, now: Instant) -> bool {
        let is_fresh = |waiting: &Waiting| waiting.fresh_since.is_some() && waiting.rests_until <= now;
        self.left.iter().any(|handle| !turns.is_taken(*handle) && self.partitions.get(handle).is_some_and(is_fresh))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(partitions: &[Handle]) -> Applied {
        Applied { touched: partitions.to_vec(), ..Applied::default() }
    }

    #[test]
    fn what_left_its_segment_waits_for_another_one_and_for_no_merge() {
        let (grown, now) = (Grown::default(), Instant::ZERO);
        let mut debt = Debt::default();
        grown.note(&Applied { unsegmented: vec![1], ..touched(&[2]) });
        debt.note(&grown, now);
        assert_eq!((debt.counts(), debt.objects), ((1, 2), 1));
        debt.done(1);
        grown.note(&Applied { unsegmented: vec![1], ..touched(&[]) });
        debt.note(&grown, now);
        assert_eq!((debt.counts(), debt.objects), ((1, 2), 1));
    }

    #[test]
    fn what_another_job_was_at_is_due_when_that_is_done() {
        let (turns, grown, now) = (Turns::default(), Grown::default(), Instant::ZERO);
        let mut debt = Debt::default();
        grown.note(&touched(&[1, 2]));
        debt.note(&grown, now);
        let turn = turns.take(1).expect("it is free");
        debt.begin_merge();
        debt.leave(1);
        debt.update(2, |waiting| waiting.fresh_since = None);
        assert!(!debt.is_left_free(&turns, now), "the other job is still there");
        drop(turn);
        assert!(debt.is_left_free(&turns, now));
        let later = now + Duration::from_secs(1);
        debt.update(1, |waiting| waiting.rests_until = later);
        assert!(!debt.is_left_free(&turns, now) && debt.is_left_free(&turns, later), "it rests until then");
        debt.update(1, |waiting| waiting.fresh_since = None);
        assert!(!debt.is_left_free(&turns, later), "the other job has moved all of it");
        grown.note(&touched(&[1]));
        debt.note(&grown, later);
        debt.begin_merge();
        assert!(!debt.is_left_free(&turns, later), "nothing is left of the merge before");
        debt.leave(1);
        assert!(debt.is_left_free(&turns, later));
        debt.moved(1);
        assert!(!debt.is_left_free(&turns, later), "it was had");
    }
}
