//! Commit: the runs of one object are judged one by one and become extents.
//!
//! Extents and runs follow each other in the payload without a gap, so a run's place is the sum of what came before it.
//! Adjacent runs that are accepted form one extent; a run that is refused, or the known part of one, leaves a hole and
//! splits it.

use std::sync::Arc;

use super::Frame;
use crate::entry::{self, Commit, ObjectRef};
use crate::extent::Extent;
use crate::limits::{RUN_RECORDS_MAX, U48_MAX};
use crate::object::{DATA_RECORDS_AT, Object, ObjectId, Place};
use crate::producer::{self, Claim, Facts, Judgement, Piece, ProducerState, WindowRun, sequence_after};
use crate::verdict::{CommitVerdict, ExtentVerdict, Refused, RunRefused, RunVerdict, Verdict};
use crate::{Handle, State, slot};

/// The object while its extents are applied.
struct Payload {
    object: ObjectId,
    /// Where the next run begins.
    at: u64,
    /// Extents that refer to it so far, and the bytes that they cover.
    extents: u64,
    bytes: u64,
}

/// One partition's part of the payload while its runs are applied.
struct Growth {
    partition: Handle,
    max_timestamp: i64,
    end: u64,
    /// The extent that the next run may join.
    open: Option<Extent>,
}

/// What is to be written of a run.
struct Plan {
    /// Records and bytes at its start that had been written before.
    skip_records: u32,
    skip_bytes: u32,
    known: Vec<Piece>,
}

impl State {
    pub(super) fn apply_commit(&mut self, frame: &mut Frame, commit: &Commit) -> Result<Verdict, Refused> {
        let (object, place) = self.object_of(frame, commit.object)?;
        let at = match place {
            Place::LogFrame { .. } => u64::from(frame.facts.payload_at),
            _ => u64::from(DATA_RECORDS_AT),
        };
        let mut payload = Payload { object, at, extents: 0, bytes: 0 };
        let mut verdict = CommitVerdict { extents: Vec::with_capacity(commit.extents.len()) };
        for extent in &commit.extents {
            verdict.extents.push(self.apply_extent(frame, &mut payload, &commit.producers, extent));
        }
        let object = Object { place, extents: payload.extents, bytes: payload.bytes };
        match place {
            Place::LogFrame { .. } if object.extents == 0 => {}
            Place::LogFrame { .. } => {
                let shard = Arc::make_mut(&mut self.shards[payload.object.slot()]);
                shard.objects.insert(payload.object, object);
            }
            _ => {
                self.next_data_object += 1;
                self.add_object(frame.facts.position, payload.object, object);
            }
        }
        Ok(Verdict::Commit(verdict))
    }

    fn object_of(&self, frame: &mut Frame, object: ObjectRef) -> Result<(ObjectId, Place), Refused> {
        let (id, place) = match object {
            ObjectRef::ThisFrame => {
                let position = frame.facts.position;
                if std::mem::replace(&mut frame.payload_taken, true) {
                    return Err(Refused::ObjectCommitted);
                }
                (position.checked_mul(2).map(|_| ObjectId::log_frame(position)), Place::LogFrame { position })
            }
            ObjectRef::Data { store, session, number, section_hash: _ } => {
                let place = Place::Data { store, session, number };
                if self.shards[place.slot()].data_objects.contains_key(&place) {
                    return Err(Refused::ObjectCommitted);
                }
                (Some(ObjectId::data(self.next_data_object)), place)
            }
        };
        match id.filter(|id| id.0 <= U48_MAX) {
            Some(id) => Ok((id, place)),
            None => Err(Refused::InvalidObject),
        }
    }

    fn apply_extent(
        &mut self,
        frame: &mut Frame,
        payload: &mut Payload,
        producers: &[entry::Producer],
        extent: &entry::Extent,
    ) -> ExtentVerdict {
        let found = self.shards[slot(extent.partition)].partitions.get(&extent.partition);
        // Partitions of a deleted topic stay until they are freed.
        let live = found.filter(|partition| !self.topics.garbage.contains_key(&partition.topic));
        let Some(partition) = live else {
            payload.at += extent.runs.iter().map(|run| u64::from(run.bytes)).sum::<u64>();
            let runs = vec![RunVerdict::Refused(RunRefused::UnknownTopicOrPartition); extent.runs.len()];
            return ExtentVerdict { partition: extent.partition, log_start_offset: -1, runs };
        };
        let (log_start_offset, before) = (partition.start as i64, partition.end);
        let mut growth =
            Growth { partition: extent.partition, max_timestamp: extent.max_timestamp, end: before, open: None };
        let mut runs = Vec::with_capacity(extent.runs.len());
        for run in &extent.runs {
            let outcome = self.apply_run(frame, payload, &mut growth, producers, run);
            runs.push(outcome.unwrap_or_else(RunVerdict::Refused));
            payload.at += u64::from(run.bytes);
        }
        self.close(payload, &mut growth);
        if growth.end > before {
            frame.touched.push(extent.partition);
        }
        ExtentVerdict { partition: extent.partition, log_start_offset, runs }
    }

    fn apply_run(
        &mut self,
        frame: &Frame,
        payload: &mut Payload,
        growth: &mut Growth,
        producers: &[entry::Producer],
        run: &entry::Run,
    ) -> Result<RunVerdict, RunRefused> {
        check_run(run)?;
        let producer = match run.producer {
            None => None,
            Some(index) => {
                let producer = producers.get(index as usize).ok_or(RunRefused::Invalid)?;
                Some(check_producer(producer, run)?)
            }
        };
        let plan = match producer {
            None => Plan { skip_records: 0, skip_bytes: 0, known: Vec::new() },
            Some(producer) => match self.judge_run(growth.partition, producer, run) {
                Judgement::Next => Plan { skip_records: 0, skip_bytes: 0, known: Vec::new() },
                Judgement::Known(pieces) => return Ok(known(pieces)),
                Judgement::PrefixKnown { known, pieces } => {
                    let skip_bytes = bytes_before(run, known).ok_or(RunRefused::OutOfOrderSequenceNumber)?;
                    Plan { skip_records: known, skip_bytes, known: pieces }
                }
                Judgement::Refused(refused) => return Err(refused.into()),
            },
        };
        let base_offset = self.write(payload, growth, run, &plan)? as i64;
        if let Some(producer) = producer {
            let written = WindowRun {
                base_offset,
                base_sequence: sequence_after(run.base_sequence, plan.skip_records),
                records: run.records - plan.skip_records,
            };
            self.remember(frame, growth.partition, producer, written);
        }
        Ok(match plan.skip_records {
            0 => RunVerdict::Accepted { base_offset },
            _ => RunVerdict::Partial { known: plan.known, rest_base_offset: Some(base_offset) },
        })
    }

    fn judge_run(&self, handle: Handle, producer: &entry::Producer, run: &entry::Run) -> Judgement {
        let state = self.producer(handle, producer.id);
        let (now_ms, expiration_ms) = (self.cluster_time_ms, self.producer_id_expiration_ms());
        // Only asked where there is no state: the answer costs look-ups.
        let may_be_forgotten = state.is_none() && self.may_be_forgotten(handle, producer.id, now_ms, expiration_ms);
        let claim = Claim { epoch: producer.epoch, base_sequence: run.base_sequence, records: run.records };
        producer::judge(state, Facts { now_ms, expiration_ms, may_be_forgotten }, claim)
    }

    /// Appends what the plan leaves of a run to the partition; the offset of its first record.
    fn write(
        &mut self,
        payload: &mut Payload,
        growth: &mut Growth,
        run: &entry::Run,
        plan: &Plan,
    ) -> Result<u64, RunRefused> {
        let from = payload.at + u64::from(plan.skip_bytes);
        let until = payload.at + u64::from(run.bytes);
        let position = u32::try_from(from).map_err(|_| RunRefused::Invalid)?;
        let len = u32::try_from(until - from).map_err(|_| RunRefused::Invalid)?;
        u32::try_from(until).map_err(|_| RunRefused::Invalid)?;
        let base_offset = growth.end;
        let end = base_offset + u64::from(run.records - plan.skip_records);
        if end > U48_MAX {
            return Err(RunRefused::OffsetsExhausted);
        }
        let joins = |open: &&mut Extent| u64::from(open.position) + u64::from(open.len) == from;
        match growth.open.as_mut().filter(joins) {
            Some(open) => open.len += len,
            None => {
                self.close(payload, growth);
                if self.extents >= self.limits.extents {
                    return Err(RunRefused::BacklogFull);
                }
                let (object, max_timestamp) = (payload.object, growth.max_timestamp);
                growth.open = Some(Extent { base_offset, object, position, len, max_timestamp });
            }
        }
        growth.end = end;
        Ok(base_offset)
    }

    /// Moves the open extent into the partition.
    fn close(&mut self, payload: &mut Payload, growth: &mut Growth) {
        let Some(extent) = growth.open.take() else { return };
        let shard = Arc::make_mut(&mut self.shards[slot(growth.partition)]);
        let partition = shard.partitions.get_mut(&growth.partition).expect("its runs were applied to it");
        let partition = Arc::make_mut(partition);
        partition.extents.push(&extent);
        partition.bytes += u64::from(extent.len);
        partition.end = growth.end;
        self.extents += 1;
        payload.extents += 1;
        payload.bytes += u64::from(extent.len);
    }

    fn remember(&mut self, frame: &Frame, handle: Handle, producer: &entry::Producer, run: WindowRun) {
        let (now_ms, expiration_ms) = (self.cluster_time_ms, self.producer_id_expiration_ms());
        let cap = self.limits.producers_per_shard;
        let position = frame.facts.position;
        let shard = Arc::make_mut(&mut self.shards[slot(handle)]);
        let key = (handle, producer.id);
        match shard.producers.get_mut(&key) {
            Some(state) if state.epoch() == producer.epoch && !state.is_expired(now_ms, expiration_ms) => {
                state.extend(run.base_offset, run.records, position, now_ms);
            }
            Some(state) => *state = ProducerState::first(producer.epoch, run, position, now_ms),
            None => {
                shard.make_room(cap);
                shard.producers.insert(key, ProducerState::first(producer.epoch, run, position, now_ms));
            }
        }
    }
}

fn check_run(run: &entry::Run) -> Result<(), RunRefused> {
    let (mut records, mut bytes) = (0, 0);
    for batch in &run.batches {
        records += u64::from(batch.records);
        bytes += u64::from(batch.bytes);
    }
    let adds_up = run.batches.is_empty() || (records, bytes) == (u64::from(run.records), u64::from(run.bytes));
    match (1..=RUN_RECORDS_MAX).contains(&run.records) && run.bytes > 0 && adds_up {
        true => Ok(()),
        false => Err(RunRefused::Invalid),
    }
}

fn check_producer<'a>(producer: &'a entry::Producer, run: &entry::Run) -> Result<&'a entry::Producer, RunRefused> {
    if producer.transactional {
        return Err(RunRefused::TransactionsUnsupported);
    }
    match producer.id >= 0 && producer.epoch >= 0 && run.base_sequence >= 0 {
        true => Ok(producer),
        false => Err(RunRefused::Invalid),
    }
}

/// Bytes of the first `records` records of a run, if a batch ends there.
fn bytes_before(run: &entry::Run, records: u32) -> Option<u32> {
    let (mut seen, mut bytes) = (0u32, 0u32);
    for batch in &run.batches {
        if seen >= records {
            break;
        }
        // The sums stay below the run's own numbers.
        seen += batch.records;
        bytes += batch.bytes;
    }
    (seen == records && bytes < run.bytes).then_some(bytes)
}

fn known(pieces: Vec<Piece>) -> RunVerdict {
    match pieces[..] {
        [Piece { base_offset: Some(base_offset), .. }] => RunVerdict::Duplicate { base_offset },
        _ => RunVerdict::Partial { known: pieces, rest_base_offset: None },
    }
}

impl From<producer::Refused> for RunRefused {
    fn from(refused: producer::Refused) -> Self {
        match refused {
            producer::Refused::InvalidProducerEpoch => Self::InvalidProducerEpoch,
            producer::Refused::DuplicateSequenceNumber => Self::DuplicateSequenceNumber,
            producer::Refused::OutOfOrderSequenceNumber => Self::OutOfOrderSequenceNumber,
        }
    }
}
