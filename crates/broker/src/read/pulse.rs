//! One barrier every ten seconds while anybody waits in a long poll, so that a broker that has fallen behind, or was
//! superseded, finds out. A broker without clients asks nothing.

use std::time::Duration;

use kafscale_runtime::Instant;
use parking_lot::Mutex;

/// Time between two barriers.
const INTERVAL: Duration = Duration::from_secs(10);

/// See the module. Shared by all long polls of a broker.
pub struct Pulse {
    last: Mutex<Instant>,
}

impl Pulse {
    /// The first barrier is due one interval from now.
    pub fn new(now: Instant) -> Self {
        Self { last: Mutex::new(now) }
    }

    /// Whether a barrier is due; if so the caller makes it.
    pub fn take_due(&self, now: Instant) -> bool {
        let mut last = self.last.lock();
        let due = now.saturating_sub(*last) >= INTERVAL;
        if due {
            *last = now;
        }
        due
    }

    /// When the next one is due.
    pub fn next(&self) -> Instant {
        *self.last.lock() + INTERVAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_waiting_polls_makes_the_barrier() {
        let pulse = Pulse::new(Duration::ZERO);
        assert!(!pulse.take_due(Duration::from_millis(9_999)));
        assert!(pulse.take_due(INTERVAL));
        assert!(!pulse.take_due(INTERVAL), "another poll has taken it");
        assert_eq!(pulse.next(), INTERVAL * 2);
    }
}
