//! How a store is doing: *healthy*, *degraded* or *unavailable*, told from the requests of the last half minute.
//!
//! | Condition | When | What it is for |
//! |---|---|---|
//! | unavailable | five requests or more in a row have failed, and none has succeeded for five seconds | what cannot be served is answered at once |
//! | degraded | a tenth of the requests fail, or half of those that succeed are slow | intake slows down; everything is served |
//! | healthy | otherwise, and where nothing was asked | |
//!
//! A refusal counts as a failure (keys that expired are an outage like any other), an absence or a taken name does not. What
//! was given up by its caller counts once it had waited for [`LATE`]: the loser of a hedge is no failure. The window slides
//! with the clock, so a store that nobody asks is taken to be healthy, and the next request finds out.
//!
//! A reading carries the last failure in the window in its own words, because what a person does about `SlowDown` is not
//! what is done about `AccessDenied`. The words are the store's, so they are bounded and on one line.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use kafscale_runtime::{Handle, Instant};
use parking_lot::Mutex;

/// How far back the window reaches.
pub const WINDOW: Duration = Duration::from_secs(30);
/// Without a success for so long, and this many failures in a row, a store counts as unavailable.
pub const UNAVAILABLE_AFTER: Duration = Duration::from_secs(5);
/// See [`UNAVAILABLE_AFTER`].
pub const UNAVAILABLE_FAILURES: u32 = 5;
/// A request without an answer for so long has failed.
pub const LATE: Duration = Duration::from_secs(4);
/// A success that takes longer is slow; each MiB that it moves may take another second.
pub const SLOW: Duration = Duration::from_secs(1);
/// Fewer requests than these say nothing about shares.
const REQUESTS_MIN: u32 = 10;
/// From this share of failures on a store is degraded, in percent ...
const FAILED_PERCENT: u32 = 10;
/// ... and remains so until the share is below this.
const FAILED_PERCENT_AGAIN: u32 = 5;
/// From this share of slow successes on, and until it is below half of that.
const SLOW_PERCENT: u32 = 50;
/// Characters of a failure's words that are kept.
const WORDS_MAX: usize = 300;

/// How a store is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Condition {
    /// It answers.
    #[default]
    Healthy,
    /// It answers, but often late or with an error.
    Degraded,
    /// It does not answer.
    Unavailable,
}

impl Condition {
    /// The name used in metrics and texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unavailable => "unavailable",
        }
    }
}

/// A reading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The verdict.
    pub condition: Condition,
    /// Requests in the window.
    pub requests: u32,
    /// Of these, how many have failed.
    pub failed: u32,
    /// And how many have succeeded late.
    pub slow: u32,
    /// What the last one that failed said, if one did.
    pub last_failure: Option<Arc<str>>,
}

impl std::fmt::Display for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { condition, requests, failed, slow, last_failure } = self;
        write!(f, "{}: of {requests} requests in 30 s {failed} failed and {slow} were slow", condition.as_str())?;
        match last_failure {
            Some(words) => write!(f, "; the last failure: {words}"),
            None => Ok(()),
        }
    }
}

/// See the module. Shared by whoever asks a store.
pub struct Health {
    what: &'static str,
    runtime: Handle,
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    seconds: VecDeque<Second>,
    /// Failures since the last success, and when the first of them ended.
    row: u32,
    row_since: Instant,
    last_failure: Option<Arc<str>>,
    condition: Condition,
}

#[derive(Default)]
struct Second {
    number: u64,
    counts: Counts,
}

#[derive(Default, Clone, Copy)]
struct Counts {
    requests: u32,
    failed: u32,
    slow: u32,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With an answer, after so long, with so many bytes moved.
    Answered(Duration, u64),
    /// With an error that is no answer: which request, and the error's words.
    Failed(String),
}

impl Health {
    /// Nothing was asked. `what` names the store in log lines.
    pub fn new(what: &'static str, runtime: Handle) -> Self {
        Self { what, runtime, window: Mutex::default() }
    }

    /// A request has ended.
    pub fn note(&self, end: End) {
        let now = self.runtime.now();
        let mut window = self.window.lock();
        window.note(end, now);
        self.judge(&mut window, now);
    }

    /// How the store is doing now.
    pub fn reading(&self) -> Reading {
        let mut window = self.window.lock();
        self.judge(&mut window, self.runtime.now())
    }

    /// The same in a word.
    pub fn condition(&self) -> Condition {
        self.reading().condition
    }

    /// Decides, and says so once if that is news.
    fn judge(&self, window: &mut Window, now: Instant) -> Reading {
        let before = window.condition;
        let reading = window.read(now);
        match reading.condition {
            same if same == before => {}
            Condition::Healthy => tracing::info!(store = self.what, "the store is healthy again"),
            _ => tracing::warn!(store = self.what, "the store is {reading}"),
        }
        reading
    }
}

impl Window {
    fn note(&mut self, end: End, now: Instant) {
        self.expire(now);
        let number = now.as_secs();
        if self.seconds.back().is_none_or(|second| second.number != number) {
            self.seconds.push_back(Second { number, counts: Counts::default() });
        }
        let counts = &mut self.seconds.back_mut().expect("pushed above").counts;
        counts.requests = counts.requests.saturating_add(1);
        match end {
            End::Answered(took, bytes) => {
                self.row = 0;
                counts.slow += u32::from(took > SLOW + Duration::from_secs(bytes >> 20));
            }
            End::Failed(words) => {
                counts.failed += 1;
                if self.row == 0 {
                    self.row_since = now;
                }
                self.row = self.row.saturating_add(1);
                self.last_failure = Some(on_one_line(&words));
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        let oldest = now.saturating_sub(WINDOW).as_secs();
        while self.seconds.front().is_some_and(|second| second.number < oldest) {
            self.seconds.pop_front();
        }
        if self.seconds.is_empty() {
            self.row = 0;
        }
    }

    fn read(&mut self, now: Instant) -> Reading {
        self.expire(now);
        let mut sum = Counts::default();
        for Second { counts, .. } in &self.seconds {
            sum.requests = sum.requests.saturating_add(counts.requests);
            sum.failed = sum.failed.saturating_add(counts.failed);
            sum.slow = sum.slow.saturating_add(counts.slow);
        }
        let Counts { requests, failed, slow } = sum;
        let was_well = self.condition == Condition::Healthy;
        let (failed_percent, slow_percent) =
            if was_well { (FAILED_PERCENT, SLOW_PERCENT) } else { (FAILED_PERCENT_AGAIN, SLOW_PERCENT / 2) };
        let share = |part: u32, whole: u32, percent: u32| {
            requests >= REQUESTS_MIN && u64::from(part) * 100 >= u64::from(whole.max(1)) * u64::from(percent)
        };
        let silent = self.row >= UNAVAILABLE_FAILURES && now.saturating_sub(self.row_since) >= UNAVAILABLE_AFTER;
        self.condition = if silent {
            Condition::Unavailable
        } else if share(failed, requests, failed_percent) || share(slow, requests - failed, slow_percent) {
            Condition::Degraded
        } else {
            Condition::Healthy
        };
        let last_failure = self.last_failure.clone().filter(|_| failed > 0);
        Reading { condition: self.condition, requests, failed, slow, last_failure }
    }
}

fn on_one_line(words: &str) -> Arc<str> {
    let plain = |char: char| if char.is_control() { ' ' } else { char };
    let mut kept: String = words.chars().map(plain).take(WORDS_MAX + 1).collect();
    if let Some((cut, _)) = kept.char_indices().nth(WORDS_MAX) {
        kept.truncate(cut);
        kept.push_str("...");
    }
    kept.into()
}
