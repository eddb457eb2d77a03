//! Whether a store keeps its contract, found out by asking it.
//!
//! A profile says what is assumed of a provider; a probe says what is true of this bucket, these keys, this gateway in
//! between. It works below one folder of its own, with names that no other probe uses, and removes what it wrote. Nothing
//! here knows a provider: [`probe`] is given any [`Store`], so that the simulation and the emulated providers are probed by
//! the very code that users run.
//!
//! ```text
//! create twice ─┬─▶ plain write, read back, ranges, overwrite ─▶ list, list from a name on ─▶ (latency, throughput) ─▶ delete
//! races ────────┘
//! ```
//!
//! What must hold: a store is called fit to hold a log only if of racing creates of one name exactly one won, every time,
//! and what was read back was the winner's. An answer that never came proves nothing, in either direction.

mod latency;
mod race;
mod report;
mod steps;
mod tally;
mod trial;

use std::time::Duration;

use kafscale_runtime::Handle;

use crate::{Facts, Store};
use tally::Tally;

pub use latency::{Latency, Percentiles, Throughput};
pub use race::Bout;
pub use report::{Check, Finding, Permission, Report, Unfit, Verdict};
pub use trial::Trial;

/// The folder, relative to the store's root, below which every probe works.
pub const FOLDER: &str = "probe";

/// How much is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Racing creates, one bout after the other; those behind one that shows several winners are left out.
    pub bouts: &'static [Bout],
    /// Small objects written one after the other to measure latency. None: nothing is measured.
    pub writes: u32,
    /// How many of them are read; the other questions read enough for a first idea.
    pub reads: u32,
    /// Bytes of each of the two large objects that measure throughput; none for zero.
    pub large: u32,
}

/// Where somebody vouches for creates, this finds out whether they are right about this very endpoint.
const VOUCHED: &[Bout] = &[LONG];
/// One after the other: rounds at the same time are often missed together.
const DOUBTED: &[Bout] = &[LONG, SHORT, SHORT];
/// The first one, for which connections are opened.
const LONG: Bout = Bout { rounds: 1, racers: 4, bytes: 64 << 10 };
/// On connections that are open.
const SHORT: Bout = Bout { rounds: 1, racers: 4, bytes: 1 << 10 };
/// Several at a time.
const MANY: Bout = Bout { rounds: 4, racers: 16, bytes: 1 << 10 };

impl Plan {
    /// What a person asks who wants to be sure of every figure: about 300 requests.
    pub const THOROUGH: Self =
        Self { bouts: &[LONG, LONG, SHORT, SHORT, MANY], writes: 100, reads: 100, large: 16 << 20 };

    /// What a person asks: about 30 requests, and 40 where nobody vouches for creates.
    pub fn usual(facts: Facts) -> Self {
        let bouts = if facts.create_is_known { VOUCHED } else { DOUBTED };
        Self { bouts, writes: 5, reads: 0, large: 8 << 20 }
    }

    /// What a broker asks that is to note the result: the same without the large objects.
    pub fn noted(facts: Facts) -> Self {
        Self { large: 0, ..Self::usual(facts) }
    }

    /// What a broker asks otherwise: no measurements.
    pub fn start(facts: Facts) -> Self {
        Self { writes: 0, ..Self::noted(facts) }
    }

    /// Rounds of racing creates, and the most writers in one of them; zeros where there are none.
    pub fn races(&self) -> (u32, u32) {
        let racers = self.bouts.iter().map(|bout| bout.racers).max();
        (self.bouts.iter().map(|bout| bout.rounds).sum(), racers.unwrap_or(0))
    }
}

/// Asks `store` everything in `plan`. Writes below `probe/`, and deletes that again as far as the store lets it.
pub async fn probe(store: &dyn Store, runtime: &Handle, plan: Plan) -> Report {
    let (folder, tally) = (folder(runtime), Tally::default());
    let (findings, latency) = steps::Steps { store, runtime, plan, folder: &folder, tally: &tally }.all().await;
    Report { findings, latency, clock_skew: skew(store, runtime) }
}

/// A folder for one probe.
fn folder(runtime: &Handle) -> String {
    format!("{FOLDER}/{:032x}", runtime.random_u128())
}

/// How far the store's clock is ahead of this machine's; negative where it is behind. Unknown where the store tells no
/// time. S3 tells whole seconds.
fn skew(store: &dyn Store, runtime: &Handle) -> Option<ClockSkew> {
    let date = store.date()?;
    let elapsed = runtime.now().saturating_sub(date.seen_at);
    let here = runtime.wall_clock_ms() - i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
    Some(ClockSkew { ahead_ms: date.unix_ms.saturating_sub(here) })
}

/// How two clocks differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSkew {
    /// Milliseconds by which the store's clock is ahead of this machine's.
    pub ahead_ms: i64,
}

impl ClockSkew {
    /// From here on a broker warns.
    pub const NOTABLE: Duration = Duration::from_secs(5);
    /// From here on S3 refuses signed requests (RequestTimeTooSkewed).
    pub const REFUSED: Duration = Duration::from_secs(15 * 60);

    /// The difference without its direction.
    pub fn size(self) -> Duration {
        Duration::from_millis(self.ahead_ms.unsigned_abs())
    }
}
