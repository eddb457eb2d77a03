//! What callers say while a store does not answer them.

use std::{fmt::Display, time::Duration};

use kafscale_runtime::Instant;
use parking_lot::Mutex;

/// The least time between two lines.
const EVERY: Duration = Duration::from_secs(5);

/// Says what is waited for, so that nobody waits in silence: in a WARN line, at most one in five seconds however many
/// callers share this.
#[derive(Debug, Default)]
pub struct Waiting {
    last: Mutex<Option<Instant>>,
}

impl Waiting {
    /// An attempt has failed and there will be another one. `waited` is the time since the first.
    pub fn tell(&self, now: Instant, waited: Duration, what: &str, fault: &dyn Display) {
        let mut last = self.last.lock();
        if last.is_none_or(|last| now.saturating_sub(last) >= EVERY) {
            *last = Some(now);
            tracing::warn!(what, ?waited, %fault, "waiting for the store; it is asked again");
        }
    }
}
