//! Which position was applied when, by this process's own monotonic clock.

use std::{collections::VecDeque, time::Duration};

use kafscale_log::Position;
use kafscale_runtime::Instant;

/// How long anything depends on it.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Notes once a minute, for a day. It begins with the process, so a broker lets nothing go on account of its age before it
/// has lived that long: the log's safety rests on that.
#[derive(Debug, Default)]
pub struct History {
    minutes: VecDeque<(Instant, Position)>,
}

impl History {
    /// Up to `applied` everything is applied now.
    pub fn note(&mut self, now: Instant, applied: Position) {
        self.minutes.push_back((now, applied));
        while self.minutes.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= KEPT) {
            self.minutes.pop_front();
        }
    }

    /// The last position that was applied at least `age` before the latest note.
    pub fn applied_before(&self, age: Duration) -> Option<Position> {
        let (now, _) = self.minutes.back()?;
        let old = self.minutes.partition_point(|(at, _)| now.saturating_sub(*at) >= age);
        Some(self.minutes[old.checked_sub(1)?].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_what_was_applied_an_hour_ago() {
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
        let mut history = History::default();
        assert_eq!(history.applied_before(hour), None);
        for at in 0..=2_000 {
            history.note(minute * at, u64::from(at) * 10);
            let expected = at.checked_sub(60).map(|at| u64::from(at) * 10);
            assert_eq!(history.applied_before(hour), expected);
        }
        assert_eq!(history.applied_before(KEPT), Some((2_000 - 24 * 60) * 10));
        assert_eq!(history.minutes.len(), 24 * 60 + 1);
    }
}
