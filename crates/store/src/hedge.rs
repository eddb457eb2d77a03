//! Another attempt beside a slow one.
//!
//! Of the requests to a bucket a few take ten times as long as the rest, and some are never answered. Waiting for those
//! is waiting for a limit of many seconds; sending the same request once more is answered at once. So a request that is
//! slower than nearly all before it gets a second attempt beside it, and a third later; the first definite answer counts
//! and the others are dropped.
//!
//! ```text
//!   attempt 1  ──────────────────────────────────?          no answer
//!              |·· delay ··| attempt 2  ────────▶ answer    counts
//!              |··········· twice that ···········| attempt 3
//! ```
//!
//! The delay is the running 95th percentile of such requests, with a floor, and jittered, so that many requests that hang
//! together are not repeated together. What the extra attempts may cost is bounded: one for [`REQUESTS_PER_HEDGE`]
//! requests, and [`BURST`] saved up.
//!
//! Whoever uses this answers for it that a second attempt is harmless: reads are ([`Hedged`](crate::Hedged) does it for
//! them), and writes of the same bytes under the same name where [`Facts::may_hedge`](crate::Facts::may_hedge) says so.

use std::time::Duration;

use futures_util::{
    StreamExt,
    future::{BoxFuture, Either, select},
    stream::FuturesUnordered,
};
use kafscale_runtime::Runtime;
use parking_lot::Mutex;

#[cfg(feature = "planted-bugs")]
use crate::planted;

/// One extra attempt is earned by so many requests.
pub const REQUESTS_PER_HEDGE: u32 = 20;
/// Extra attempts that can be saved up; so many are there at the start.
pub const BURST: u32 = 5;
/// Attempts at one request that may be under way at the same time.
const ATTEMPTS_MAX: usize = 3;
/// The latest durations that the percentile looks at.
const SAMPLES: usize = 256;
/// Fewer than these say nothing about a percentile.
const SAMPLES_MIN: usize = 64;

/// When a request counts as slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slow {
    /// A request that takes longer only by a moment is not worth another one.
    pub at_least: Duration,
    /// As long as too few requests were answered to tell, and a second more for each MiB that it moves.
    pub at_first: Duration,
}

/// How long requests of one kind take, and what extra attempts at them there are left. Shared by all requests of the kind.
#[derive(Debug)]
pub struct Hedge {
    slow: Slow,
    latencies: Mutex<Latencies>,
    budget: Mutex<Budget>,
}

#[derive(Debug, Default)]
struct Latencies {
    micros: Vec<u64>,
    oldest: usize,
}

#[derive(Debug)]
struct Budget {
    /// In parts of an attempt, [`REQUESTS_PER_HEDGE`] to the whole.
    parts: u32,
    spent: u64,
}

impl Hedge {
    /// Nothing is known, and a burst is saved up.
    pub fn new(slow: Slow) -> Self {
        let budget = Budget { parts: BURST * REQUESTS_PER_HEDGE, spent: 0 };
        Self { slow, latencies: Mutex::default(), budget: Mutex::new(budget) }
    }

    /// Makes a request that moves `bytes` bytes by one `attempt`, and by more of them beside it while none is answered. An
    /// error that is not definite leaves it to the attempts that are under way, and counts if it is the last.
    pub async fn run<'a, T, E>(
        &self,
        runtime: &dyn Runtime,
        bytes: u64,
        attempt: impl Fn() -> BoxFuture<'a, Result<T, E>>,
        is_definite: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        self.budget.lock().earn();
        let started = runtime.now();
        let mut pause = self.delay(bytes, runtime.random_u64());
        let mut attempts = FuturesUnordered::from_iter([attempt()]);
        let mut timer = runtime.sleep(pause);
        let mut sent = 1;
        loop {
            match select(attempts.next(), &mut timer).await {
                Either::Left((ended, _)) => match ended.expect("at least one is under way") {
                    Ok(answer) => {
                        self.latencies.lock().note(runtime.now().saturating_sub(started));
                        return Ok(answer);
                    }
                    Err(error) if attempts.is_empty() || is_definite(&error) => return Err(error),
                    #[cfg(feature = "planted-bugs")]
                    Err(error) if planted::is(planted::Bug::FirstErrorCounts) => return Err(error),
                    Err(_) => {}
                },
                Either::Right(_) => {
                    if sent < ATTEMPTS_MAX && self.budget.lock().spend() {
                        attempts.push(attempt());
                        sent += 1;
                    }
                    // What cannot be paid now may be later.
                    pause *= 2;
                    timer = runtime.sleep(pause);
                }
            }
        }
    }

    /// How many extra attempts were made.
    pub fn count(&self) -> u64 {
        self.budget.lock().spent
    }

    /// How long a request that moves so many bytes may take until it counts as slow; up to a quarter more by the lot.
    fn delay(&self, bytes: u64, lot: u64) -> Duration {
        let usual = match self.latencies.lock().p95() {
            Some(p95) => p95.max(self.slow.at_least),
            None => self.slow.at_first + Duration::from_secs(bytes >> 20),
        };
        usual + usual / 4 * u32::try_from(lot % 1_024).expect("small") / 1_024
    }
}

impl Latencies {
    fn note(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if self.micros.len() < SAMPLES {
            self.micros.push(micros);
        } else {
            self.micros[self.oldest] = micros;
            self.oldest = (self.oldest + 1) % SAMPLES;
        }
    }

    /// What 95 percent of the latest requests did not exceed; nothing until enough were answered.
    fn p95(&self) -> Option<Duration> {
        if self.micros.len() < SAMPLES_MIN {
            return None;
        }
        let mut micros = self.micros.clone();
        let rank = (micros.len() * 95).div_ceil(100) - 1;
        let (_, value, _) = micros.select_nth_unstable(rank);
        Some(Duration::from_micros(*value))
    }
}

impl Budget {
    fn earn(&mut self) {
        self.parts = (self.parts + 1).min(BURST * REQUESTS_PER_HEDGE);
    }

    fn spend(&mut self) -> bool {
        #[cfg(feature = "planted-bugs")]
        match planted::bug() {
            Some(planted::Bug::NeverAskedAgain) => return false,
            Some(planted::Bug::AskedAgainUnpaid) => self.parts = BURST * REQUESTS_PER_HEDGE,
            _ => {}
        }
        let Some(left) = self.parts.checked_sub(REQUESTS_PER_HEDGE) else { return false };
        self.parts = left;
        self.spent += 1;
        true
    }
}
