//! Ids that were given to clients that have not joined with them yet (KIP-394), and until when they may.
//!
//! Anybody may ask for any number of ids, so each question costs the logarithm of how many there are.

use std::collections::{BTreeMap, BTreeSet};

use kafscale_runtime::Instant;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Invited {
    until: BTreeMap<String, Instant>,
    by_time: BTreeSet<(Instant, String)>,
    weight: u64,
}

impl Invited {
    /// An id may be used until then.
    pub fn insert(&mut self, id: String, until: Instant) {
        self.remove(&id);
        self.weight += weight(&id);
        self.by_time.insert((until, id.clone()));
        self.until.insert(id, until);
    }

    /// Takes an id out; whether it was there.
    pub fn remove(&mut self, id: &str) -> bool {
        let Some((id, until)) = self.until.remove_entry(id) else { return false };
        self.weight -= weight(&id);
        self.by_time.remove(&(until, id))
    }

    /// Forgets those that were not used in time.
    pub fn expire(&mut self, now: Instant) {
        while let Some((_, id)) = self.by_time.first().filter(|(until, _)| *until <= now).cloned() {
            self.remove(&id);
        }
    }

    /// When the next one will be forgotten.
    pub fn first(&self) -> Option<Instant> {
        self.by_time.first().map(|(until, _)| *until)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    /// What they weigh towards the bounds.
    pub fn weight(&self) -> u64 {
        self.weight
    }
}

/// It lies in both maps.
fn weight(id: &str) -> u64 {
    128 + 2 * id.len() as u64
}
