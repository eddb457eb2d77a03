//! How fast a store is: small requests, most of which are made for other reasons, and large ones beside each other.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use kafscale_runtime::Handle;

use super::{Plan, steps::Steps};
use crate::ReadRange;

/// Bytes of a small object: about what a broker under light load flushes.
const SMALL: usize = 4 << 10;
/// Large objects that are written and read beside each other.
const LARGE_AT_ONCE: usize = 2;

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    /// Writes of small objects (64 KiB at most).
    pub put: Percentiles,
    /// Reads of as much.
    pub get: Percentiles,
    /// Large objects, two at the same time; absent if none were asked for or one failed.
    pub large: Option<Throughput>,
    /// Requests that failed and are in none of the figures.
    pub failed: u32,
}

/// Of a number of requests of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentiles {
    /// How many.
    pub count: usize,
    /// Half took at most this long.
    pub p50: Duration,
    /// 99 of 100 took at most this long; of fewer than 100 the slowest.
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
    /// Their mean.
    pub mean: Duration,
}

impl Percentiles {
    /// The 99th percentile, if it is of so many requests that it says more than the slowest of them.
    pub fn p99_of_enough(&self) -> Option<Duration> {
        (self.count >= 100).then_some(self.p99)
    }

    /// Of these, in any order; none of nothing.
    pub fn of(mut taken: Vec<Duration>) -> Option<Self> {
        taken.sort_unstable();
        let count = taken.len();
        let at = |hundredths: usize| taken[(count * hundredths).div_ceil(100).clamp(1, count) - 1];
        let max = *taken.last()?;
        let mean = taken.iter().sum::<Duration>() / u32::try_from(count).ok()?;
        Some(Self { count, p50: at(50), p99: at(99), max, mean })
    }
}

/// Bytes in a second, in each direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throughput {
    /// Written.
    pub put: f64,
    /// Read.
    pub get: f64,
}

impl Steps<'_> {
    /// What the plan asks for, in addition to what the other questions took; nothing where it asks for nothing.
    pub(super) async fn measure(&self) -> Option<Latency> {
        let Plan { writes, reads, large, .. } = self.plan;
        if writes == 0 {
            return None;
        }
        let mut failed = 0;
        for number in 0..writes {
            let name = self.name(&format!("small/{number:03}"));
            failed += u32::from(self.replace(&name, noise(self.runtime, SMALL)).await.is_err());
            if number < reads {
                failed += u32::from(self.read(&name, ReadRange::All).await.is_err());
            }
        }
        let large = if large == 0 { None } else { self.throughput(large as usize).await };
        let (put, get) = self.tally.percentiles()?;
        Some(Latency { put, get, large, failed })
    }

    async fn throughput(&self, bytes: usize) -> Option<Throughput> {
        let names: Vec<_> = (0..LARGE_AT_ONCE).map(|number| self.name(&format!("large/{number}"))).collect();
        let bodies: Vec<_> = names.iter().map(|_| noise(self.runtime, bytes)).collect();
        let puts = join_all(names.iter().zip(bodies).map(|(name, body)| self.replace(name, body)));
        let (put, written) = timed_all(self.runtime, puts).await;
        let gets = join_all(names.iter().map(|name| self.read(name, ReadRange::All)));
        let (get, read) = timed_all(self.runtime, gets).await;
        let whole = read.iter().all(|read| read.as_ref().is_ok_and(|read| read.len() == bytes));
        let moved = (bytes * LARGE_AT_ONCE) as f64;
        let rate = |taken: Duration| moved / taken.as_secs_f64().max(1e-6);
        (whole && written.iter().all(Result::is_ok)).then(|| Throughput { put: rate(put), get: rate(get) })
    }
}

async fn timed_all<T>(runtime: &Handle, calls: impl Future<Output = T>) -> (Duration, T) {
    let started = runtime.now();
    let answers = calls.await;
    (runtime.now().saturating_sub(started), answers)
}

/// Bytes that nothing on the way can compress.
pub(super) fn noise(runtime: &Handle, len: usize) -> Bytes {
    // A generator of its own, seeded once: a random source behind a trait would be asked half a million times.
    let mut state = runtime.random_u64() | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}
