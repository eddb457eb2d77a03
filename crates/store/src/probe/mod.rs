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
pub use race::Race;
pub use report::{Check, Finding, Permission, Report, Unfit, Verdict};
pub use trial::Trial;

/// The folder, relative to the store's root, below which every probe works.
pub const FOLDER: &str = "probe";

/// How much is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Racing creates, one race after the other; those behind one that shows several winners are left out.
    pub races: &'static [Race],
    /// Small objects written one after the other to measure latency. None: nothing is measured.
    pub writes: u32,
    /// How many of them are read; the other questions read enough for a first idea.
    pub reads: u32,
    /// Bytes of each of the two large objects that measure throughput; none for zero.
    pub large: u32,
}

/// Where somebody vouches for creates, this finds out whether they are right about this very endpoint.
const VOUCHED: &[Race] = &[LONG];
/// Where nobody does.
const DOUBTED: &[Race] = &[LONG, SHORT, SHORT];
/// A long body shows a server that takes its time to write it ...
const LONG: Race = Race { racers: 4, bytes: 64 << 10 };
/// ... a short one a server that has all of it with the head.
const SHORT: Race = Race { racers: 4, bytes: 1 << 10 };
/// So many hardly ever come to one and the same of several servers behind an address.
const MANY: Race = Race { racers: 16, bytes: 1 << 10 };

impl Plan {
    /// What a person asks who wants to be sure of every figure: about 300 requests.
    pub const THOROUGH: Self =
        Self { races: &[LONG, SHORT, SHORT, MANY, MANY, MANY, MANY], writes: 100, reads: 100, large: 16 << 20 };

    /// What a person asks: about 30 requests, and 40 where nobody vouches for creates.
    pub fn usual(facts: Facts) -> Self {
        let races = if facts.create_is_known { VOUCHED } else { DOUBTED };
        Self { races, writes: 5, reads: 0, large: 8 << 20 }
    }

    /// What a broker asks that is to note the result: the same without the large objects.
    pub fn noted(facts: Facts) -> Self {
        Self { large: 0, ..Self::usual(facts) }
    }

    /// What a broker asks otherwise: no measurements.
    pub fn start(facts: Facts) -> Self {
        Self { writes: 0, ..Self::noted(facts) }
    }

    /// How many races, and the most writers in one of them; zeros where there are none.
    pub fn raced(&self) -> (u32, u32) {
        self.races.iter().fold((0, 0), |(races, most), race| (races + 1, most.max(race.racers)))
    }
}

/// Asks `store` everything in `plan`. Writes below `probe/`, and deletes that again as far as the store lets it.
pub async fn probe(store: &dyn Store, runtime: &Handle, plan: Plan) -> Report {
    let (folder, tally) = (folder(runtime), Tally::default());
    let steps = steps::Steps { store, runtime, plan, folder: &folder, tally: &tally };
    let (findings, latency, takes_damage) = steps.all().await;
    Report { findings, latency, takes_damage, clock_skew: skew(store, runtime) }
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
