//! What callers say while a store does not answer them.

use std::{fmt::Display, time::Duration};

use kafscale_runtime::Instant;
use parking_lot::Mutex;

/// The least time between two lines.
const EVERY: Duration = Duration::from_secs(5);

/// Says what is waited for, so that nobody waits in silence: in a WARN line, at most one in five seconds however many
/// callers share this. The line has the time since the first failure after which nobody was answered: a caller may give up
/// within seconds and another one begin.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    said: Option<Instant>,
}

impl Waiting {
    /// An attempt has failed and there will be another one. `waited` is the time since this caller's first.
    pub fn tell(&self, now: Instant, waited: Duration, what: &str, fault: &dyn Display) {
        if let Some(waited) = self.note(now, waited) {
            tracing::warn!(what, ?waited, %fault, "waiting for the store; it is asked again");
        }
    }

    /// A caller was answered.
    pub fn answered(&self) {
        self.0.lock().since = None;
    }

    /// How long nobody was answered, if it is time to say so.
    fn note(&self, now: Instant, waited: Duration) -> Option<Duration> {
        let mut state = self.0.lock();
        let began = now.saturating_sub(waited);
        let since = *state.since.get_or_insert(began);
        if state.said.is_some_and(|said| now.saturating_sub(said) < EVERY) {
            return None;
        }
        state.said = Some(now);
        Some(now.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_since_anybody_was_answered() {
        let waiting = Waiting::default();
        let at = |seconds: u64| Instant::from_secs(seconds);
        assert_eq!(waiting.note(at(100), at(1)), Some(at(1)));
        assert_eq!(waiting.note(at(104), at(0)), None, "one line in five seconds");
        assert_eq!(waiting.note(at(700), at(0)), Some(at(601)), "whoever asks now has only begun");
        waiting.answered();
        assert_eq!(waiting.note(at(701), at(0)), None);
        assert_eq!(waiting.note(at(710), at(2)), Some(at(9)));
    }
}
