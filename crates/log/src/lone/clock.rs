//! Cluster time: the local monotonic clock, set by the store's clock, or by the system clock where the store has none.
//!
//! One wrong date must not expire data. So a reading that jumps more than an hour beyond what the monotonic clock saw (at
//! the start: beyond both the last frame's time and the system clock) counts only if two clocks, the store's and the
//! system's, agree on it within five minutes. Otherwise time goes on from where it was, and the reading is *suspect*:
//! whoever lets data expire pauses. Readings may go back; `apply` takes the maximum.

use kafscale_runtime::Instant;
use kafscale_store::StoreDate;

/// A forward jump beyond this needs two witnesses.
const JUMP_MS_MAX: i64 = 3_600_000;
/// How close two witnesses must be to agree.
const AGREEMENT_MS: i64 = 300_000;
/// A system clock further off than this is worth a warning.
const SYSTEM_OFF_MS: i64 = 5_000;

/// One reading of the cluster time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Unix milliseconds.
    pub ms: i64,
    /// The clocks contradict each other: nothing may expire by this reading.
    pub suspect: bool,
    /// By how many milliseconds the system clock is ahead of the store's, told once, when it is off by more than 5 s, and again
    /// after it was right.
    pub system_off_ms: Option<i64>,
}

/// The cluster time of one process. Pure: the caller brings all readings.
#[derive(Debug)]
pub struct ClusterClock {
    last_frame_ms: i64,
    last: Option<(Instant, i64)>,
    warned: bool,
}

impl ClusterClock {
    /// A clock that starts behind a log whose last frame was written at this time.
    pub fn new(last_frame_ms: i64) -> Self {
        Self { last_frame_ms, last: None, warned: false }
    }

    /// The cluster time now.
    pub fn read(&mut self, now: Instant, system_ms: i64, store: Option<StoreDate>) -> Reading {
        let store_ms = store.map(|date| date.unix_ms.saturating_add(elapsed_ms(date.seen_at, now)));
        let source = store_ms.unwrap_or(system_ms);
        let expected = match self.last {
            Some((at, ms)) => ms.saturating_add(elapsed_ms(at, now)),
            None => self.last_frame_ms.max(system_ms),
        };
        let jumps = source > expected.saturating_add(JUMP_MS_MAX);
        let agreed = store_ms.is_some_and(|store_ms| store_ms.abs_diff(system_ms) <= AGREEMENT_MS as u64);
        let suspect = jumps && !agreed;
        let ms = if suspect { expected } else { source };
        self.last = Some((now, ms));
        Reading { ms, suspect, system_off_ms: self.system_off(system_ms, store_ms) }
    }

    fn system_off(&mut self, system_ms: i64, store_ms: Option<i64>) -> Option<i64> {
        let off = system_ms.saturating_sub(store_ms?);
        let (size, told) = (off.saturating_abs(), self.warned);
        // Not for each swing around the limit.
        self.warned = size > SYSTEM_OFF_MS || told && size > SYSTEM_OFF_MS / 2;
        (self.warned && !told).then_some(off)
    }
}

fn elapsed_ms(from: Instant, to: Instant) -> i64 {
    i64::try_from(to.saturating_sub(from).as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: i64 = 3_600_000;
    const T: i64 = 1_700_000_000_000;

    fn at(seconds: u64) -> Instant {
        Duration::from_secs(seconds)
    }

    fn store(unix_ms: i64, seen_at: u64) -> Option<StoreDate> {
        Some(StoreDate { unix_ms, seen_at: at(seen_at) })
    }

    #[test]
    fn the_store_sets_the_clock_and_the_monotonic_clock_carries_it_on() {
        let mut clock = ClusterClock::new(0);
        assert_eq!(clock.read(at(10), T + 1, store(T, 10)).ms, T);
        assert_eq!(clock.read(at(25), T + 1, store(T, 10)).ms, T + 15_000);
    }

    #[test]
    fn without_a_store_clock_the_system_clock_counts() {
        let mut clock = ClusterClock::new(T - HOUR);
        assert_eq!(clock.read(at(1), T, None), Reading { ms: T, suspect: false, system_off_ms: None });
    }

    #[test]
    fn a_jump_counts_only_if_both_clocks_agree() {
        let mut clock = ClusterClock::new(0);
        clock.read(at(0), T, store(T, 0));
        let alone = clock.read(at(10), T + 10_000, store(T + 2 * HOUR, 10));
        assert_eq!((alone.ms, alone.suspect), (T + 10_000, true));
        let both = clock.read(at(20), T + 2 * HOUR + 299_000, store(T + 2 * HOUR, 20));
        assert_eq!((both.ms, both.suspect), (T + 2 * HOUR, false));
    }

    #[test]
    fn a_jump_of_the_system_clock_alone_is_suspect_where_the_store_has_none() {
        let mut clock = ClusterClock::new(0);
        clock.read(at(0), T, None);
        let jumped = clock.read(at(10), T + 2 * HOUR, None);
        assert_eq!((jumped.ms, jumped.suspect), (T + 10_000, true));
    }

    #[test]
    fn less_than_an_hour_is_no_jump_and_time_may_go_back() {
        let mut clock = ClusterClock::new(0);
        clock.read(at(0), T, None);
        assert_eq!(clock.read(at(10), T + HOUR, None), Reading { ms: T + HOUR, suspect: false, system_off_ms: None });
        assert_eq!(clock.read(at(11), T, None).ms, T);
    }

    #[test]
    fn at_the_start_a_store_far_ahead_of_log_and_system_is_not_believed() {
        let mut clock = ClusterClock::new(T - HOUR);
        let reading = clock.read(at(0), T, store(T + 10 * HOUR, 0));
        assert_eq!((reading.ms, reading.suspect), (T, true));
    }

    #[test]
    fn at_the_start_the_last_frame_is_a_witness_too() {
        let mut clock = ClusterClock::new(T);
        let reading = clock.read(at(0), 0, store(T + HOUR / 2, 0));
        assert_eq!((reading.ms, reading.suspect), (T + HOUR / 2, false));
    }

    #[test]
    fn a_system_clock_that_is_off_is_told_once_until_it_is_right() {
        let mut clock = ClusterClock::new(0);
        assert_eq!(clock.read(at(0), T + 5_000, store(T, 0)).system_off_ms, None);
        assert_eq!(clock.read(at(0), T - 6_000, store(T, 0)).system_off_ms, Some(-6_000));
        assert_eq!(clock.read(at(0), T - 6_000, store(T, 0)).system_off_ms, None);
        assert_eq!(clock.read(at(0), T - 4_000, store(T, 0)).system_off_ms, None);
        assert_eq!(clock.read(at(0), T - 6_000, store(T, 0)).system_off_ms, None, "it was not right meanwhile");
        assert_eq!(clock.read(at(0), T, store(T, 0)).system_off_ms, None);
        assert_eq!(clock.read(at(0), T + 6_000, store(T, 0)).system_off_ms, Some(6_000));
    }

    #[test]
    fn extreme_readings_do_not_overflow() {
        let mut clock = ClusterClock::new(i64::MAX);
        clock.read(at(0), i64::MIN, store(i64::MAX, 0));
        clock.read(Duration::MAX, i64::MAX, store(i64::MIN, 5));
    }
}
