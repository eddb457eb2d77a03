//! What was written to compacted topics, and the judge of what was read there.
//!
//! A partition has one writer with sequences, so what it writes stands at the offsets 0, 1, 2 ... and the ledger knows what
//! belongs to each. Records may be missing where they are read. What Kafka promises all the same:
//!
//! - **altered**: what is read at an offset is what was written there, in order.
//! - **lost**: whoever reads to the end sees the last value of each key.
//! - **undead**: who takes less than `delete.retention.ms` for that sees the tombstone of each key of which he saw a value.
//! - **stuck**: a reader comes to the end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{client::Partition, executor::World};

/// A key and its value; none is a tombstone.
pub type Entry = (u64, Option<u64>);

/// See the module. Cloning gives another handle.
#[derive(Clone)]
pub struct Ledger {
    world: World,
    delete_retention: Duration,
    written: Arc<Mutex<Written>>,
}

/// What was written to each partition of each topic, by offset.
type Written = BTreeMap<(Arc<str>, i32), Vec<Entry>>;

/// What one reader saw, from offset 0 to an end.
#[derive(Debug, Default)]
pub struct Reading {
    /// Offsets and what was there.
    pub rows: Vec<(u64, Entry)>,
    /// Where the partition ended when the reader came there.
    pub end: u64,
    /// How long that took.
    pub took: Duration,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(world: &World, delete_retention: Duration) -> Self {
        Self { world: world.clone(), delete_retention, written: Arc::default() }
    }

    /// These are about to be written next; the offset of the first.
    pub fn write(&self, partition: &Partition, entries: &[Entry]) -> u64 {
        let mut written = self.written.lock();
        let rows = written.entry((Arc::clone(&partition.topic), partition.index)).or_default();
        rows.extend_from_slice(entries);
        (rows.len() - entries.len()) as u64
    }

    /// Judges one reading.
    pub fn judge(&self, partition: &Partition, reading: &Reading) -> Result<(), String> {
        let written = self.written.lock();
        let rows = written.get(&(Arc::clone(&partition.topic), partition.index)).map_or(&[][..], Vec::as_slice);
        let in_time = reading.took < self.delete_retention;
        for what in marks(rows, reading) {
            self.world.mark(what);
        }
        judge(rows, reading, in_time).map_err(|wrong| format!("{} {}: {wrong}", partition.topic, partition.index))
    }
}

fn judge(written: &[Entry], reading: &Reading, in_time: bool) -> Result<(), String> {
    let mut next = 0;
    let mut seen: BTreeMap<u64, Option<u64>> = BTreeMap::new();
    for (offset, entry) in &reading.rows {
        let expected = usize::try_from(*offset).ok().and_then(|offset| written.get(offset));
        if expected != Some(entry) || *offset < next {
            return Err(format!("altered: {entry:?} at {offset} behind {next}, where {expected:?} was written"));
        }
        next = offset + 1;
        seen.insert(entry.0, entry.1);
    }
    let until = usize::try_from(reading.end).unwrap_or(usize::MAX).min(written.len());
    let last: BTreeMap<u64, Option<u64>> = written[..until].iter().copied().collect();
    for (key, value) in &last {
        let found = seen.get(key).copied().flatten();
        match value {
            Some(_) if found != *value => return Err(format!("lost: {value:?} of {key}, instead there is {found:?}")),
            None if in_time && found.is_some() => return Err(format!("undead: {key} was deleted and is {found:?}")),
            _ => {}
        }
    }
    Ok(())
}

/// What a reading shows of compaction.
fn marks(written: &[Entry], reading: &Reading) -> Vec<&'static str> {
    let last: BTreeMap<u64, usize> = written.iter().enumerate().map(|(at, (key, _))| (*key, at)).collect();
    let seen: std::collections::BTreeSet<usize> =
        reading.rows.iter().filter_map(|(at, _)| usize::try_from(*at).ok()).collect();
    let until = usize::try_from(reading.end).unwrap_or(usize::MAX);
    let gone =
        |value: bool| last.values().any(|at| *at < until && written[*at].1.is_some() == value && !seen.contains(at));
    let mut marks = Vec::new();
    if seen.len() < until.min(written.len()) {
        marks.push("records compacted");
    }
    if gone(false) {
        marks.push("tombstone gone");
    }
    if last.values().any(|at| written[*at].1.is_none() && seen.contains(at)) {
        marks.push("tombstone read");
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_has_its_name() {
        let written = [(1, Some(10)), (2, Some(20)), (1, Some(11)), (2, None)];
        let judge = |rows: &[usize], in_time| {
            let rows = rows.iter().map(|at| (*at as u64, written[*at])).collect();
            let wrong = judge(&written, &Reading { rows, end: 4, took: Duration::ZERO }, in_time);
            wrong.map_err(|text| text.split(':').next().unwrap_or_default().to_owned())
        };
        assert_eq!(judge(&[0, 1, 2, 3], true), Ok(()));
        assert_eq!(judge(&[2, 3], true), Ok(()));
        assert_eq!(judge(&[2], true), Ok(()), "the tombstone and what it deletes are gone");
        assert_eq!(judge(&[0, 3], true), Err("lost".to_owned()));
        assert_eq!(judge(&[1, 2], true), Err("undead".to_owned()));
        assert_eq!(judge(&[1, 2], false), Ok(()), "who is too slow is promised nothing");
        assert_eq!(judge(&[2, 0, 3], true), Err("altered".to_owned()));
        let other = Reading { rows: vec![(0, (1, Some(11)))], end: 1, took: Duration::ZERO };
        assert!(super::judge(&written, &other, true).is_err_and(|wrong| wrong.starts_with("altered")));
    }
}
