//! What a probe found, as a table with advice and as JSON.

use std::time::Duration;

use kafscale_store::{
    probe::{ClockSkew, Finding, Latency, Percentiles, Report, Throughput, Verdict},
    profile::{ConditionalCreate, Profile},
};
use serde::Serialize;

use super::{
    advice::advice,
    ask::Copy,
    expect::{Expectation, Reading, expect},
    rights,
};
use crate::output::{self, Row};

/// The whole result, in the form that `-o json` prints.
#[derive(Debug, Serialize)]
pub struct Told {
    /// Which store.
    pub store: String,
    /// The profile that its address stands for.
    pub profile: &'static str,
    /// As whom it is asked; absent where nobody has to prove who they are.
    pub identity: Option<String>,
    /// Whether records may lie here.
    pub fit_for_data: bool,
    /// Whether the log may.
    pub fit_for_log: bool,
    /// Why not; empty if both may.
    pub unfit: String,
    /// The checks.
    pub checks: Vec<Line>,
    /// Actions that the keys lack.
    pub missing_permissions: Vec<&'static str>,
    /// Milliseconds by which the store's clock is ahead of this machine's.
    pub clock_ahead_ms: Option<i64>,
    /// Requests that were sent.
    pub requests: u64,
    /// What was measured.
    pub measured: Option<Measured>,
    /// Whether the store takes a body that is not what its checksum says; absent where that cannot be told.
    pub takes_damage: Option<bool>,
    /// What a broker may be expected to do here.
    pub expected: Vec<Expectation>,
    /// What reading from it costs in requests.
    pub reading: Reading,
    /// A GB stored for a month, in US dollars; zero where it is not billed by use.
    pub usd_per_gb_month: f64,
    /// What else should be known.
    pub notes: Vec<String>,
    /// The same of the log's store, if it is a bucket of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Box<Self>>,
    /// The read replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_replica: Option<Copy>,
}

/// One check.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Its stable name.
    pub check: &'static str,
    /// `ok`, `FAILED`, `DENIED`, `no answer` or `skipped`.
    pub result: &'static str,
    /// What it means, and what happened where that is something else.
    pub detail: String,
    /// What a person can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Row for Line {
    const HEADINGS: &'static [&'static str] = &["CHECK", "RESULT", "WHAT"];
    fn cells(&self) -> Vec<String> {
        vec![self.check.to_owned(), self.result.to_owned(), self.detail.clone()]
    }
}

/// Latencies in milliseconds, rates in MB/s.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// Writes of small objects.
    pub put: Times,
    /// Reads of small objects.
    pub get: Times,
    /// Two large objects at a time, written.
    pub put_mb_per_second: Option<f64>,
    /// And read.
    pub get_mb_per_second: Option<f64>,
    /// Requests that failed meanwhile.
    pub failed: u32,
}

/// Latencies of one kind of request, in milliseconds.
#[derive(Debug, Serialize)]
pub struct Times {
    /// How many were measured.
    pub count: usize,
    /// The median.
    pub p50_ms: f64,
    /// 99 of 100 took at most this long; nothing where fewer than 100 were measured.
    pub p99_ms: Option<f64>,
    /// The slowest.
    pub max_ms: f64,
}

impl Times {
    fn text(&self) -> String {
        let Self { count, p50_ms, p99_ms, max_ms } = self;
        match p99_ms {
            Some(p99) => format!("p50 {p50_ms} ms, p99 {p99} ms, slowest {max_ms} ms ({count} of them)"),
            None => format!("p50 {p50_ms} ms, slowest {max_ms} ms ({count} of them: too few for a p99)"),
        }
    }
}

impl From<&Percentiles> for Times {
    fn from(of: &Percentiles) -> Self {
        Self { count: of.count, p50_ms: ms(of.p50), p99_ms: of.p99_of_enough().map(ms), max_ms: ms(of.max) }
    }
}

impl From<&Latency> for Measured {
    fn from(of: &Latency) -> Self {
        let rate = |of: fn(&Throughput) -> f64, from: &Latency| from.large.as_ref().map(|it| tenths(of(it) / 1e6));
        Self {
            put: (&of.put).into(),
            get: (&of.get).into(),
            put_mb_per_second: rate(|it| it.put, of),
            get_mb_per_second: rate(|it| it.get, of),
            failed: of.failed,
        }
    }
}

impl Told {
    /// Puts together what is known of a store.
    pub fn of(store: String, profile: &Profile, report: &Report, requests: u64, mut notes: Vec<String>) -> Self {
        notes.extend(report.clock_skew.and_then(clock_note));
        if report.takes_damage == Some(true) {
            notes.push(TAKES_DAMAGE.to_owned());
        }
        if profile.storage_days_min > 0 {
            notes.push(format!(
                "an object is billed for {} days however early it is deleted: keep retention longer than that",
                profile.storage_days_min
            ));
        }
        let (data, log) = (report.fit_for_data(), report.fit_for_log());
        let mut missing: Vec<_> =
            report.missing_permissions().into_iter().map(|missing| rights::action(missing, profile)).collect();
        // Azure reads and lists by one of them.
        missing.sort_unstable();
        missing.dedup();
        Self {
            store,
            profile: profile.provider.as_str(),
            identity: None,
            fit_for_data: data.is_ok(),
            fit_for_log: log.is_ok(),
            unfit: data.and(log).err().map(|unfit| rights::unfit(&unfit, profile)).unwrap_or_default(),
            checks: report.findings.iter().map(|finding| line(finding, report, profile)).collect(),
            missing_permissions: missing,
            clock_ahead_ms: report.clock_skew.map(|skew| skew.ahead_ms),
            requests,
            measured: report.latency.as_ref().map(Measured::from),
            takes_damage: report.takes_damage,
            expected: report.latency.iter().flat_map(|of| expect(&of.put, &profile.prices)).collect(),
            reading: Reading::of(&profile.prices),
            usd_per_gb_month: profile.prices.gb_month as f64 / 1e6,
            notes,
            log: None,
            read_replica: None,
        }
    }

    /// The table for people, of this store alone.
    pub fn text(&self) -> String {
        let whose = self.identity.as_ref().map(|whose| format!(", asked as {whose}")).unwrap_or_default();
        let mut text = format!("{}, profile {}{whose}\n\n", self.store, self.profile);
        text.push_str(&output::table(Line::HEADINGS, self.checks.iter().map(Row::cells).collect()));
        text.push('\n');
        let mut line = |said: String| {
            text.push_str(&said);
            text.push('\n');
        };
        if let Some(measured) = &self.measured {
            line(format!("small writes      {}", measured.put.text()));
            line(format!("small reads       {}", measured.get.text()));
            if let (Some(put), Some(get)) = (measured.put_mb_per_second, measured.get_mb_per_second) {
                line(format!("two at a time     writes {put} MB/s, reads {get} MB/s"));
            }
        }
        for it in &self.expected {
            let slow = match (it.produce_p99_ms, it.produce_slowest_ms) {
                (Some(p99), _) => format!("p99 {p99} ms"),
                (None, slowest) => format!("{} ms behind the slowest of these writes", slowest.unwrap_or_default()),
            };
            line(format!(
                "to expect with {:10}  produce p50 {} ms, {slow}; under constant load {} writes a second, {}",
                it.latency,
                it.produce_p50_ms,
                it.puts_per_second,
                price(it)
            ));
        }
        if self.reading.usd_per_gib > 0.0 {
            let Reading { gets_per_gib, usd_per_gib } = self.reading;
            line(format!(
                "consumers that come late read from the bucket: up to {gets_per_gib} reads a GiB, ${usd_per_gib}"
            ));
        }
        line(format!("fit for records: {}; fit for the log: {}", word(self.fit_for_data), word(self.fit_for_log)));
        if !self.unfit.is_empty() {
            line(format!("because {}", self.unfit));
        }
        // Several checks may have the same advice.
        let mut told: Vec<&String> = Vec::new();
        for said in self.checks.iter().filter_map(|it| it.advice.as_ref()).chain(&self.notes) {
            if !told.contains(&said) {
                told.push(said);
                line(format!("- {said}"));
            }
        }
        text
    }
}

fn line(finding: &Finding, report: &Report, profile: &Profile) -> Line {
    // Then no create is sent at all.
    let is_known = profile.conditional_create == ConditionalCreate::None && finding.check.is_of_the_log();
    let result = match finding.verdict {
        Verdict::Failed(_) if is_known => "skipped",
        Verdict::Passed => "ok",
        Verdict::Failed(_) => "FAILED",
        Verdict::Denied(..) => "DENIED",
        Verdict::Unanswered(_) => "no answer",
        Verdict::Skipped(_) => "skipped",
    };
    let meaning = finding.check.meaning();
    let detail = match finding.verdict.reason() {
        reason if reason.is_empty() => meaning.to_owned(),
        reason => format!("{meaning}: {reason}"),
    };
    Line { check: finding.check.as_str(), result, detail, advice: advice(finding, report, profile) }
}

/// A broker that reads such an object sees that it is damaged, and cannot mend it.
const TAKES_DAMAGE: &str = "the store does not compare what arrives with its checksum: speak https to it, which does";

fn clock_note(skew: ClockSkew) -> Option<String> {
    let direction = if skew.ahead_ms > 0 { "behind" } else { "ahead of" };
    let size = humantime::format_duration(Duration::from_secs(skew.size().as_secs()));
    if skew.size() >= ClockSkew::REFUSED {
        Some(format!(
            "this machine's clock is {size} {direction} the store's: signed requests are refused from 15 minutes on"
        ))
    } else if skew.size() >= ClockSkew::NOTABLE {
        Some(format!("this machine's clock is {size} {direction} the store's: set it right"))
    } else {
        None
    }
}

fn price(of: &Expectation) -> String {
    if of.puts_usd_per_month == 0.0 { "not billed".to_owned() } else { format!("${} a month", of.puts_usd_per_month) }
}

fn word(holds: bool) -> &'static str {
    if holds { "yes" } else { "no" }
}

fn ms(duration: Duration) -> f64 {
    tenths(duration.as_secs_f64() * 1e3)
}

fn tenths(of: f64) -> f64 {
    (of * 10.0).round() / 10.0
}
