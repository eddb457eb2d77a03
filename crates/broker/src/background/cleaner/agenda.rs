//! Which partitions the cleaner looks at: those that changed, those whose time has come, and those with something to do. All
//! others are as they were found, so ten thousand that nobody writes to cost nothing.
//!
//! The applier tells what changes; at the start, and after a change of settings that count for many topics, all that are
//! compacted are looked at once.

use std::collections::{BTreeMap, BTreeSet};

use kafscale_runtime::Instant;
use kafscale_state::{Applied, Handle};
use parking_lot::Mutex;

use super::plan::{Outlook, Work};

/// What changed since the cleaner last asked.
#[derive(Default)]
pub struct Changed(Mutex<Changes>);

/// Partitions, and whether settings changed that count for many topics.
#[derive(Default)]
pub struct Changes {
    pub partitions: BTreeSet<Handle>,
    pub defaults: bool,
}

impl Changed {
    /// A frame was applied.
    pub fn note(&self, applied: &Applied) {
        if !applied.changed.is_empty() || applied.defaults_changed {
            let mut changes = self.0.lock();
            changes.partitions.extend(&applied.changed);
            changes.defaults |= applied.defaults_changed;
        }
    }

    /// Once.
    pub fn take(&self) -> Changes {
        std::mem::take(&mut self.0.lock())
    }
}

/// See the module.
#[derive(Default)]
pub struct Agenda {
    /// To be looked at.
    open: BTreeSet<Handle>,
    /// To be looked at when cluster time is so late, Unix milliseconds.
    later: BTreeMap<Handle, i64>,
    /// The same by time.
    times: BTreeSet<(i64, Handle)>,
    /// Left alone until then.
    rests: BTreeMap<Handle, Instant>,
    /// What is due.
    due: BTreeMap<Handle, Work>,
}

impl Agenda {
    /// These are to be looked at.
    pub fn add(&mut self, partitions: impl IntoIterator<Item = Handle>) {
        self.open.extend(partitions);
    }

    /// Leaves a partition alone for a while.
    pub fn rest(&mut self, partition: Handle, until: Instant) {
        self.due.remove(&partition);
        self.rests.insert(partition, until);
    }

    /// How many are left alone.
    pub fn resting(&self) -> usize {
        self.rests.len()
    }

    /// What was found to be due.
    pub fn due(&self) -> impl Iterator<Item = &Work> {
        self.due.values()
    }

    /// Looks at what may be due now, by cluster time `now_ms`. Whether something would be due if the state knew that time.
    pub fn look(&mut self, now: Instant, now_ms: i64, look: impl Fn(Handle) -> Outlook) -> bool {
        let rested: Vec<Handle> =
            self.rests.extract_if(.., |_, until| *until <= now).map(|(handle, _)| handle).collect();
        self.open.extend(rested);
        while let Some((at, handle)) = self.times.first().copied().filter(|(at, _)| *at <= now_ms) {
            self.times.remove(&(at, handle));
            self.later.remove(&handle);
            self.open.insert(handle);
        }
        self.open.extend(self.due.keys());
        let mut waits = false;
        for handle in std::mem::take(&mut self.open) {
            // It is looked at when it has rested.
            if self.rests.contains_key(&handle) {
                continue;
            }
            self.due.remove(&handle);
            if let Some(at) = self.later.remove(&handle) {
                self.times.remove(&(at, handle));
            }
            match look(handle) {
                Outlook::Due(work) => drop(self.due.insert(handle, work)),
                Outlook::DueByTheLog => {
                    waits = true;
                    self.open.insert(handle);
                }
                Outlook::Idle { again_ms: Some(at) } => {
                    self.later.insert(handle, at);
                    self.times.insert((at, handle));
                }
                Outlook::Idle { again_ms: None } => {}
            }
        }
        waits
    }
}

#[cfg(test)]
mod tests;
