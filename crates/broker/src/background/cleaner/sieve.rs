//! What log compaction keeps: a pure function of a batch, the keys that are noted, and the time.
//!
//! Offsets fall into three parts. What is *clean* has each key once; what is *dirty*, from there to where the keys are noted,
//! has been looked at for this pass; what lies beyond is kept as it is.
//!
//! ```text
//!   log start ........ clean to ........ noted until ........ end
//!        one record a key    keys are noted     not looked at
//! ```
//!
//! A record goes if its key is noted at a later offset, or if it has none. A *tombstone*, the last of its key, goes once its
//! delete horizon has come, but never in the pass that first looks at it: that one sets the horizon, so whoever has read
//! an older value has `delete.retention.ms` to come by the tombstone.
//!
//! A batch that cannot be opened stays as it is, and nobody knows what it holds. It may be what a tombstone deletes, so none
//! behind it goes as long as it is there.

use bytes::Bytes;
use kafscale_records::{
    Batch,
    retain::{self, Left},
};

use super::keys::Keys;
use crate::write::DECOMPRESSED_MAX;

/// What a batch may hold once it is opened: whatever a producer may send.
const OPENED_MAX: usize = DECOMPRESSED_MAX as usize;

/// Notes the keys of a batch's records from `from` on. Where the table is full: the offset of the first that did not fit.
pub fn note(keys: &mut Keys, batch: &Batch<'_>, from: i64) -> Result<(), i64> {
    if !is_open_to(batch) {
        return Ok(());
    }
    let Ok(opened) = batch.open(OPENED_MAX) else { return Ok(()) };
    // What is damaged behind a record stays in the batch, which is left as it is.
    for record in opened.records().map_while(Result::ok).filter(|record| record.offset >= from) {
        if let Some(key) = record.key
            && !keys.put(key, record.offset)
        {
            return Err(record.offset);
        }
    }
    Ok(())
}

/// Control batches belong to their transaction, and of a transaction it is not said here whether it was committed: what was
/// aborted takes the place of nothing.
fn is_open_to(batch: &Batch<'_>) -> bool {
    let attributes = batch.header().attributes;
    !attributes.is_control() && !attributes.is_transactional()
}

/// See the module.
pub struct Sieve<'a> {
    /// The last offset of each key of what is dirty.
    pub keys: &'a Keys,
    /// Below it each key stands once.
    pub clean_to: i64,
    /// From here on nothing was looked at.
    pub until: i64,
    /// Cluster time, Unix milliseconds.
    pub now_ms: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// Batches that end at or below it are deleted already.
    pub log_start: i64,
    /// Of what was sifted so far something could not be opened.
    pub is_blind: bool,
}

/// What becomes of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sifted {
    /// Its bytes; none if it goes.
    pub bytes: Option<Bytes>,
    /// It stays as it was.
    pub is_same: bool,
    /// Records that go.
    pub removed: u64,
    /// From when on tombstones that it holds may go.
    pub horizon_ms: Option<i64>,
}

impl Sieve<'_> {
    /// Sifts a batch that lies in `bytes`. If it is to stand for its offsets it stays, be it without records.
    /// Batches come in the order of their offsets.
    pub fn sift(&mut self, batch: &Batch<'_>, bytes: &Bytes, must_stay: bool) -> Sifted {
        let same = Sifted { bytes: Some(bytes.clone()), is_same: true, removed: 0, horizon_ms: None };
        let gone = |removed| {
            let bytes = must_stay.then(|| retain::emptied(batch));
            let is_same = bytes.as_ref().is_some_and(|left| left == batch.bytes());
            Sifted { bytes, is_same, removed, horizon_ms: None }
        };
        let header = batch.header();
        if header.next_offset() <= self.log_start {
            return gone(u64::from(header.record_count.unsigned_abs()));
        }
        if header.base_offset >= self.until {
            return same;
        }
        if !is_open_to(batch) {
            self.is_blind |= !header.attributes.is_control();
            return same;
        }
        if header.record_count == 0 {
            return gone(0);
        }
        let horizon = self.horizon(batch);
        let has_come = header.last_offset() < self.clean_to && horizon.is_some_and(|at| at <= self.now_ms);
        let drops_tombstones = has_come && !self.is_blind;
        let Ok(opened) = batch.open(OPENED_MAX) else {
            self.is_blind = true;
            return same;
        };
        let keeps = |record: &kafscale_records::Record<'_>| {
            if record.offset >= self.until {
                return true;
            }
            let Some(key) = record.key else { return false };
            #[cfg(feature = "planted-bugs")]
            match () {
                () if crate::planted::is(crate::planted::Bug::TombstonesGoAtOnce) && record.value.is_none() => {
                    return false;
                }
                () if crate::planted::is(crate::planted::Bug::LastValueCleaned) => {
                    return self.keys.get(key).is_none_or(|last| last > record.offset);
                }
                () => {}
            }
            let is_superseded = self.keys.get(key).is_some_and(|last| last > record.offset);
            !is_superseded && (record.value.is_some() || !drops_tombstones)
        };
        let Ok(retained) = retain::retain(batch, &opened, horizon, keeps) else {
            self.is_blind = true;
            return same;
        };
        let removed = u64::from(retained.removed);
        // Where they stay all the same it would be a reason for one pass after the other.
        let horizon_ms = horizon.filter(|_| retained.tombstones > 0 && !self.is_blind);
        match retained.left {
            Left::Same => Sifted { horizon_ms, ..same },
            Left::Changed(bytes) => Sifted { bytes: Some(bytes), is_same: false, removed, horizon_ms },
            Left::Nothing => gone(removed),
        }
    }

    /// The delete horizon that the batch has, or gets with this pass. One of what is dirty counts only if a pass can have set
    /// it, for clients could set the bit; what was not looked at to its end gets none yet.
    fn horizon(&self, batch: &Batch<'_>) -> Option<i64> {
        let (header, latest) = (batch.header(), self.now_ms.saturating_add(self.delete_retention_ms));
        let found = header.delete_horizon();
        match () {
            () if header.last_offset() < self.clean_to && found.is_some() => found,
            () if header.last_offset() >= self.until => found,
            () => Some(found.filter(|at| (self.now_ms..=latest).contains(at)).unwrap_or(latest)),
        }
    }
}

#[cfg(test)]
mod tests;
