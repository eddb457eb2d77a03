//! The line to the store: so many bytes a second each way, shared by all connections piece by piece.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What is due within this passes at once: timers are no finer.
const SLACK: Duration = Duration::from_millis(2);

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// When all that was taken so far has passed.
    free_at: Mutex<Option<Instant>>,
}

impl Line {
    /// Takes the line for so many bytes: when they have passed, unless that is now. No rate is no bound.
    pub(crate) fn take(&self, bytes: usize, bytes_per_s: f64) -> Option<Instant> {
        if bytes_per_s <= 0.0 {
            return None;
        }
        let now = Instant::now();
        let mut free_at = self.free_at.lock();
        let passed = free_at.map_or(now, |at| at.max(now)) + Duration::from_secs_f64(bytes as f64 / bytes_per_s);
        *free_at = Some(passed);
        (passed > now + SLACK).then_some(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_pass_one_after_the_other_at_the_rate() {
        let (line, start) = (Line::default(), Instant::now());
        let second = |line: &Line| line.take(1_000_000, 1e6);
        assert_eq!(second(&line), Some(start + Duration::from_secs(1)));
        assert_eq!(second(&line), Some(start + Duration::from_secs(2)));
        assert_eq!(line.take(1_000_000, 0.0), None);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(line.take(1_000, 1e6), None, "a free line, and a moment only");
    }
}
