//! Notices peers that owe something or want nothing, by looking now and then, so that the hot path sets no timers.
//!
//! A half frame holds memory that all share, so it must get on: at once while others wait for that memory, with more
//! patience while there is enough. What came faster before does not count: memory that was filled at once cannot be held by
//! a trickle.

use std::time::Duration;

use kafscale_runtime::Instant;

use super::{connection::End, frames::Standing};

/// A half frame must grow within this time.
pub const HALF_FRAME_LIMIT: Duration = Duration::from_secs(10);
/// Bytes a second at which a half frame must arrive: a line of 1 Mbit/s. Clients give a request up after 30 s by default, so
/// that a frame of more than 4 MiB that is slower has lost its reader anyway; the largest one, 100 MiB, may take 14 minutes.
pub const SLOW_FRAME_RATE: u64 = 128 << 10;
/// How long a half frame may fall short of [`SLOW_FRAME_RATE`].
pub const SLOW_FRAME_PATIENCE: Duration = Duration::from_secs(30);
/// [`HALF_FRAME_LIMIT`] and [`SLOW_FRAME_PATIENCE`] while others wait for memory: those who hold it are found out one after
/// another, for a half frame that waits for memory itself owes nothing.
pub const SHORT_MEMORY_LIMIT: Duration = Duration::from_secs(3);
/// A connection without requests is closed after this time (`connections.max.idle.ms`).
pub const IDLE_LIMIT: Duration = Duration::from_secs(600);

/// How often a connection is looked at that has something to do, and one that has not.
const BUSY_LOOK: Duration = Duration::from_secs(1);
const IDLE_LOOK: Duration = Duration::from_secs(10);

/// What the looks at one connection have shown.
pub(super) struct Watch {
    looked_at: Instant,
    seen: Standing,
    /// When the half frame last grew, or began.
    grew_at: Instant,
    /// Bytes by which the half frame has fallen behind [`SLOW_FRAME_RATE`].
    behind: u64,
    /// Since when nothing was asked.
    idle_since: Instant,
}

impl Watch {
    /// A connection begins.
    pub(super) fn begin(now: Instant) -> Self {
        Self { looked_at: now, seen: Standing::default(), grew_at: now, behind: 0, idle_since: now }
    }

    /// When to look again.
    pub(super) fn next_look(is_idle: bool) -> Duration {
        if is_idle { IDLE_LOOK } else { BUSY_LOOK }
    }

    /// How the connection stands `now`; `is_idle` when it has nothing to do; `is_memory_short` when anybody waits for memory.
    pub(super) fn look(
        &mut self,
        standing: Standing,
        is_idle: bool,
        is_memory_short: bool,
        now: Instant,
    ) -> Result<(), End> {
        let passed = now.saturating_sub(std::mem::replace(&mut self.looked_at, now));
        let before = std::mem::replace(&mut self.seen, standing);
        let bytes = standing.received - before.received;
        if !is_idle || bytes > 0 {
            self.idle_since = now;
        } else if now.saturating_sub(self.idle_since) >= IDLE_LIMIT {
            return Err(End::Idle);
        }
        let is_same_half = standing.owed.is_some() && standing.owed == before.owed;
        if bytes > 0 || !is_same_half {
            self.grew_at = now;
        }
        let due = SLOW_FRAME_RATE * u64::try_from(passed.as_millis()).unwrap_or(u64::MAX) / 1_000;
        self.behind = if is_same_half { (self.behind + due).saturating_sub(bytes) } else { 0 };
        let (silence, patience) = if is_memory_short {
            (SHORT_MEMORY_LIMIT, SHORT_MEMORY_LIMIT)
        } else {
            (HALF_FRAME_LIMIT, SLOW_FRAME_PATIENCE)
        };
        if now.saturating_sub(self.grew_at) >= silence {
            return Err(End::HalfFrame);
        }
        if self.behind >= SLOW_FRAME_RATE * patience.as_secs() { Err(End::SlowFrame) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Standing = Standing { owed: Some(0), received: 1 };

    /// Looks every second at half frames that `grow`, and says when and how it ended.
    fn watched(is_memory_short: bool, grow: impl Fn(u64) -> u64) -> Option<(u64, End)> {
        let begin = Instant::ZERO;
        let mut watch = Watch::begin(begin);
        let mut standing = FIRST;
        (1..=1_000).find_map(|second| {
            let end = watch.look(standing, false, is_memory_short, begin + Duration::from_secs(second)).err();
            standing.received += grow(second);
            end.map(|end| (second, end))
        })
    }

    #[test]
    fn silence_is_borne_for_ten_seconds_or_three_while_memory_is_short() {
        assert!(matches!(watched(false, |_| 0), Some((11, End::HalfFrame))));
        assert!(matches!(watched(true, |_| 0), Some((4, End::HalfFrame))));
    }

    #[test]
    fn a_trickle_is_borne_for_half_a_minute_or_three_seconds_while_memory_is_short() {
        assert!(matches!(watched(false, |_| 1_000), Some((32, End::SlowFrame))));
        assert!(matches!(watched(true, |_| 1_000), Some((5, End::SlowFrame))));
        assert!(watched(true, |_| SLOW_FRAME_RATE).is_none());
    }

    #[test]
    fn a_frame_that_ends_or_is_excused_begins_anew() {
        let begin = Instant::ZERO;
        let mut watch = Watch::begin(begin);
        for second in 1..100 {
            let owed = if second % 3 == 0 { None } else { Some(second / 3) };
            let standing = Standing { owed, received: 1 };
            assert!(watch.look(standing, false, true, begin + Duration::from_secs(second)).is_ok());
        }
    }

    #[test]
    fn whoever_asks_between_two_looks_is_not_idle() {
        let begin = Instant::ZERO;
        let mut watch = Watch::begin(begin);
        let mut standing = Standing::default();
        let mut look = |second: u64, received| {
            standing.received += received;
            watch.look(standing, true, false, begin + Duration::from_secs(second))
        };
        for second in (10..2_000).step_by(10) {
            assert!(look(second, 100).is_ok());
        }
        assert!(look(2_580, 0).is_ok());
        assert!(matches!(look(2_590, 0), Err(End::Idle)));
    }
}
