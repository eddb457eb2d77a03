//! What waits to become one object: batches and entries.
//!
//! Closing the buffer sorts the batches by (slot, partition, producer), each in the order of arrival, and forms *extents*
//! (all of one partition) of *runs* (one producer's adjacent batches with contiguous sequences; all batches without a
//! producer id). The result is [`Sealed`], and a [`Flight`] that knows who waits for what. What has gathered while
//! the store was slow may be more than one object bears; then the oldest part is closed and the rest stays.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use kafscale_log::Draft;
use kafscale_runtime::Instant;
use kafscale_segment::merged::EXTENT_OFFSETS_MAX;
use kafscale_state::{
    Handle, Verdict,
    entry::{Commit, Entry, Extent, ObjectRef, Producer, Run},
    limits::RUN_RECORDS_MAX,
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

/// A closed buffer.
pub struct Sealed {
    /// The encoded entries before the commit.
    pub entries: Vec<u8>,
    /// Whose the records are; none if there are none.
    pub commit: Option<Commit>,
    /// The batches.
    pub records: Body,
    /// The number of the data object, where the records get one.
    pub number: Option<u64>,
}

impl Sealed {
    /// The frame that holds entries and records.
    pub fn into_frame(mut self) -> Draft {
        if let Some(commit) = self.commit {
            Entry::Commit(commit).encode(&mut self.entries);
        }
        Draft { entries: self.entries.into(), payload: self.records }
    }
}

/// Batches and entries on their way into one object.
#[derive(Default)]
pub struct Buffer {
    appends: Vec<Append>,
    entries: VecDeque<Submitted>,
    bytes: u64,
    since: Instant,
    wants_early: bool,
}

/// What an entry counts for towards the size of a flush.
pub const ENTRY_WEIGHT: u64 = 1 << 10;
/// Batch bytes of one object, unless one batch alone is larger: it is created, and a part of it read, within one request.
const OBJECT_BYTES_MAX: u64 = 64 << 20;
/// Batches of one object. Each takes at most 60 bytes of the commit, and the log takes 64 MiB of entries.
const OBJECT_BATCHES_MAX: usize = 1 << 19;
/// Records of one object, unless one batch alone has more: a segment, which may be made of it, counts them in 31 bits.
const OBJECT_RECORDS_MAX: u64 = EXTENT_OFFSETS_MAX as u64;
/// Bytes of other entries after which no more go into one object.
const OBJECT_ENTRIES_BYTES: usize = 8 << 20;

impl Buffer {
    /// Adds a batch.
    pub fn push(&mut self, append: Append, now: Instant) {
        self.note(append.bytes.len() as u64, true, now);
        self.appends.push(append);
    }

    /// Adds an entry. One that may wait does not by itself cause an early flush.
    pub fn push_entry(&mut self, submitted: Submitted, may_wait: bool, now: Instant) {
        self.note(ENTRY_WEIGHT, !may_wait, now);
        self.entries.push_back(submitted);
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

    /// Closes the buffer, or as much of it as fits one object, into one object.
    pub fn close(&mut self, now: Instant) -> (Sealed, Flight) {
        let rest = self.appends.split_off(fitting(&self.appends));
        let mut appends = std::mem::replace(&mut self.appends, rest);
        appends.sort_by_key(|append| (slot(append.partition), append.partition, append.producer_id()));
        let mut segments = Vec::with_capacity(appends.len());
        let mut encoded = Vec::new();
        let mut waiting = Vec::with_capacity(self.entries.len());
        while encoded.len() < OBJECT_ENTRIES_BYTES
            && let Some(submitted) = self.entries.pop_front()
        {
            submitted.entry.encode(&mut encoded);
            waiting.push(submitted.verdict);
        }
        let mut closing = Closing::default();
        for append in appends {
            segments.push(append.bytes.clone());
            closing.place(append);
        }
        let (commit, extents) = closing.finish();
        let commit = Some(commit).filter(|commit| !commit.extents.is_empty());
        let records = Body::new(segments);
        self.bytes -= records.len() + ENTRY_WEIGHT * waiting.len() as u64;
        let (bytes, since) = (records.len(), self.since);
        let flight = Flight { entries: waiting, extents, number: None, bytes, since, started: now };
        (Sealed { entries: encoded, commit, records, number: None }, flight)
    }
}

/// How many of the oldest batches go into one object.
fn fitting(appends: &[Append]) -> usize {
    let (mut bytes, mut records) = (0, 0);
    let fits = |append: &&Append| {
        bytes += append.bytes.len() as u64;
        records += u64::from(append.records);
        bytes <= OBJECT_BYTES_MAX && records <= OBJECT_RECORDS_MAX
    };
    appends.iter().take(OBJECT_BATCHES_MAX).take_while(fits).count().max(1).min(appends.len())
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
        let (producer_id, max_timestamp) = (append.producer_id(), append.max_timestamp);
        let Append { bytes, waiting, .. } = append;
        run.batches.push(FlightBatch { records, producer_id, max_timestamp, bytes, waiting });
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
    // Apply refuses a longer run as a whole, with what others have in it.
    let fits = run.records.checked_add(records).is_some_and(|sum| sum <= RUN_RECORDS_MAX)
        && run.bytes.checked_add(bytes).is_some();
    let in_sequence = producer.is_none() || sequence_after(run.base_sequence, run.records) == base_sequence;
    fits && run.producer == producer && in_sequence
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(partition: Handle, len: usize) -> Append {
        let (bytes, waiting) = (Bytes::from(vec![0; len]), Waiting::default());
        Append { partition, bytes, records: 1, max_timestamp: 0, producer: None, waiting }
    }

    fn extents(sealed: &Sealed) -> Vec<(Handle, u32)> {
        let Some(commit) = &sealed.commit else { return Vec::new() };
        let bytes = |extent: &Extent| extent.runs.iter().map(|run| run.bytes).sum();
        commit.extents.iter().map(|extent| (extent.partition, bytes(extent))).collect()
    }

    #[test]
    fn what_does_not_fit_one_object_stays_in_the_order_of_arrival() {
        let mut buffer = Buffer::default();
        let part = OBJECT_BYTES_MAX as usize / 2;
        for partition in [3, 2, 1] {
            buffer.push(append(partition, part), Instant::ZERO);
        }
        let (first, flight) = buffer.close(Instant::ZERO);
        assert_eq!(extents(&first), [(2, part as u32), (3, part as u32)]);
        assert_eq!((flight.bytes, buffer.bytes()), (OBJECT_BYTES_MAX, part as u64));
        buffer.push(append(4, 2 * part + 1), Instant::ZERO);
        assert_eq!(extents(&buffer.close(Instant::ZERO).0), [(1, part as u32)]);
        assert_eq!(extents(&buffer.close(Instant::ZERO).0), [(4, 2 * part as u32 + 1)], "a large one goes alone");
        assert!(buffer.is_empty() && buffer.bytes() == 0);
    }

    #[test]
    fn an_object_has_no_more_records_than_a_segment_counts() {
        let mut buffer = Buffer::default();
        for (partition, records) in [(1, 1 << 30), (1, (1 << 30) - 1), (2, 1), (1, i32::MAX as u32 + 1)] {
            buffer.push(Append { records, ..append(partition, 10) }, Instant::ZERO);
        }
        let mut closed = || extents(&buffer.close(Instant::ZERO).0);
        assert_eq!([closed(), closed(), closed()], [vec![(1, 20)], vec![(2, 10)], vec![(1, 10)]]);
    }

    #[test]
    fn a_batch_that_claims_too_many_records_is_refused_alone() {
        let mut buffer = Buffer::default();
        for records in [1, RUN_RECORDS_MAX, 2] {
            buffer.push(Append { records, ..append(1, 10) }, Instant::ZERO);
        }
        let (_, flight) = buffer.close(Instant::ZERO);
        let runs: Vec<_> = flight.extents[0].runs.iter().map(|run| run.batches.len()).collect();
        assert_eq!(runs, [1, 1, 1]);
    }

    #[test]
    fn the_log_takes_the_entries_of_any_object() {
        let mut buffer = Buffer::default();
        for n in 0..OBJECT_BATCHES_MAX + 1 {
            let mut append = append(if n % 2 == 0 { Handle::MAX } else { 0 }, 1);
            append.records = OBJECT_RECORDS_MAX as u32 / OBJECT_BATCHES_MAX as u32;
            append.max_timestamp = if n % 2 == 0 { i64::MAX } else { i64::MIN + 1 };
            let producer = Producer { id: i64::MAX - n as i64, epoch: i16::MAX, transactional: false };
            append.producer = Some((producer, i32::MAX));
            buffer.push(append, Instant::ZERO);
        }
        let draft = buffer.close(Instant::ZERO).0.into_frame();
        assert!(kafscale_log::frame::check_bounds(&draft.entries, &draft.payload).is_ok(), "{}", draft.entries.len());
        assert_eq!(buffer.bytes(), 1);
    }
}
