//! What is known of a store from asking it, as its marker keeps it under the key `probed`.
//!
//! It holds facts about one store and the way to it, so it names its place by a hash: a marker that was copied into another
//! bucket says nothing of that one. Everything but the creates is in `found`, which has a format of its own: a result in a
//! format that this version does not know is kept as it is and believed in nothing.

use kafscale_runtime::Runtime;
use kafscale_store::{
    Facts,
    probe::{Check, Percentiles, Plan, Report, Unfit, Verdict},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The newest format of a result.
const FORMAT: u32 = 1;
/// Checks that are read of a result.
const CHECKS_MAX: usize = 32;
/// Characters of a reason that are kept.
const REASON_MAX: usize = 200;

/// What a store was asked, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// When, in Unix milliseconds of whoever asked.
    pub at_ms: i64,
    /// By which version.
    pub version: String,
    /// Rounds of racing creates; none where it need not create what is absent.
    pub races: u32,
    /// The most writers in one of them.
    pub racers: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    /// All that a probe found; absent as long as only the creates were asked for, which had to pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    found: Option<AnyFound>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum AnyFound {
    Known(Found),
    /// A newer version's.
    Other(Value),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    format: u32,
    checks: Vec<Line>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock_ahead_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    put: Option<Times>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    get: Option<Times>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    check: String,
    result: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Times {
    count: u32,
    p50_us: u64,
    p99_us: u64,
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What was looked at.
    pub check: Check,
    /// `failed`, `denied`, `unanswered` or `skipped`.
    pub result: String,
    /// Why, in the store's words.
    pub reason: String,
}

impl Probed {
    /// The creates that decide passed, and nothing else was asked yet.
    pub(super) fn creates(plan: &Plan, runtime: &dyn Runtime, facts: Facts) -> Self {
        let (races, racers) = plan.raced();
        Self {
            at_ms: runtime.wall_clock_ms(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            races,
            racers,
            place: (facts.place != 0).then(|| format!("{:016x}", facts.place)),
            found: None,
        }
    }

    /// All that a probe with this plan found of a store.
    pub fn of(report: &Report, plan: &Plan, runtime: &dyn Runtime, facts: Facts) -> Self {
        let asked = Self::creates(plan, runtime, facts);
        let checks = report.findings.iter().map(|finding| Line {
            check: finding.check.as_str().to_owned(),
            result: result(&finding.verdict).to_owned(),
            reason: clean(&finding.verdict.reason()),
        });
        let found = Found {
            format: FORMAT,
            checks: checks.collect(),
            clock_ahead_ms: report.clock_skew.map(|skew| skew.ahead_ms),
            put: report.latency.as_ref().map(|latency| (&latency.put).into()),
            get: report.latency.as_ref().map(|latency| (&latency.get).into()),
        };
        Self { found: Some(AnyFound::Known(found)), ..asked }
    }

    /// Whether it speaks of the store with these facts.
    pub(super) fn is_of(&self, facts: Facts) -> bool {
        let here = || format!("{:016x}", facts.place);
        self.place.as_ref().is_none_or(|place| facts.place == 0 || *place == here())
    }

    /// Whether the store was found to create only what is absent.
    pub(super) fn creates_passed(&self) -> bool {
        self.races > 0 && self.troubles().iter().all(|trouble| !trouble.check.is_of_the_log())
    }

    /// Whether nothing is left to be asked.
    pub(super) fn is_full(&self) -> bool {
        self.found.is_some()
    }

    /// Why no log may live there, if a probe saw that the store does not keep the condition.
    pub(super) fn refuses_log(&self) -> Option<Unfit> {
        let troubles = self.troubles().into_iter();
        let broken = troubles.filter(|trouble| trouble.check.is_of_the_log() && trouble.result == "failed");
        broken.map(|Trouble { check, reason, .. }| Unfit::Broken { check, reason }).next()
    }

    /// Everything that did not hold; nothing if the result is in a format that is not known.
    pub fn troubles(&self) -> Vec<Trouble> {
        let Some(AnyFound::Known(found)) = &self.found else { return Vec::new() };
        if found.format != FORMAT {
            return Vec::new();
        }
        let lines = found.checks.iter().take(CHECKS_MAX).filter(|line| line.result != "ok");
        let known = lines.filter_map(|line| {
            let check = Check::ALL.into_iter().find(|check| check.as_str() == line.check)?;
            Some(Trouble { check, result: clean(&line.result), reason: clean(&line.reason) })
        });
        known.collect()
    }
}

impl From<&Percentiles> for Times {
    fn from(of: &Percentiles) -> Self {
        let us = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self { count: u32::try_from(of.count).unwrap_or(u32::MAX), p50_us: us(of.p50), p99_us: us(of.p99) }
    }
}

fn result(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "ok",
        Verdict::Failed(_) => "failed",
        Verdict::Denied(..) => "denied",
        Verdict::Unanswered(_) => "unanswered",
        Verdict::Skipped(_) => "skipped",
    }
}

/// A store's words, as far as they are kept and shown.
fn clean(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(REASON_MAX).collect()
}

#[cfg(test)]
mod tests {
    use kafscale_store::probe::{ClockSkew, Finding, Permission};

    use super::*;

    fn probed(found: &str) -> Probed {
        let text = format!(r#"{{"at_ms": 5, "version": "0.1.0", "races": 4, "racers": 16, "found": {found}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_result_is_persisted_like_this() {
        let runtime = kafscale_sim::executor::World::new(1).node("prober").runtime();
        let at = |check, verdict| Finding { check, verdict };
        let (denied, long) = (Verdict::Denied(Permission::Delete, "HTTP 403\n".into()), "x".repeat(300));
        let findings = vec![
            at(Check::List, Verdict::Passed),
            at(Check::CreateRace, Verdict::Failed(long)),
            at(Check::Delete, denied),
        ];
        let report = Report { findings, clock_skew: Some(ClockSkew { ahead_ms: -7 }), ..Report::default() };
        let facts = Facts { place: 0xAB, ..kafscale_store::Store::facts(&kafscale_store::MemoryStore::new()) };
        let mut probed = Probed::of(&report, &Plan::THOROUGH, &*runtime, facts);
        (probed.at_ms, probed.version) = (5, "0.1.0".to_owned());
        let text = serde_json::to_string(&probed).unwrap();
        let expected = concat!(
            r#"{"at_ms":5,"version":"0.1.0","races":7,"racers":16,"place":"00000000000000ab","found":{"format":1,"checks":["#,
            r#"{"check":"list","result":"ok"},{"check":"create-race","result":"failed","reason":"XXX"},"#,
            r#"{"check":"delete","result":"denied","reason":"HTTP 403"}],"clock_ahead_ms":-7}}"#
        );
        assert_eq!(text, expected.replace("XXX", &"x".repeat(REASON_MAX)));
        assert_eq!(serde_json::from_str::<Probed>(&text).unwrap(), probed);
        assert!(!probed.creates_passed() && probed.is_full());
        assert!(matches!(probed.refuses_log(), Some(Unfit::Broken { check: Check::CreateRace, .. })));
        assert!(probed.is_of(facts) && !probed.is_of(Facts { place: 1, ..facts }));
    }

    #[test]
    fn what_was_denied_or_not_answered_refuses_nothing() {
        for result in ["denied", "unanswered", "skipped"] {
            let line = format!(r#"{{"format": 1, "checks": [{{"check": "create", "result": "{result}"}}]}}"#);
            let probed = probed(&line);
            assert_eq!((probed.refuses_log(), probed.creates_passed()), (None, false));
            assert_eq!(probed.troubles().len(), 1);
        }
    }

    #[test]
    fn a_result_of_a_newer_format_is_kept_and_not_believed() {
        for found in
            [r#"{"format": 2, "checks": [{"check": "create", "result": "failed"}]}"#, r#"{"format": 2}"#, "[7]"]
        {
            let probed = probed(found);
            assert_eq!(probed.refuses_log(), None);
            assert!(probed.creates_passed() && probed.is_full());
            let kept: Value = serde_json::to_value(&probed).unwrap();
            assert_eq!(kept["found"], serde_json::from_str::<Value>(found).unwrap());
        }
    }

    #[test]
    fn checks_that_are_not_known_and_too_many_of_them_are_passed_over() {
        let line = r#"{"check": "future", "result": "failed"},"#.repeat(CHECKS_MAX);
        let found = format!(r#"{{"format": 1, "checks": [{line}{{"check": "delete", "result": "failed"}}]}}"#);
        assert_eq!(probed(&found).troubles(), []);
    }
}
