//! `kafscale storage bench`: writes for half of the time, then reads what was written, and keeps when each request ended
//! and how long it took.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use kafscale_runtime::Handle;
use kafscale_store::{
    ReadRange, Store,
    probe::{FOLDER, Percentiles},
};
use serde::Serialize;

use crate::{bench::payload::Payload, output::Row};

/// Requests that are kept of one phase; beyond them the phase ends. 16 bytes each.
const KEPT_MAX: u64 = 4_000_000;
/// Names in one deletion.
const NAMES_PER_DELETE: usize = 1_000;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Of both phases together.
    pub duration: Duration,
    /// Bytes of an object.
    pub size: usize,
    /// Requests under way at the same time.
    pub concurrency: usize,
    /// Bytes that are written at most; they stay until the end.
    pub bytes_max: u64,
}

/// One request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// When, from the start of its phase.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
}

/// All requests of one kind.
#[derive(Debug, Clone, Default)]
pub struct Phase {
    /// Those that were answered, in the order of their ends.
    pub answered: Vec<Answered>,
    /// Those that failed.
    pub failed: u64,
    /// From the first request to the last answer.
    pub lasted: Duration,
}

/// Both phases.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Writes.
    pub put: Phase,
    /// Reads of what they wrote.
    pub get: Phase,
    /// Why deleting it failed, if it did: it is still there.
    pub left_behind: Option<String>,
}

/// What `-o json` prints of a phase.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// `put` or `get`.
    pub operation: &'static str,
    /// Requests that were answered.
    pub requests: usize,
    /// Requests that failed.
    pub failed: u64,
    /// Bytes in a second, in millions.
    pub mb_per_second: f64,
    /// Latencies in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl Row for Summary {
    const HEADINGS: &'static [&'static str] =
        &["OPERATION", "REQUESTS", "FAILED", "MB/S", "P50 MS", "P99 MS", "MAX MS"];
    fn cells(&self) -> Vec<String> {
        let Self { operation, requests, failed, mb_per_second, p50_ms, p99_ms, max_ms } = self;
        let figures = [mb_per_second, p50_ms, p99_ms, max_ms].map(ToString::to_string);
        [(*operation).to_owned(), requests.to_string(), failed.to_string()].into_iter().chain(figures).collect()
    }
}

impl Phase {
    /// In a few figures; nothing if nothing was answered.
    pub fn summary(&self, operation: &'static str, size: usize) -> Option<Summary> {
        let of = Percentiles::of(self.answered.iter().map(|it| it.took).collect())?;
        let ms = |took: Duration| (took.as_secs_f64() * 1e4).round() / 10.0;
        let bytes = of.count as f64 * size as f64;
        let rate = bytes / self.lasted.as_secs_f64().max(1e-9) / 1e6;
        Some(Summary {
            operation,
            requests: of.count,
            failed: self.failed,
            mb_per_second: (rate * 10.0).round() / 10.0,
            p50_ms: ms(of.p50),
            p99_ms: ms(of.p99),
            max_ms: ms(of.max),
        })
    }
}

/// Runs both phases below a folder of its own, and deletes what it wrote. `progress` is told the requests so far.
pub async fn run(store: Arc<dyn Store>, runtime: Handle, plan: Plan, progress: impl Fn(&'static str, u64)) -> Measured {
    let folder = format!("{FOLDER}/{:032x}/bench", runtime.random_u128());
    let noise = Payload::new(plan.size, runtime.random_u64()).next();
    let written = AtomicU64::new(0);
    let names_max = (plan.bytes_max / plan.size.max(1) as u64).clamp(1, KEPT_MAX);
    let name = |number: u64| format!("{folder}/{number:08}");

    let put = phase(&runtime, plan.duration / 2, plan.concurrency, names_max, |number| {
        let (store, name, body) = (&store, name(number), noise.clone());
        written.fetch_max(number + 1, Ordering::Relaxed);
        progress("put", number);
        async move { store.replace(&name, body.into()).await.is_ok() }
    })
    .await;
    let written = written.into_inner();
    let get = if put.answered.is_empty() {
        Phase::default()
    } else {
        phase(&runtime, plan.duration / 2, plan.concurrency, KEPT_MAX, |number| {
            let (store, name) = (&store, name(number % written));
            progress("get", number);
            async move { store.get(&name, ReadRange::All).await.is_ok_and(|bytes| bytes.len() == plan.size) }
        })
        .await
    };
    let names: Vec<_> = (0..written).map(name).collect();
    let mut left_behind = None;
    for some in names.chunks(NAMES_PER_DELETE) {
        if let Err(error) = store.delete(some).await {
            left_behind = Some(format!("{folder}: {error}"));
        }
    }
    Measured { put, get, left_behind }
}

/// Requests one after the other in each of `concurrency` places, until the time or the numbers are used up.
async fn phase<F: Future<Output = bool>>(
    runtime: &Handle,
    limit: Duration,
    concurrency: usize,
    count_max: u64,
    request: impl Fn(u64) -> F,
) -> Phase {
    let began = runtime.now();
    let next = AtomicU64::new(0);
    let place = async || {
        let (mut answered, mut failed) = (Vec::new(), 0);
        loop {
            let started = runtime.now();
            let number = next.fetch_add(1, Ordering::Relaxed);
            if started.saturating_sub(began) >= limit || number >= count_max {
                return (answered, failed);
            }
            let good = request(number).await;
            let ended = runtime.now();
            if good {
                answered.push(Answered { at: ended.saturating_sub(began), took: ended.saturating_sub(started) });
            } else {
                failed += 1;
            }
        }
    };
    let places = join_all((0..concurrency).map(|_| place())).await;
    let mut phase = Phase { lasted: runtime.now().saturating_sub(began), ..Phase::default() };
    for (answered, failed) in places {
        phase.answered.extend(answered);
        phase.failed += failed;
    }
    phase.answered.sort_unstable_by_key(|it| it.at);
    phase
}
