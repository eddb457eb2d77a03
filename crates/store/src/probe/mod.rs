//! Whether a store keeps its contract, found out by asking it.
//!
//! A profile says what is assumed of a provider; a probe says what is true of this bucket, these keys, this gateway in
//! between. It works below one folder of its own, with names that no other probe uses, and removes what it wrote. Nothing
//! here knows a provider: [`probe`] is given any [`Store`], so that the simulation and the emulated providers are probed by
//! the very code that users run.
//!
//! ```text
//! list ─▶ plain write, read back ─▶ create twice ─▶ race ─▶ ranges, list after write, overwrite ─▶ delete ─▶ (latency)
//! ```
//!
//! What must hold: a store is called fit to hold a log only if of racing creates of one name exactly one won, every time,
//! and what was read back was the winner's. An answer that never came proves nothing, in either direction.

mod latency;
mod report;
mod steps;
mod trial;

use std::time::Duration;

use kafscale_runtime::Handle;

use crate::Store;

pub use latency::{Latency, Percentiles, Throughput};
pub use report::{Check, Finding, Permission, Report, Unfit, Verdict};
pub use trial::Trial;

/// The folder, relative to the store's root, below which every probe works.
pub const FOLDER: &str = "probe";

/// How much is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Rounds of racing creates.
    pub races: u32,
    /// Writers in each round.
    pub racers: u32,
    /// Small objects written and read one after the other to measure latency; none for zero.
    pub samples: u32,
    /// Bytes of each of the four large objects that measure throughput; none for zero.
    pub large: u32,
}

impl Plan {
    /// What a person asks: also latency and throughput, about 140 requests.
    pub const FULL: Self = Self { races: 4, racers: 16, samples: 20, large: 4 << 20 };
    /// What a broker asks that is to note the result: the same without the large objects, about 125 requests.
    pub const NOTED: Self = Self { large: 0, ..Self::FULL };
    /// What a broker asks otherwise: about 85 requests, and no measurements.
    pub const START: Self = Self { samples: 0, ..Self::NOTED };
}

/// Asks `store` everything in `plan`. Writes below `probe/`, and deletes that again as far as the store lets it.
pub async fn probe(store: &dyn Store, runtime: &Handle, plan: Plan) -> Report {
    let folder = folder(runtime);
    let (findings, latency) = steps::Steps { store, runtime, plan, folder: &folder }.all().await;
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
