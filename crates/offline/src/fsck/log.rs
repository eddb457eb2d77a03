//! What markers, snapshots, archives, the floor and the state say of themselves.

use kafscale_log::lone::{archive, floor, names};
use kafscale_state::invariants;

use super::{Depth, Finding, Report, Severity};
use crate::{
    Bucket, Cut, Error, Known, Side,
    frames::ARCHIVE_LEN_MAX,
    known::{list_snapshots, load_snapshot},
};

/// Looks at all of it; at what no broker needs any more unless something else is lost only in a whole check.
pub(super) async fn check(bucket: &Bucket, known: &Known, depth: Depth, report: &mut Report) -> Result<(), Error> {
    for (name, reason) in &known.unreadable {
        report.add(Finding::new(Severity::Damage, "snapshot", name, "", reason));
    }
    if let Some(Cut { position, last, name, damage }) = &known.cut {
        let (kind, why) = match damage {
            Some(reason) => ("log-damaged", reason.as_str()),
            None => ("log-lost", "a later frame says that it was there"),
        };
        let unchecked = format!("what positions {position} to {last} of the log say was not checked");
        let detail = format!("{why}; a broker refuses to start, and {unchecked}");
        report.add(Finding::new(Severity::Damage, kind, name, "", detail));
    }
    if let Err(broken) = invariants::check(&known.state) {
        report.add(Finding::new(Severity::Damage, "state", "the state", "", broken));
    }
    if let Some(bytes) = bucket.get(Side::Log, names::FLOOR, 0, floor::LEN_MAX).await?
        && let Err(error) = floor::decode(&bytes)
    {
        let detail = format!("{error}; a broker refuses to start");
        report.add(Finding::new(Severity::Damage, "floor", names::FLOOR, "", detail));
    }
    if depth == Depth::Whole {
        older_snapshots(bucket, known, report).await?;
        archives(bucket, known, report).await?;
    }
    Ok(())
}

async fn older_snapshots(bucket: &Bucket, known: &Known, report: &mut Report) -> Result<(), Error> {
    for row in list_snapshots(bucket).await?.iter().filter(|row| row.generation == known.cluster.generation) {
        if known.unreadable.iter().any(|(name, _)| *name == row.name) || row.position == known.snapshot {
            continue;
        }
        match load_snapshot(bucket, row).await {
            Ok(_) | Err(Error::Missing(_)) => {}
            Err(Error::Damaged { name, reason }) => {
                report.add(Finding::new(Severity::Flaw, "snapshot", &name, "", reason));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn archives(bucket: &Bucket, known: &Known, report: &mut Report) -> Result<(), Error> {
    let cluster = known.cluster;
    for row in bucket.list(Side::Log, &names::archives(cluster.generation)).await? {
        let Some((from, to)) = names::archive_bounds(cluster.generation, &row.name) else { continue };
        let bytes = match bucket.get_small(Side::Log, &row.name, ARCHIVE_LEN_MAX).await {
            Ok(Some(bytes)) => Ok(bytes),
            // A broker deletes them after a day.
            Ok(None) => continue,
            Err(Error::Damaged { reason, .. }) => Err(reason),
            Err(error) => return Err(error),
        };
        let frames = bytes.and_then(|bytes| archive::decode(&bytes, cluster.id).map_err(|error| error.to_string()));
        let wrong = match frames {
            Ok(frames) => {
                let position = |frame: Option<&kafscale_log::Frame>| frame.map(|frame| frame.header.position);
                let is_it = position(frames.first()) == Some(from) && position(frames.last()) == to.checked_sub(1);
                (!is_it).then(|| "it does not hold what its name says".to_owned())
            }
            Err(reason) => Some(reason),
        };
        if let Some(detail) = wrong {
            report.add(Finding::new(Severity::Flaw, "archive", &row.name, "", detail));
        }
    }
    Ok(())
}

/// Whether a finding is one of these.
pub(super) fn is_of_it(finding: &Finding) -> bool {
    matches!(finding.kind, "snapshot" | "log-lost" | "log-damaged" | "state" | "floor" | "archive")
}
