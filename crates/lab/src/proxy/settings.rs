//! What can be set, at the start and while the proxy runs.

use anyhow::ensure;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::{faults::Rates, latency::LogNormal};

/// Latencies and rates of faults. A latency of 0 adds nothing; PUT stands for all that writes (also POST and DELETE), GET
/// for all that reads. Rates are probabilities; their sum is at most 1.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Median latency of a PUT
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    pub put_p50_ms: f64,
    /// Latency that one PUT in a hundred exceeds
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    pub put_p99_ms: f64,
    /// Median latency of a GET
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    pub get_p50_ms: f64,
    /// Latency that one GET in a hundred exceeds
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    pub get_p99_ms: f64,
    /// Megabytes a second that all connections together move, each way; 0 for no bound
    #[arg(long, value_name = "MB", default_value_t = 0.0)]
    pub line_mb_per_s: f64,
    /// Requests answered with 503 SlowDown and not carried out
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub error_503_rate: f64,
    /// Writes carried out whose connection is cut instead of an answer
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub applied_unanswered_rate: f64,
    /// Writes carried out and answered with 503 SlowDown
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub applied_503_rate: f64,
    /// Requests that are neither carried out nor answered until the client gives up
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub hang_rate: f64,
    /// Writes carried out and not answered until the client gives up
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub applied_hang_rate: f64,
}

impl Settings {
    /// Fails with the reason if they make no sense.
    pub fn check(&self) -> anyhow::Result<()> {
        for (name, p50, p99) in [("put", self.put_p50_ms, self.put_p99_ms), ("get", self.get_p50_ms, self.get_p99_ms)] {
            ensure!(p50.is_finite() && p50 >= 0.0, "the {name} p50 is no latency");
            ensure!(p99.is_finite() && (p50 == 0.0 || p99 >= p50), "the {name} p99 is below the p50");
        }
        ensure!(self.line_mb_per_s.is_finite() && self.line_mb_per_s >= 0.0, "the line's megabytes are no rate");
        self.rates().check()
    }

    /// A copy with the fields that `changes` (a JSON object) names.
    pub fn changed_by(&self, changes: &[u8]) -> anyhow::Result<Self> {
        let mut fields = serde_json::to_value(self)?;
        let changes: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(changes)?;
        if let Some(fields) = fields.as_object_mut() {
            fields.extend(changes);
        }
        let changed: Self = serde_json::from_value(fields)?;
        changed.check()?;
        Ok(changed)
    }

    pub(crate) fn put_latency(&self) -> Option<LogNormal> {
        LogNormal::new(self.put_p50_ms, self.put_p99_ms)
    }

    pub(crate) fn get_latency(&self) -> Option<LogNormal> {
        LogNormal::new(self.get_p50_ms, self.get_p99_ms)
    }

    pub(crate) fn rates(&self) -> Rates {
        Rates {
            error_503: self.error_503_rate,
            applied_unanswered: self.applied_unanswered_rate,
            applied_503: self.applied_503_rate,
            hang: self.hang_rate,
            applied_hang: self.applied_hang_rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_keep_the_other_fields_and_are_checked() {
        let settings = Settings { put_p50_ms: 60.0, put_p99_ms: 250.0, ..Settings::default() };
        let changed = settings.changed_by(br#"{"hang_rate": 0.5}"#).unwrap();
        assert_eq!(changed, Settings { hang_rate: 0.5, ..settings.clone() });
        for bad in
            [r#"{"hung_rate": 0.5}"#, r#"{"hang_rate": 2}"#, r#"{"put_p99_ms": 10}"#, r#"{"hang_rate": -1}"#, "[]", ""]
        {
            assert!(settings.changed_by(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
