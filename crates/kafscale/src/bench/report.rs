//! The result of a run, as a table or as JSON.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::tally::Totals;
use crate::output;

/// The client library. The version is the one that the workspace's manifest asks for; a test compares.
const CLIENT: &str = "krafka 0.28.1";

/// Everything that is needed to judge and to repeat a figure.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `produce`, `consume` or `e2e`.
    pub bench: &'static str,
    /// The topic.
    pub topic: String,
    /// Its partitions.
    pub partitions: usize,
    /// Records that arrived.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// From the start to the last arrival.
    pub seconds: f64,
    /// Mean over the run.
    pub records_per_s: f64,
    /// Mean over the run.
    pub mib_per_s: f64,
    /// Milliseconds; absent where no latency is defined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// Milliseconds from the start to the first record, when consuming.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_record_ms: Option<f64>,
    /// Records that the client gave up.
    pub failed: u64,
    /// Records that were acknowledged and not seen again, in e2e.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
    /// Errors and how often each came.
    pub errors: BTreeMap<String, u64>,
    /// The client library and its version.
    pub client: String,
    /// The client's effective settings.
    pub settings: BTreeMap<String, String>,
}

/// Percentiles in milliseconds.
#[derive(Debug, Serialize)]
pub struct Latency {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p999: f64,
    max: f64,
}

impl Latency {
    /// Of a histogram of microseconds; none if it is empty.
    pub fn of(latency_us: &Histogram<u64>) -> Option<Self> {
        let ms = |quantile| latency_us.value_at_quantile(quantile) as f64 / 1000.0;
        (!latency_us.is_empty()).then(|| Self {
            mean: round(latency_us.mean() / 1000.0),
            p50: ms(0.5),
            p90: ms(0.9),
            p99: ms(0.99),
            p999: ms(0.999),
            max: latency_us.max() as f64 / 1000.0,
        })
    }
}

/// What every report is told besides its totals.
pub struct Frame {
    /// `produce`, `consume` or `e2e`.
    pub bench: &'static str,
    /// The topic.
    pub topic: String,
    /// Its partitions.
    pub partitions: usize,
    /// The client's effective settings.
    pub settings: BTreeMap<String, String>,
}

impl Report {
    /// Of what was counted within `time`.
    pub fn new(frame: Frame, totals: Totals, time: Duration) -> Self {
        let seconds = time.as_secs_f64();
        let per_s = |count: f64| if seconds > 0.0 { round(count / seconds) } else { 0.0 };
        Self {
            bench: frame.bench,
            topic: frame.topic,
            partitions: frame.partitions,
            records: totals.records,
            bytes: totals.bytes,
            seconds: round(seconds),
            records_per_s: per_s(totals.records as f64),
            mib_per_s: per_s(totals.bytes as f64 / f64::from(1 << 20)),
            latency_ms: Latency::of(&totals.latency_us),
            first_record_ms: None,
            failed: totals.failed,
            missing: None,
            errors: totals.errors,
            client: CLIENT.to_owned(),
            settings: frame.settings,
        }
    }

    /// Whether every record made it.
    pub fn is_whole(&self) -> bool {
        self.failed == 0 && self.missing.unwrap_or(0) == 0
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut rows = vec![
            vec!["topic".into(), format!("{}, {} partitions", self.topic, self.partitions)],
            vec!["records".into(), format!("{} ({} bytes) in {} s", self.records, self.bytes, self.seconds)],
            vec!["throughput".into(), format!("{} MiB/s, {} records/s", self.mib_per_s, self.records_per_s)],
        ];
        if let Some(Latency { mean, p50, p90, p99, p999, max }) = &self.latency_ms {
            let text = format!("mean {mean}  p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p999}  max {max}");
            rows.push(vec!["latency ms".into(), text]);
        }
        if let Some(first) = self.first_record_ms {
            rows.push(vec!["first record".into(), format!("after {first} ms")]);
        }
        rows.push(vec!["failed".into(), self.failed.to_string()]);
        if let Some(missing) = self.missing {
            rows.push(vec!["missing".into(), missing.to_string()]);
        }
        rows.extend(self.errors.iter().map(|(error, count)| vec!["error".into(), format!("{count} x {error}")]));
        rows.push(vec!["client".into(), self.client.clone()]);
        rows.extend(self.settings.iter().map(|(key, value)| vec!["setting".into(), format!("{key}={value}")]));
        output::table(&[self.bench, ""], rows)
    }
}

/// Three digits after the point are enough for people and stable for programs.
pub fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_one_that_is_linked() {
        let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).unwrap();
        let (name, version) = CLIENT.split_once(' ').unwrap();
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")), "{CLIENT}");
    }
}
