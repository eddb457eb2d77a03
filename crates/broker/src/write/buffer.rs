//! What waits to become one object: batches and entries.
//!
//! Closing the buffer sorts the batches by (slot, partition, producer), each in the order of arrival, and forms *extents*
//! (all of one partition) of *runs* (one producer's adjacent batches with contiguous sequences; all batches without a
//! producer id). The result is a draft for the log, and a [`Flight`] that knows who waits for what.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafscale_log::Draft;
use kafscale_runtime::Instant;
use kafscale_state::{
    Handle, Verdict,
    entry::{Commit, Entry, Extent, ObjectRef, Producer, Run},
    producer::{Claim, sequence_after},
    slot,
};
use kafscale_store::Body;
use tokio::sync::oneshot;

use super::{
    flight::{Flight, FlightBatch, FlightExtent, FlightRun},
    pending::Waiting,
};

/// One valid batch of one partition, stamped and ready to be stored.
pub struct Append {
    /// Which partition.
    pub partition: Handle,
    /// The batch.
    pub bytes: Bytes,
    /// Records in it.
    pub records: u32,
    /// Its max timestamp, Unix milliseconds.
    pub max_timestamp: i64,
    /// Producer and base sequence of an idempotent batch.
    pub producer: Option<(Producer, i32)>,
    /// Who waits for it.
    pub waiting: Waiting,
}

impl Append {
    /// Producer id and what its batch claims, for those that have one.
    pub fn claim(&self) -> Option<(i64, Claim)> {
        let claim = |(producer, base_sequence): (Producer, i32)| {
            (producer.id, Claim { epoch: producer.epoch, base_sequence, records: self.records })
        };
        self.producer.map(claim)
    }

    /// Producer id, for those that have one.
    pub fn producer_id(&self) -> Option<i64> {
        self.producer.map(|(producer, _)| producer.id)
    }
}

/// An entry of the log and who waits for its verdict.
pub struct Submitted {
    /// The entry.
    pub entry: Entry,
    /// Who waits.
    pub verdict: oneshot::Sender<Verdict>,
}

/// Batches and entries on their way into one object.
#[derive(Default)]
pub struct Buffer {
    appends: Vec<Append>,
    entries: Vec<Submitted>,
    bytes: u64,
    since: Instant,
    wants_early: bool,
}

/// What an entry counts for towards the size of a flush.
const ENTRY_WEIGHT: u64 = 64;

impl Buffer {
    /// Adds a batch.
    pub fn push(&mut self, append: Append, now: Instant) {
        self.note(append.bytes.len() as u64, true, now);
        self.appends.push(append);
    }

    /// Adds an entry. One that may wait does not by itself cause an early flush.
    pub fn push_entry(&mut self, submitted: Submitted, may_wait: bool, now: Instant) {
        self.note(ENTRY_WEIGHT, !may_wait, now);
        self.entries.push(submitted);
    }

    fn note(&mut self, bytes: u64, wants_early: bool, now: Instant) {
        if self.is_empty() {
            self.since = now;
            self.wants_early = false;
        }
        self.bytes += bytes;
        self.wants_early |= wants_early;
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.entries.is_empty()
    }

    /// Bytes in it.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When its first content came.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Whether something in it may be flushed before the timer.
    pub fn wants_early(&self) -> bool {
        self.wants_early
    }

    /// Closes the buffer into a draft and empties it.
    pub fn close(&mut self, now: Instant) -> (Draft, Flight) {
        let mut appends = std::mem::take(&mut self.appends);
        let entries = std::mem::take(&mut self.entries);
        self.bytes = 0;
        appends.sort_by_key(|append| (slot(append.partition), append.partition, append.producer_id()));
        let mut segments = Vec::with_capacity(appends.len());
        let mut encoded = Vec::new();
        let mut waiting = Vec::with_capacity(entries.len());
        for submitted in entries {
            submitted.entry.encode(&mut encoded);
            waiting.push(submitted.verdict);
        }
        let mut closing = Closing::default();
        for append in appends {
            segments.push(append.bytes.clone());
            closing.place(append);
        }
        let (commit, extents) = closing.finish();
        if !commit.extents.is_empty() {
            Entry::Commit(commit).encode(&mut encoded);
        }
        let payload = Body::new(segments);
        let flight = Flight { entries: waiting, extents, bytes: payload.len(), since: self.since, started: now };
        (Draft { entries: encoded.into(), payload }, flight)
    }
}

/// A commit in the making and, beside it, who waits for which part of it.
#[derive(Default)]
struct Closing {
    producers: BTreeMap<Producer, u32>,
    names: Vec<Producer>,
    extents: Vec<Extent>,
    flights: Vec<FlightExtent>,
}

impl Closing {
    /// Puts a batch behind the one before it: into its run, a new run, or a new extent.
    fn place(&mut self, append: Append) {
        let records = append.records;
        let bytes = u32::try_from(append.bytes.len()).expect("a batch is bounded by the request limit");
        let producer = append.producer.map(|(producer, _)| self.producer_index(producer));
        let base_sequence = append.producer.map_or(-1, |(_, sequence)| sequence);
        if self.extents.last().is_none_or(|extent| extent.partition != append.partition) {
            self.extents.push(Extent { partition: append.partition, max_timestamp: i64::MIN, runs: Vec::new() });
            self.flights.push(FlightExtent { partition: append.partition, runs: Vec::new() });
        }
        let extent = self.extents.last_mut().expect("pushed above");
        let flight = self.flights.last_mut().expect("pushed above");
        extent.max_timestamp = extent.max_timestamp.max(append.max_timestamp);
        match extent.runs.last_mut() {
            Some(run) if continues(run, producer, base_sequence, records, bytes) => {
                run.records += records;
                run.bytes += bytes;
            }
            _ => {
                // A lone broker answers every retry at intake, so a run is known wholly or not at all: no batch bounds.
                extent.runs.push(Run { producer, base_sequence, records, bytes, batches: Vec::new() });
                flight.runs.push(FlightRun { batches: Vec::new() });
            }
        }
        let run = flight.runs.last_mut().expect("pushed above");
        let producer_id = append.producer_id();
        run.batches.push(FlightBatch { records, producer_id, bytes: append.bytes, waiting: append.waiting });
    }

    fn producer_index(&mut self, producer: Producer) -> u32 {
        *self.producers.entry(producer).or_insert_with(|| {
            self.names.push(producer);
            u32::try_from(self.names.len() - 1).expect("fewer producers than batches in memory")
        })
    }

    fn finish(self) -> (Commit, Vec<FlightExtent>) {
        (Commit { object: ObjectRef::ThisFrame, producers: self.names, extents: self.extents }, self.flights)
    }
}

fn continues(run: &Run, producer: Option<u32>, base_sequence: i32, records: u32, bytes: u32) -> bool {
    let fits = run.records.checked_add(records).is_some_and(|sum| i32::try_from(sum).is_ok())
        && run.bytes.checked_add(bytes).is_some();
    let in_sequence = producer.is_none() || sequence_after(run.base_sequence, run.records) == base_sequence;
    fits && run.producer == producer && in_sequence
}
