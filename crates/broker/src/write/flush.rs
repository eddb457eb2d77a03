//! When the buffer is closed into one object: a pure decision over facts.
//!
//! A buffer that is not empty is flushed
//! 1. when it holds [`FLUSH_BYTES`], or
//! 2. when its first byte is older than the interval (250 ms; doubled under backlog), or
//! 3. *early*: fewer than `early_depth` creates are in flight, a token is there, and either every connection with data in
//!    it is quiet, or the buffer has been free to go for [`EARLY_AGE`]. What waited for a create is not flushed the moment it
//!    ends: those it answered are about to send again, and would else take turns with the others for ever.
//!
//! So group commit bounds the rate of requests by the store's own latency and the tokens bound it by money, for one
//! closed-loop client or a thousand alike. In any case no more creates are in flight than the log's window.

use std::time::Duration;

use kafscale_runtime::Instant;

use crate::Latency;

/// A buffer of this many bytes is flushed at once.
pub const FLUSH_BYTES: u64 = 8 << 20;
/// The timer of every dial.
pub const FLUSH_INTERVAL: Duration = Duration::from_millis(250);
/// The timer under the worst backlog.
pub const FLUSH_INTERVAL_MAX: Duration = Duration::from_secs(2);
/// A buffer this old does not wait for connections to fall quiet.
pub const EARLY_AGE: Duration = Duration::from_millis(20);
/// A store whose creates take less than this counts as quick: depth 4 costs it nothing.
pub const QUICK_CREATE: Duration = Duration::from_millis(10);

/// How eagerly a broker flushes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Early flushes happen only while fewer creates than this are in flight; 0 for the timer alone.
    pub early_depth: usize,
    /// Early flushes a second, in the long run.
    pub tokens_per_second: f64,
    /// Early flushes in one go.
    pub token_burst: f64,
    /// Whether committed offsets alone wait for the timer. That saves requests, and some clients commit every record and
    /// wait for the answer: they wait only where it saves money.
    pub offsets_wait: bool,
}

impl Pace {
    /// The pace of a dial on a store that bills its requests or not, at its present latency.
    pub fn new(latency: Latency, requests_cost_money: bool, create_latency: Duration) -> Self {
        let early_depth = match latency {
            Latency::Economical => 0,
            Latency::Balanced if create_latency < QUICK_CREATE => 4,
            Latency::Balanced => 1,
            Latency::Fast => 4,
        };
        let (tokens_per_second, token_burst) = match (latency, requests_cost_money) {
            (Latency::Fast, true) => (45.0, 90.0),
            (_, true) => (20.0, 40.0),
            (_, false) => (400.0, 40.0),
        };
        Self { early_depth, tokens_per_second, token_burst, offsets_wait: requests_cost_money }
    }
}

/// A token bucket, filled by time.
#[derive(Debug)]
pub struct Tokens {
    level: f64,
    filled_at: Instant,
}

impl Tokens {
    /// A full bucket.
    pub fn full(pace: &Pace, now: Instant) -> Self {
        Self { level: pace.token_burst, filled_at: now }
    }

    fn fill(&mut self, pace: &Pace, now: Instant) {
        let passed = now.saturating_sub(self.filled_at).as_secs_f64();
        self.level = (self.level + passed * pace.tokens_per_second).min(pace.token_burst);
        self.filled_at = now;
    }

    /// When there will be a whole token; `now` or earlier if there is one.
    fn ready_at(&mut self, pace: &Pace, now: Instant) -> Instant {
        self.fill(pace, now);
        let missing = (1.0 - self.level).max(0.0);
        now + Duration::from_secs_f64(missing / pace.tokens_per_second)
    }

    /// Takes a token; every flush takes one, early or not, so that a timer flush is not followed by a needless early one.
    pub fn take(&mut self, pace: &Pace, now: Instant) {
        self.fill(pace, now);
        self.level = (self.level - 1.0).max(0.0);
    }
}

/// What the decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Bytes in the buffer.
    pub bytes: u64,
    /// Whether it holds more than offsets, which may wait.
    pub wants_early: bool,
    /// When its first content came.
    pub since: Instant,
    /// Since when it could have been flushed early: its first content, or the create that last had to end before.
    pub free_since: Instant,
    /// Creates in flight.
    pub in_flight: usize,
    /// The most creates the log takes at once.
    pub window: usize,
    /// When every connection with data in the buffer will be quiet if nothing more arrives.
    pub quiet_at: Instant,
    /// The timer's interval now.
    pub interval: Duration,
}

/// Why a buffer was flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It was full.
    Size,
    /// Its first byte was old enough.
    Timer,
    /// Nobody had more to send.
    Quiet,
    /// It had waited [`EARLY_AGE`] for the others.
    Age,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Close the buffer.
    Flush(Reason),
    /// Nothing before this time, unless something arrives or a create ends.
    WaitUntil(Instant),
    /// Nothing until a create ends.
    WaitForCreate,
}

/// Decides over a buffer that is not empty.
pub fn decide(facts: &Facts, pace: &Pace, tokens: &mut Tokens, now: Instant) -> Decision {
    if facts.in_flight >= facts.window {
        return Decision::WaitForCreate;
    }
    if facts.bytes >= FLUSH_BYTES {
        return Decision::Flush(Reason::Size);
    }
    let timer = facts.since + facts.interval;
    if now >= timer {
        return Decision::Flush(Reason::Timer);
    }
    let waits = pace.offsets_wait && !facts.wants_early;
    if waits || facts.in_flight >= pace.early_depth {
        return Decision::WaitUntil(timer);
    }
    let token = tokens.ready_at(pace, now);
    let age = facts.free_since + EARLY_AGE;
    let early = facts.quiet_at.min(age).max(token);
    if now < early {
        return Decision::WaitUntil(early.min(timer));
    }
    Decision::Flush(if facts.quiet_at <= now { Reason::Quiet } else { Reason::Age })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn facts() -> Facts {
        Facts {
            bytes: 100,
            wants_early: true,
            since: 1000 * MS,
            free_since: 1000 * MS,
            in_flight: 0,
            window: 4,
            quiet_at: 1000 * MS,
            interval: FLUSH_INTERVAL,
        }
    }

    fn at(facts: Facts, latency: Latency, now: Instant) -> Decision {
        let pace = Pace::new(latency, true, 60 * MS);
        decide(&facts, &pace, &mut Tokens::full(&pace, Duration::ZERO), now)
    }

    #[test]
    fn a_lone_closed_loop_client_sees_no_timer() {
        assert_eq!(at(facts(), Latency::Balanced, 1000 * MS), Decision::Flush(Reason::Quiet));
    }

    #[test]
    fn who_may_send_more_is_waited_for_but_not_long() {
        let busy = Facts { quiet_at: 1200 * MS, ..facts() };
        assert_eq!(at(busy, Latency::Balanced, 1000 * MS), Decision::WaitUntil(1020 * MS));
        assert_eq!(at(busy, Latency::Balanced, 1020 * MS), Decision::Flush(Reason::Age));
    }

    #[test]
    fn what_waited_for_a_create_waits_for_those_whom_it_answered() {
        let waited = Facts { since: 940 * MS, quiet_at: 1005 * MS, ..facts() };
        assert_eq!(at(waited, Latency::Balanced, 1000 * MS), Decision::WaitUntil(1005 * MS));
    }

    #[test]
    fn one_create_in_flight_makes_balanced_wait_for_the_timer() {
        let behind = Facts { in_flight: 1, ..facts() };
        assert_eq!(at(behind, Latency::Balanced, 1000 * MS), Decision::WaitUntil(1250 * MS));
        assert_eq!(at(behind, Latency::Balanced, 1250 * MS), Decision::Flush(Reason::Timer));
        assert_eq!(at(behind, Latency::Fast, 1000 * MS), Decision::Flush(Reason::Quiet));
    }

    #[test]
    fn economical_knows_only_timer_and_size() {
        assert_eq!(at(facts(), Latency::Economical, 1000 * MS), Decision::WaitUntil(1250 * MS));
        let full = Facts { bytes: FLUSH_BYTES, ..facts() };
        assert_eq!(at(full, Latency::Economical, 1000 * MS), Decision::Flush(Reason::Size));
    }

    #[test]
    fn a_full_window_stops_even_a_full_buffer() {
        let full = Facts { bytes: FLUSH_BYTES, in_flight: 4, ..facts() };
        assert_eq!(at(full, Latency::Fast, 5000 * MS), Decision::WaitForCreate);
    }

    #[test]
    fn offsets_alone_wait_for_the_timer_where_requests_cost_money() {
        let offsets = Facts { wants_early: false, ..facts() };
        assert_eq!(at(offsets, Latency::Fast, 1000 * MS), Decision::WaitUntil(1250 * MS));
        let free = Pace::new(Latency::Balanced, false, MS);
        let decision = decide(&offsets, &free, &mut Tokens::full(&free, Duration::ZERO), 1000 * MS);
        assert_eq!(decision, Decision::Flush(Reason::Quiet));
    }

    #[test]
    fn tokens_bound_the_rate_of_early_flushes() {
        let pace = Pace::new(Latency::Balanced, true, 60 * MS);
        let mut tokens = Tokens::full(&pace, Duration::ZERO);
        let mut now = Duration::ZERO;
        let mut flushes = 0;
        while now < Duration::from_secs(10) {
            let facts = Facts { since: now, free_since: now, quiet_at: now, ..facts() };
            match decide(&facts, &pace, &mut tokens, now) {
                Decision::Flush(_) => {
                    tokens.take(&pace, now);
                    flushes += 1;
                    now += MS;
                }
                Decision::WaitUntil(later) => now = later.max(now + MS),
                Decision::WaitForCreate => unreachable!("nothing is in flight"),
            }
        }
        assert!((235..=245).contains(&flushes), "{flushes} flushes in 10 s at 20/s with a burst of 40");
    }
}
