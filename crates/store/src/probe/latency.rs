//! How fast a store is: small requests one after the other, large ones beside each other.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use kafscale_runtime::Handle;

use crate::{Body, ReadRange, Store};

/// Bytes of a small object: about what a broker under light load flushes.
const SMALL: usize = 4 << 10;
/// Large objects that are written and read beside each other.
const LARGE_AT_ONCE: usize = 4;

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    /// Writes of 4 KiB, one after the other.
    pub put: Percentiles,
    /// Reads of 4 KiB, one after the other.
    pub get: Percentiles,
    /// Large objects, four at the same time; absent if none were asked for or one failed.
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

/// Measures below `folder`; names that it wrote, whether or not the write was answered, go into `written`.
pub(super) async fn measure(
    store: &dyn Store,
    runtime: &Handle,
    folder: &str,
    samples: u32,
    large: u32,
    written: &mut Vec<String>,
) -> Option<Latency> {
    let (mut puts, mut gets, mut failed) = (Vec::new(), Vec::new(), 0);
    for number in 0..samples {
        let name = format!("{folder}/small/{number:03}");
        written.push(name.clone());
        let body = Body::from(noise(runtime, SMALL));
        match timed(runtime, store.replace(&name, body)).await {
            Ok((taken, ())) => puts.push(taken),
            Err(_) => failed += 1,
        }
        match timed(runtime, store.get(&name, ReadRange::All)).await {
            Ok((taken, _)) => gets.push(taken),
            Err(_) => failed += 1,
        }
    }
    let large = if large == 0 { None } else { throughput(store, runtime, folder, large as usize, written).await };
    Some(Latency { put: Percentiles::of(puts)?, get: Percentiles::of(gets)?, large, failed })
}

async fn throughput(
    store: &dyn Store,
    runtime: &Handle,
    folder: &str,
    bytes: usize,
    written: &mut Vec<String>,
) -> Option<Throughput> {
    let names: Vec<_> = (0..LARGE_AT_ONCE).map(|number| format!("{folder}/large/{number}")).collect();
    written.extend(names.iter().cloned());
    let bodies: Vec<_> = names.iter().map(|_| Body::from(noise(runtime, bytes))).collect();
    let puts = join_all(names.iter().zip(bodies).map(|(name, body)| store.replace(name, body)));
    let (put, written) = timed_all(runtime, puts).await;
    let gets = join_all(names.iter().map(|name| store.get(name, ReadRange::All)));
    let (get, read) = timed_all(runtime, gets).await;
    let whole = read.iter().all(|read| read.as_ref().is_ok_and(|read| read.len() == bytes));
    let moved = (bytes * LARGE_AT_ONCE) as f64;
    let rate = |taken: Duration| moved / taken.as_secs_f64().max(1e-6);
    (whole && written.iter().all(Result::is_ok)).then(|| Throughput { put: rate(put), get: rate(get) })
}

async fn timed<T, E>(runtime: &Handle, call: impl Future<Output = Result<T, E>>) -> Result<(Duration, T), E> {
    let started = runtime.now();
    let answer = call.await?;
    Ok((runtime.now().saturating_sub(started), answer))
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
