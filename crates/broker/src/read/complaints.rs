//! What cannot be read is told once, not each time that somebody asks for it: a consumer that stands before it asks again
//! and again, and so does every search by time that comes past it.

use std::{collections::BTreeMap, time::Duration};

use kafscale_runtime::Instant;
use parking_lot::Mutex;

use super::Key;

/// After so long the same is told again.
const AGAIN: Duration = Duration::from_secs(60 * 60);
/// Places that are remembered. Where so many are bad, one more line says nothing new; all of them are counted.
const PLACES_MAX: usize = 1_024;

/// Of what kind a complaint is: of one place, each kind is told by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Complaint {
    /// The store does not give it.
    Absent,
    /// It is not what was written.
    Damaged,
    /// It is what was written, and that cannot be opened.
    Unopenable,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<BTreeMap<(Key, Complaint), Instant>>);

impl Complaints {
    /// Whether this is to be told now.
    pub fn is_due(&self, key: Key, complaint: Complaint, now: Instant) -> bool {
        let is_old = |at: Instant| now.saturating_sub(at) >= AGAIN;
        let mut told = self.0.lock();
        if told.len() >= PLACES_MAX {
            told.retain(|_, at| !is_old(*at));
        }
        let is_known = told.get(&(key, complaint)).is_some_and(|at| !is_old(*at));
        if is_known || told.len() >= PLACES_MAX {
            return false;
        }
        told.insert((key, complaint), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use kafscale_state::Place;

    use super::*;

    #[test]
    fn a_place_is_told_of_once_an_hour_and_no_more_than_a_thousand_at_once() {
        let complaints = Complaints::default();
        let key = |position| (Place::LogFrame { position }, 0, 0);
        assert!(complaints.is_due(key(1), Complaint::Damaged, Duration::ZERO));
        assert!(!complaints.is_due(key(1), Complaint::Damaged, AGAIN / 2));
        assert!(complaints.is_due(key(1), Complaint::Absent, AGAIN / 2), "another thing is wrong with it");
        assert!(complaints.is_due(key(1), Complaint::Damaged, AGAIN));
        let told = (0..5_000).filter(|position| complaints.is_due(key(*position), Complaint::Damaged, AGAIN)).count();
        assert!(told < PLACES_MAX, "{told}");
        assert!(complaints.is_due(key(9_000), Complaint::Damaged, 3 * AGAIN), "and none for ever");
    }
}
