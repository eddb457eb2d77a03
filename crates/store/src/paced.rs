//! Any store with its requests kept within a rate: the provider's limit where one is known, and below it what the store
//! itself says by 503 and 429.
//!
//! Writes and reads have a bucket of tokens each. When the store refuses clearly more than one request in ten, the rate falls
//! a little below what it took (once in a second at the most), and grows again from there. Fewer refusals than that say
//! nothing of the rate: large stores refuse some requests at any rate, and a rate that fell for each of them would fall to
//! nothing. They are repeated, that is all. Nor do two or three of the first dozen, which may be chance: a start that sends few
//! requests would take what it sent for all that the store takes. `Retry-After` holds back everybody until then. What must be quick goes first:
//! the last half of a bucket is only for the log, the records of flushes, and reads; snapshots, archives, merging and
//! deletions wait for the other half.
//!
//! ```text
//!   tokens  ██████████████░░░░░░░░░░░░░░   foreground: down to the last one
//!           |  kept back  |  for all   |   background: from half on
//! ```
//!
//! A limit here is a courtesy that saves refused requests; correctness never rests on it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_runtime::{BoxFuture, Handle, Instant};
use parking_lot::Mutex;

use crate::{
    Body, CreateError, DeleteError, Facts, Listed, ReadError, ReadRange, ReplaceError, Store, StoreDate, Throttled,
};

/// Where no limit is known: no broker sends so many.
const UNLIMITED: f64 = 20_000.0;
/// However much a store complains, this many requests a second are sent.
const RATE_MIN: f64 = 4.0;
/// The rate falls when more than this part of the requests is refused within the seconds that are looked at ...
const REFUSED_PART: f64 = 0.1;
/// ... by so many standard deviations ...
const DEVIATIONS: f64 = 3.0;
/// ... and at least so many are: of few requests many may be refused by chance.
const REFUSED_MIN: f64 = 6.0;
/// Seconds that are looked at, the running one among them.
const SECONDS: usize = 4;
/// The rate begins anew at this part of what the store took in a second.
const CUT: f64 = 0.9;
/// It grows with the square of the time since then, near the limit first and then ever faster: by an eighth within five
/// seconds, tenfold within twenty-two.
const GROWTH: f64 = 0.005;
/// A bucket holds what comes in within this time ...
const BURST: Duration = Duration::from_millis(500);
/// ... and at least so many.
const BURST_MIN: f64 = 4.0;
/// The rate falls once within this time.
const EPISODE: Duration = Duration::from_secs(1);
/// No `Retry-After` is heard for longer.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);
/// What the path of a flush writes; snapshots, archives, merged objects and segments are called otherwise.
const FOREGROUND: [&str; 3] = ["log/", "data/", "floor"];

/// Requests a second that a provider takes; none where no figure is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Writes, listings and deletions.
    pub writes: Option<u32>,
    /// Reads.
    pub reads: Option<u32>,
}

/// What may be sent now, and how often the store complained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PaceFigures {
    /// Writes that may be sent a second.
    pub writes_per_second: u64,
    /// Reads that may be sent a second.
    pub reads_per_second: u64,
    /// Complaints.
    pub complaints: u64,
    /// Requests that had to wait.
    pub waited: u64,
}

/// See the module.
pub struct Paced {
    store: Arc<dyn Store>,
    runtime: Handle,
    writes: Mutex<Bucket>,
    reads: Mutex<Bucket>,
    heard: Mutex<Heard>,
}

/// What the store has said.
#[derive(Default)]
struct Heard {
    complaints: u64,
    until: Option<Instant>,
    waited: u64,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Foreground,
    Background,
}

struct Bucket {
    rate: f64,
    rate_max: f64,
    /// The rate when it was cut last, and when that was.
    cut: Option<(f64, Instant)>,
    level: f64,
    filled_at: Instant,
    /// The running second and those before it.
    seen: [Second; SECONDS],
    second: u64,
}

/// What was asked and refused in a second.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    asked: f64,
    refused: f64,
}

impl Bucket {
    fn new(limit: Option<u32>, now: Instant) -> Self {
        let rate = limit.map_or(UNLIMITED, f64::from).max(RATE_MIN);
        let (second, seen) = (now.as_secs(), Default::default());
        let mut bucket = Self { rate, rate_max: rate, cut: None, level: 0.0, filled_at: now, seen, second };
        bucket.level = bucket.burst();
        bucket
    }

    fn burst(&self) -> f64 {
        (self.rate * BURST.as_secs_f64()).max(BURST_MIN)
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_sub(self.filled_at).as_secs_f64();
        self.filled_at = now;
        // The rate grows while the tokens come in; its mean counts.
        let grown = self.cut.map_or(self.rate_max, |(rate, at)| {
            let since = now.saturating_sub(at).as_secs_f64();
            (rate * (GROWTH * since * since).exp()).min(self.rate_max)
        });
        let came = passed * (self.rate + grown) / 2.0;
        self.rate = grown;
        self.level = (self.level + came).min(self.burst());
        let passed = usize::try_from(now.as_secs() - self.second).unwrap_or(SECONDS).min(SECONDS);
        self.seen.rotate_right(passed % SECONDS);
        self.seen[..passed].fill(Second::default());
        self.second = now.as_secs();
    }

    /// Takes a token, or says how long to wait before the next try.
    fn take(&mut self, class: Class, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        let needed = match class {
            Class::Foreground => 1.0,
            Class::Background => (self.burst() / 2.0).max(1.0),
        };
        // Rounding must not make anybody wait for the last millionth of a token.
        if self.level + 1e-6 < needed {
            let wait = Duration::from_secs_f64((needed - self.level) / self.rate);
            return Err(wait.max(Duration::from_millis(1)));
        }
        self.level -= 1.0;
        self.seen[0].asked += 1.0;
        Ok(())
    }

    /// The store has complained so often.
    fn refused(&mut self, times: u64, now: Instant) {
        self.fill(now);
        self.seen[0].refused += times as f64;
        let sum = |of: fn(&Second) -> f64| self.seen.iter().map(of).sum::<f64>();
        let (asked, refused) = (sum(|second| second.asked), sum(|second| second.refused));
        let deviation = (asked * REFUSED_PART * (1.0 - REFUSED_PART)).sqrt();
        let is_too_much = refused >= REFUSED_MIN && refused > asked * REFUSED_PART + DEVIATIONS * deviation;
        if !is_too_much || self.cut.is_some_and(|(_, at)| now.saturating_sub(at) < EPISODE) {
            return;
        }
        let took = self.seen.iter().map(|second| second.asked - second.refused).fold(0.0, f64::max);
        self.rate = self.rate.min((took * CUT).max(RATE_MIN));
        self.cut = Some((self.rate, now));
        self.level = self.level.min(self.burst());
        self.seen = Default::default();
    }
}

impl Paced {
    /// Keeps the requests to `store` within `rates`.
    pub fn new(store: Arc<dyn Store>, runtime: Handle, rates: Rates) -> Self {
        let now = runtime.now();
        let [writes, reads] = [rates.writes, rates.reads].map(|limit| Mutex::new(Bucket::new(limit, now)));
        let heard = Heard { complaints: store.throttled().times, ..Heard::default() };
        Self { store, runtime, writes, reads, heard: Mutex::new(heard) }
    }

    /// What may be sent now.
    pub fn figures(&self) -> PaceFigures {
        let now = self.runtime.now();
        let [writes_per_second, reads_per_second] = [&self.writes, &self.reads].map(|bucket| {
            let mut bucket = bucket.lock();
            bucket.fill(now);
            bucket.rate as u64
        });
        let heard = self.heard.lock();
        PaceFigures { writes_per_second, reads_per_second, complaints: heard.complaints, waited: heard.waited }
    }

    /// Waits for its turn, asks, and hears whether that was too much.
    async fn ask<T>(&self, bucket: &Mutex<Bucket>, class: Class, request: impl Future<Output = T>) -> T {
        self.wait(bucket, class).await;
        let answer = request.await;
        let Throttled { times, until } = self.store.throttled();
        let mut heard = self.heard.lock();
        if times != heard.complaints {
            let (now, more) = (self.runtime.now(), times.saturating_sub(heard.complaints));
            heard.complaints = times;
            heard.until = until.map(|until| until.min(now + RETRY_AFTER_MAX)).max(heard.until);
            drop(heard);
            bucket.lock().refused(more, now);
        }
        answer
    }

    async fn wait(&self, bucket: &Mutex<Bucket>, class: Class) {
        let mut has_waited = false;
        loop {
            let now = self.runtime.now();
            let until = self.heard.lock().until.filter(|until| *until > now);
            let wait = match until {
                Some(until) => until - now,
                None => match bucket.lock().take(class, now) {
                    Ok(()) => return,
                    Err(wait) => wait,
                },
            };
            if !std::mem::replace(&mut has_waited, true) {
                self.heard.lock().waited += 1;
            }
            self.runtime.sleep(wait).await;
        }
    }
}

fn class_of(name: &str) -> Class {
    let is_foreground = FOREGROUND.iter().any(|prefix| name.starts_with(prefix));
    if is_foreground { Class::Foreground } else { Class::Background }
}

impl Store for Paced {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(self.ask(&self.writes, class_of(name), self.store.create(name, body)))
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        Box::pin(self.ask(&self.writes, class_of(name), self.store.replace(name, body)))
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        Box::pin(self.ask(&self.reads, Class::Foreground, self.store.get(name, range)))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        Box::pin(self.ask(&self.writes, Class::Foreground, self.store.list(prefix, after, limit)))
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(self.ask(&self.writes, Class::Background, self.store.delete(names)))
    }

    fn date(&self) -> Option<StoreDate> {
        self.store.date()
    }

    fn throttled(&self) -> Throttled {
        self.store.throttled()
    }

    fn identity(&self) -> Option<&str> {
        self.store.identity()
    }

    fn pace(&self) -> Option<PaceFigures> {
        Some(self.figures())
    }

    fn facts(&self) -> Facts {
        self.store.facts()
    }
}
