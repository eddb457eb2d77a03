//! The work of `kafscale fsck`: what a check found, as a table or as JSON.

use kafscale_offline::{
    Bucket,
    fsck::{self, Depth, Finding, Report, Severity},
};
use serde::Serialize;
use serde_json::json;

use super::{bar, failure};
use crate::{
    exit::{Exit, Failure},
    output::{self, Format, Row},
};

#[derive(Serialize)]
struct Shown<'a> {
    severity: &'static str,
    kind: &'static str,
    object: &'a str,
    of: &'a str,
    detail: &'a str,
}

impl Row for Shown<'_> {
    const HEADINGS: &'static [&'static str] = &["SEVERITY", "KIND", "OBJECT", "OF", "DETAIL"];

    fn cells(&self) -> Vec<String> {
        [self.severity, self.kind, self.object, self.of, self.detail].map(str::to_owned).to_vec()
    }
}

impl<'a> From<&'a Finding> for Shown<'a> {
    fn from(finding: &'a Finding) -> Self {
        let Finding { severity, kind, name, of, detail } = finding;
        let severity = match severity {
            Severity::Note => "note",
            Severity::Flaw => "flaw",
            Severity::Damage => "damage",
        };
        Self { severity, kind, object: name, of, detail }
    }
}

/// Checks, with a bar on stderr.
pub async fn check(bucket: &Bucket, depth: Depth) -> Result<Report, Failure> {
    let progress = bar(0, "objects checked");
    let report = fsck::check(bucket, depth, &|done, total| {
        progress.set_length(total);
        progress.set_position(done);
    })
    .await;
    progress.finish_and_clear();
    report.map_err(failure)
}

/// Prints a report. Notes are only counted unless `all`.
pub fn print(report: &Report, format: Format, all: bool, mended: &[String]) -> Result<(), Failure> {
    let shown: Vec<Shown<'_>> =
        report.findings.iter().filter(|finding| all || finding.severity > Severity::Note).map(Shown::from).collect();
    let count = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    let (damages, flaws, notes) = (count(Severity::Damage), count(Severity::Flaw), count(Severity::Note));
    if format == Format::Json {
        return output::json(&json!({
            "position": report.position,
            "partitions": report.partitions,
            "objects": report.objects,
            "bytes": report.bytes,
            "damages": damages,
            "flaws": flaws,
            "notes": notes,
            "not_listed": report.more,
            "mended": mended,
            "findings": shown,
        }));
    }
    output::rows(format, &shown)?;
    let Report { position, partitions, objects, bytes, .. } = report;
    let scope = format!("{partitions} partitions, {objects} objects, {bytes} bytes at position {position}");
    output::line(&format!("{scope}: {damages} damages, {flaws} flaws, {notes} notes"))?;
    if report.more > 0 {
        output::line(&format!("{} findings more are not listed", report.more))?;
    }
    mended.iter().try_for_each(|name| output::line(&format!("written again: {name}")))
}

/// The exit code that a report has.
pub fn outcome(report: &Report) -> Result<(), Failure> {
    match report.worst() {
        None | Some(Severity::Note) => Ok(()),
        Some(Severity::Flaw) => {
            Err(Failure::new(Exit::Flawed, anyhow::anyhow!("there are flaws; no record is touched by them")))
        }
        Some(Severity::Damage) => {
            Err(Failure::new(Exit::DataLoss, anyhow::anyhow!("records, or what is known of them, are lost or damaged")))
        }
    }
}
