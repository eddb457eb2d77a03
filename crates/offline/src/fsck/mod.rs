//! Checking a store against what its log says: every reference, checksum and offset, and what nothing refers to.
//!
//! ```text
//!  markers, snapshots, log ──▶ state ──▶ references ──▶ objects: there? long enough? header? batches?
//!                                │                          (one read of every byte, unless quick)
//!                                └──▶ names of the store that nothing refers to
//! ```
//!
//! It only reads, so it may run beside a broker. That one moves records meanwhile: what seems to be missing is compared with
//! a state that is read anew, before it is called so. What can be mended safely is the index of a segment, since its bytes
//! follow from the segment; [`repair`] does nothing else.

mod log;
mod object;
mod references;
mod repair;
mod segment;
mod unreferred;

use std::collections::BTreeMap;

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use kafscale_log::lone::names as log_names;

pub use repair::repair;

use crate::{Bucket, Error, Known, Side, Until};
use references::{Reference, references};

/// Objects that are read side by side.
const AT_ONCE: usize = 32;
/// Findings that are kept; the rest is counted.
const FINDINGS_MAX: usize = 100_000;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong; it takes room, or tells of the past.
    Note,
    /// Something is not as it should be, and no record is touched.
    Flaw,
    /// Records, or what is known of them, are lost or damaged.
    Damage,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Its kind in a word; programs go by it.
    pub kind: &'static str,
    /// The object.
    pub name: String,
    /// Whose it is, such as `orders [3]`; empty where that is not known, or many.
    pub of: String,
    /// What was found.
    pub detail: String,
}

impl Finding {
    fn new(severity: Severity, kind: &'static str, name: &str, of: &str, detail: impl ToString) -> Self {
        Self { severity, kind, name: name.to_owned(), of: of.to_owned(), detail: detail.to_string() }
    }
}

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Names, lengths and headers.
    Quick,
    /// Every byte that is referred to.
    Whole,
}

/// What a check says.
#[derive(Debug, Default)]
pub struct Report {
    /// The last position of the log.
    pub position: u64,
    /// Objects that are referred to.
    pub objects: u64,
    /// Bytes of batches that are referred to.
    pub bytes: u64,
    /// Partitions.
    pub partitions: u64,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// Findings beyond those that are kept.
    pub more: u64,
}

impl Report {
    /// The worst finding.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    fn add(&mut self, finding: Finding) {
        match self.findings.len() < FINDINGS_MAX {
            true => self.findings.push(finding),
            false => self.more += 1,
        }
    }
}

/// Hears how far a check is: objects done, of so many.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// The lengths of all objects by name. Where the log has a store of its own, no name but the marker's is in both.
pub type Names = BTreeMap<String, u64>;

/// Checks a store.
pub async fn check(bucket: &Bucket, depth: Depth, progress: Progress<'_>) -> Result<Report, Error> {
    let mut report = Report::default();
    let known = match Known::open(bucket, Until::Tail).await {
        Ok(known) => known,
        Err(Error::Damaged { name, reason }) => {
            let detail = format!("{reason}; nothing else was checked");
            report.add(Finding::new(Severity::Damage, "log-damaged", &name, "", detail));
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    report.position = known.state.position();
    log::check(bucket, &known, depth, &mut report).await?;
    let names = names(bucket).await?;
    let wanted = references(&known.state, known.cluster);
    report.partitions = u64::from(known.state.partition_count());
    report.objects = wanted.len() as u64;
    report.bytes = wanted.values().map(Reference::bytes).sum();

    let (mut running, mut rest) = (FuturesUnordered::new(), wanted.iter());
    for done in 1..=report.objects {
        while running.len() < AT_ONCE
            && let Some((name, reference)) = rest.next()
        {
            running.push(object::check(bucket, &known, &names, name, reference, depth).boxed());
        }
        let findings = running.next().await.unwrap_or_else(|| Ok(Vec::new()))?;
        findings.into_iter().for_each(|finding| report.add(finding));
        progress(done, report.objects);
    }
    drop(running);
    // A running broker may have rewritten records meanwhile: what nothing refers to by now may be gone, and what nothing
    // referred to before may be in use.
    let later = later(bucket, &known).await?;
    let referred = later.as_ref().map(|later| references(&later.state, later.cluster));
    if let Some(referred) = &referred {
        report.findings.retain(|finding| log::is_of_it(finding) || referred.contains_key(&of_segment(&finding.name)));
    }
    let (known, referred) = (later.as_ref().unwrap_or(&known), referred.as_ref().unwrap_or(&wanted));
    if known.cut.is_none() {
        // Else much of what seems to be garbage belongs to what is not known.
        unreferred::find(known, &names, referred).into_iter().for_each(|finding| report.add(finding));
    }
    report.findings.sort_by(|a, b| (b.severity, a.kind, &a.name).cmp(&(a.severity, b.kind, &b.name)));
    Ok(report)
}

async fn names(bucket: &Bucket) -> Result<Names, Error> {
    let mut names = Names::new();
    for side in bucket.sides() {
        names.extend(bucket.list(*side, "").await?.into_iter().map(|row| (row.name, row.size)));
    }
    Ok(names)
}

/// What is known by now, if that is more.
async fn later(bucket: &Bucket, known: &Known) -> Result<Option<Known>, Error> {
    let (generation, position) = (known.cluster.generation, known.state.position());
    let after = if position == 0 { String::new() } else { log_names::frame(generation, position) };
    match bucket.page(Side::Log, &log_names::frames(generation), &after, 1).await?.is_empty() {
        true => Ok(None),
        false => Known::open(bucket, Until::Tail).await.map(Some),
    }
}

/// The name of the segment that an index is of; any other name as it is.
fn of_segment(name: &str) -> String {
    name.strip_suffix(".index").map_or_else(|| name.to_owned(), |stem| format!("{stem}.kfs"))
}
