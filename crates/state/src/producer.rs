//! Idempotent producers: what a partition remembers of each, and the one decision about a run.
//!
//! A partition remembers a producer's epoch, its next sequence and its last five runs. Inside a run offset minus sequence
//! is constant, so a retry is recognised by range and answered with its old offset. [`judge`] is that decision as a pure
//! function: apply uses it, and so does the intake of the write path against the state and what it has pending.
//!
//! Sequences wrap from 2^31-1 to 0. Before and after are told apart by half of that circle, which is safe because the
//! records of five runs ([`RUN_RECORDS_MAX`] each) stay below it.

mod codec;

use crate::Position;
use crate::limits::RUN_RECORDS_MAX;

/// How many runs are remembered.
pub const WINDOW_RUNS: usize = 5;

/// Half of the sequence space: what lies further back counts as ahead.
const HALF: u32 = 1 << 30;

/// `sequence` plus `records`, wrapping from 2^31-1 to 0.
pub fn sequence_after(sequence: i32, records: u32) -> i32 {
    (sequence as u32).wrapping_add(records) as i32 & i32::MAX
}

/// A run of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowRun {
    /// Offset of its first record.
    pub base_offset: i64,
    /// Sequence of its first record.
    pub base_sequence: i32,
    /// Records in it.
    pub records: u32,
}

/// What a partition remembers of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerState {
    last_position: Position,
    last_time_ms: i64,
    /// Oldest first; each begins at the sequence where the one before ends, the last ends at `next_sequence`.
    records: [u32; WINDOW_RUNS],
    /// The lower 32 and upper 16 bits of the runs' base offsets.
    offsets_low: [u32; WINDOW_RUNS],
    offsets_high: [u16; WINDOW_RUNS],
    epoch: i16,
    next_sequence: i32,
    /// Records known to be written before `next_sequence` in this epoch, at most [`HALF`].
    written: u32,
    runs: u8,
}

impl ProducerState {
    /// A producer whose first run in this epoch is the given one.
    pub fn first(epoch: i16, run: WindowRun, position: Position, time_ms: i64) -> Self {
        let mut state = Self {
            last_position: position,
            last_time_ms: time_ms,
            records: [0; WINDOW_RUNS],
            offsets_low: [0; WINDOW_RUNS],
            offsets_high: [0; WINDOW_RUNS],
            epoch,
            next_sequence: run.base_sequence,
            written: 0,
            runs: 0,
        };
        state.extend(run.base_offset, run.records, position, time_ms);
        state
    }

    /// Adds `records` records at `base_offset`, which continue the sequence. A run that also continues the offsets of
    /// the last one extends it, so that five runs reach as far back as they can.
    pub fn extend(&mut self, base_offset: i64, records: u32, position: Position, time_ms: i64) {
        let runs = usize::from(self.runs);
        let last = runs.checked_sub(1);
        let adjacent = last.is_some_and(|last| {
            self.offset(last) + i64::from(self.records[last]) == base_offset
                && self.records[last].saturating_add(records) <= RUN_RECORDS_MAX
        });
        match last {
            Some(last) if adjacent => self.records[last] += records,
            _ => {
                if runs == WINDOW_RUNS {
                    self.records.rotate_left(1);
                    self.offsets_low.rotate_left(1);
                    self.offsets_high.rotate_left(1);
                } else {
                    self.runs += 1;
                }
                let last = usize::from(self.runs) - 1;
                self.records[last] = records;
                self.offsets_low[last] = base_offset as u32;
                self.offsets_high[last] = (base_offset >> 32) as u16;
            }
        }
        self.next_sequence = sequence_after(self.next_sequence, records);
        self.written = self.written.saturating_add(records).min(HALF);
        self.last_position = position;
        self.last_time_ms = time_ms;
    }

    fn offset(&self, run: usize) -> i64 {
        i64::from(self.offsets_high[run]) << 32 | i64::from(self.offsets_low[run])
    }

    /// Its epoch.
    pub fn epoch(&self) -> i16 {
        self.epoch
    }

    /// The sequence that its next record must have.
    pub fn next_sequence(&self) -> i32 {
        self.next_sequence
    }

    /// The sequence of its last record.
    pub fn last_sequence(&self) -> i32 {
        self.next_sequence.wrapping_sub(1) & i32::MAX
    }

    /// The offset of its last record.
    pub fn last_offset(&self) -> i64 {
        let last = usize::from(self.runs.max(1)) - 1;
        self.offset(last) + i64::from(self.records[last]) - 1
    }

    /// The position of the frame that it last wrote in.
    pub fn last_position(&self) -> Position {
        self.last_position
    }

    /// The cluster time of that frame.
    pub fn last_time_ms(&self) -> i64 {
        self.last_time_ms
    }

    /// How many records before the next sequence are known to be written in this epoch; at most 2^30.
    pub fn written(&self) -> u32 {
        self.written
    }

    /// Whether it has been silent for so long that it counts as forgotten.
    pub fn is_expired(&self, now_ms: i64, expiration_ms: i64) -> bool {
        now_ms.saturating_sub(self.last_time_ms) > expiration_ms
    }

    /// The remembered runs, oldest first.
    pub fn window(&self) -> impl Iterator<Item = WindowRun> {
        let mut base_sequence = sequence_before(self.next_sequence, self.window_records());
        (0..usize::from(self.runs)).map(move |run| {
            let records = self.records[run];
            let this = WindowRun { base_offset: self.offset(run), base_sequence, records };
            base_sequence = sequence_after(base_sequence, records);
            this
        })
    }

    /// Records in the remembered runs; below [`HALF`].
    fn window_records(&self) -> u32 {
        self.records[..usize::from(self.runs)].iter().sum()
    }

    /// What is known of the `records` records that lie `back` records before the next sequence: the forgotten, then
    /// the remembered. All of them lie before the next sequence.
    fn pieces(&self, back: u32, records: u32) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let window = self.window_records();
        let forgotten = back.saturating_sub(window).min(records);
        if forgotten > 0 {
            pieces.push(Piece { records: forgotten, base_offset: None });
        }
        // Counted from the start of the window.
        let (from, until) = (window.saturating_sub(back), window - (back - records).min(window));
        let mut start = 0;
        for run in self.window() {
            let end = start + run.records;
            if from.max(start) < until.min(end) {
                let (low, high) = (from.max(start), until.min(end));
                let base_offset = run.base_offset + i64::from(low - start);
                pieces.push(Piece { records: high - low, base_offset: Some(base_offset) });
            }
            start = end;
        }
        pieces
    }
}

fn sequence_before(sequence: i32, records: u32) -> i32 {
    (sequence as u32).wrapping_sub(records) as i32 & i32::MAX
}

/// The run that is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Producer epoch, not negative.
    pub epoch: i16,
    /// Sequence of the first record, not negative.
    pub base_sequence: i32,
    /// Records, 1 to [`RUN_RECORDS_MAX`].
    pub records: u32,
}

/// What else the decision rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Cluster time.
    pub now_ms: i64,
    /// `producer.id.expiration.ms`.
    pub expiration_ms: i64,
    /// Whether a producer without state may have had one here: its id is older than the expiration, a state was
    /// evicted since the id was given, or the topic was re-created since. Then any first sequence is accepted.
    pub may_be_forgotten: bool,
}

/// Adjacent records of a run of which one thing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// How many.
    pub records: u32,
    /// Offset of the first; none when they were written longer ago than is remembered.
    pub base_offset: Option<i64>,
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// All of it is new and continues the sequence, or starts one.
    Next,
    /// All of it is written already, at least a part within the window.
    Known(Vec<Piece>),
    /// It starts with what is written already; from record `known` on it is new and continues the sequence.
    PrefixKnown {
        /// Records that are written already, fewer than the run has.
        known: u32,
        /// What is known of them.
        pieces: Vec<Piece>,
    },
    /// It must not be written.
    Refused(Refused),
}

/// Why a run must not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its epoch is older than the producer's.
    InvalidProducerEpoch,
    /// All of it was written, longer ago than is remembered. Clients take it for success.
    DuplicateSequenceNumber,
    /// It does not continue the sequence.
    OutOfOrderSequenceNumber,
}

/// Decides what becomes of a run, given what its partition remembers of the producer.
///
/// The order of the checks is a rule of the state: epoch, window, older than the window, known prefix, next.
pub fn judge(state: Option<&ProducerState>, facts: Facts, claim: Claim) -> Judgement {
    #[cfg(feature = "planted-bugs")]
    if crate::planted::is(crate::planted::Bug::NoDeduplication) {
        return Judgement::Next;
    }
    let expired = state.is_some_and(|state| state.is_expired(facts.now_ms, facts.expiration_ms));
    let Some(state) = state.filter(|_| !expired) else {
        return match claim.base_sequence == 0 || expired || facts.may_be_forgotten {
            true => Judgement::Next,
            false => Judgement::Refused(Refused::OutOfOrderSequenceNumber),
        };
    };
    if claim.epoch < state.epoch {
        return Judgement::Refused(Refused::InvalidProducerEpoch);
    }
    if claim.epoch > state.epoch {
        return match claim.base_sequence {
            0 => Judgement::Next,
            _ => Judgement::Refused(Refused::OutOfOrderSequenceNumber),
        };
    }
    let back = (state.next_sequence as u32).wrapping_sub(claim.base_sequence as u32) & i32::MAX as u32;
    if back == 0 {
        return Judgement::Next;
    }
    // Sequences that this state never saw: ahead of the next one, or before the first that was accepted.
    if back > state.written {
        return Judgement::Refused(Refused::OutOfOrderSequenceNumber);
    }
    let known = back.min(claim.records);
    let pieces = state.pieces(back, known);
    let all_known = known == claim.records;
    if all_known && pieces.iter().all(|piece| piece.base_offset.is_none()) {
        return Judgement::Refused(Refused::DuplicateSequenceNumber);
    }
    match all_known {
        true => Judgement::Known(pieces),
        false => Judgement::PrefixKnown { known, pieces },
    }
}

#[cfg(test)]
mod tests;
