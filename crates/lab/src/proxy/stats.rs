//! What went through the proxy, as numbers.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use hdrhistogram::Histogram;
use hyper::{Method, StatusCode};
use parking_lot::Mutex;
use serde::Serialize;

use super::Fault;

/// Counts since the start or the last reset.
#[derive(Debug, Default)]
pub struct Stats {
    puts_in_flight: AtomicI64,
    connections_to_upstream_failed: AtomicU64,
    methods: Mutex<BTreeMap<String, Counts>>,
}

/// Counts of one method.
#[derive(Debug, Default, Serialize)]
struct Counts {
    requests: u64,
    answers: BTreeMap<u16, u64>,
    faults: BTreeMap<Fault, u64>,
    bytes_in: u64,
    bytes_out: u64,
    /// Answers that came later than the latency drawn for them, because the real server took longer.
    late: u64,
    #[serde(serialize_with = "serialize_latency")]
    latency_ms: Latency,
}

#[derive(Debug)]
struct Latency {
    micros: Histogram<u64>,
}

impl Default for Latency {
    fn default() -> Self {
        // Three digits from a microsecond to ten minutes.
        Self { micros: Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are in order") }
    }
}

impl Stats {
    /// A PUT is under way for as long as the guard lives.
    pub(crate) fn put_in_flight(&self) -> impl Drop {
        self.puts_in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.puts_in_flight)
    }

    pub(crate) fn request(&self, method: &Method) {
        self.with(method, |counts| counts.requests += 1);
    }

    pub(crate) fn fault(&self, method: &Method, fault: Fault) {
        self.with(method, |counts| *counts.faults.entry(fault).or_default() += 1);
    }

    pub(crate) fn bytes_in(&self, method: &Method, bytes: u64) {
        self.with(method, |counts| counts.bytes_in += bytes);
    }

    pub(crate) fn bytes_out(&self, method: &Method, bytes: u64) {
        self.with(method, |counts| counts.bytes_out += bytes);
    }

    pub(crate) fn upstream_failed(&self) {
        self.connections_to_upstream_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// An answer goes out, `took` after its request came in.
    pub(crate) fn answer(&self, method: &Method, status: StatusCode, took: Duration, late: bool) {
        self.with(method, |counts| {
            *counts.answers.entry(status.as_u16()).or_default() += 1;
            counts.late += u64::from(late);
            counts.latency_ms.micros.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
        });
    }

    /// Begins anew; what is in flight stays.
    pub(crate) fn reset(&self) {
        self.methods.lock().clear();
        self.connections_to_upstream_failed.store(0, Ordering::Relaxed);
    }

    /// All of it as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "puts_in_flight": self.puts_in_flight.load(Ordering::Relaxed),
            "connections_to_upstream_failed": self.connections_to_upstream_failed.load(Ordering::Relaxed),
            "methods": &*self.methods.lock(),
        })
    }

    fn with(&self, method: &Method, act: impl FnOnce(&mut Counts)) {
        // Methods are few, whatever a client sends: S3 knows these.
        let known = matches!(*method, Method::PUT | Method::GET | Method::POST | Method::DELETE | Method::HEAD);
        let name = if known { method.as_str() } else { "other" };
        let mut methods = self.methods.lock();
        match methods.get_mut(name) {
            Some(counts) => act(counts),
            None => act(methods.entry(name.to_owned()).or_default()),
        }
    }
}

struct InFlight<'a>(&'a AtomicI64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn serialize_latency<S: serde::Serializer>(latency: &Latency, serializer: S) -> Result<S::Ok, S::Error> {
    let micros = &latency.micros;
    let ms = |micros: u64| micros as f64 / 1e3;
    let mut fields = BTreeMap::from([
        ("mean", micros.mean() / 1e3),
        ("min", if micros.is_empty() { 0.0 } else { ms(micros.min()) }),
        ("max", ms(micros.max())),
    ]);
    for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)] {
        fields.insert(name, ms(micros.value_at_quantile(quantile)));
    }
    fields.serialize(serializer)
}
