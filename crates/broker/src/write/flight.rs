//! One object on its way: who waits for which part of it, and the bytes that the cache takes over when it is applied.

use bytes::Bytes;
use kafscale_runtime::Instant;
use kafscale_state::{
    Handle, Verdict,
    verdict::{CommitVerdict, ExtentVerdict, Placed, RunRefused, RunVerdict},
};
use tokio::sync::oneshot;

use super::{
    Error,
    pending::Waiting,
    reply::{Appended, BatchResult},
};

/// All that waits for one frame.
pub struct Flight {
    /// Who waits for the entries before the commit, in order.
    pub entries: Vec<oneshot::Sender<Verdict>>,
    /// The commit's extents, in order.
    pub extents: Vec<FlightExtent>,
    /// The number of its data object; none if the batches lie in the frame, or there are none.
    pub number: Option<u64>,
    /// Bytes of the batches.
    pub bytes: u64,
    /// When its first content came.
    pub since: Instant,
    /// When the buffer was closed.
    pub started: Instant,
}

/// One partition's part of an object.
pub struct FlightExtent {
    /// Which partition.
    pub partition: Handle,
    /// Its runs, in order.
    pub runs: Vec<FlightRun>,
}

/// One run of batches.
pub struct FlightRun {
    /// Its batches, in order.
    pub batches: Vec<FlightBatch>,
}

/// One batch and who waits for it.
pub struct FlightBatch {
    /// Records in it.
    pub records: u32,
    /// Its producer id, if it has one.
    pub producer_id: Option<i64>,
    /// Its greatest timestamp.
    pub max_timestamp: i64,
    /// Its bytes.
    pub bytes: Bytes,
    /// Who waits.
    pub waiting: Waiting,
}

/// Adjacent batches of one partition that were written now: what one extent of the state refers to.
#[derive(Debug, PartialEq, Eq)]
pub struct Written {
    /// Which partition.
    pub partition: Handle,
    /// Offset of the first record.
    pub base_offset: i64,
    /// Where they begin in the object's records.
    pub position: u64,
    /// Records in all.
    pub records: i64,
    /// The batches.
    pub batches: Vec<Bytes>,
}

impl Flight {
    /// Partition and producer of every batch, in the order of the object.
    pub fn producers(&self) -> impl Iterator<Item = (Handle, i64)> {
        self.extents.iter().flat_map(|extent| {
            let batches = extent.runs.iter().flat_map(|run| &run.batches);
            batches.filter_map(|batch| Some((extent.partition, batch.producer_id?)))
        })
    }

    /// What apply accepted, in the order of the payload. A refused run splits what would have been one extent.
    pub fn written(&self, commit: &CommitVerdict) -> Vec<Written> {
        let mut position = 0;
        let mut written: Vec<Written> = Vec::new();
        for (extent, verdict) in self.extents.iter().zip(&commit.extents) {
            let mut open = false;
            for (run, verdict) in extent.runs.iter().zip(&verdict.runs) {
                let length: u64 = run.batches.iter().map(|batch| batch.bytes.len() as u64).sum();
                match *verdict {
                    RunVerdict::Accepted { base_offset } => {
                        if !open {
                            let partition = extent.partition;
                            written.push(Written { partition, base_offset, position, records: 0, batches: Vec::new() });
                        }
                        let last = written.last_mut().expect("pushed when it was opened");
                        last.records += run.batches.iter().map(|batch| i64::from(batch.records)).sum::<i64>();
                        last.batches.extend(run.batches.iter().map(|batch| batch.bytes.clone()));
                        open = true;
                    }
                    _ => open = false,
                }
                position += length;
            }
        }
        written
    }

    /// Answers all who wait, by what apply said of this flight's own frame.
    pub fn settle(self, verdicts: Vec<Verdict>) {
        let mut verdicts = verdicts.into_iter();
        for waiting in self.entries {
            let verdict = verdicts.next().expect("apply answers every entry");
            let _ = waiting.send(verdict);
        }
        match verdicts.next() {
            Some(Verdict::Commit(commit)) => {
                for (extent, verdict) in self.extents.into_iter().zip(commit.extents) {
                    extent.settle(&verdict);
                }
            }
            // A commit refused as a whole, or none: dropping the batches tells those who wait.
            _ => drop(self.extents),
        }
    }
}

impl FlightExtent {
    fn settle(self, verdict: &ExtentVerdict) {
        for (run, run_verdict) in self.runs.into_iter().zip(&verdict.runs) {
            let mut record = 0;
            for batch in run.batches {
                let result = result(run_verdict.place(record), verdict.log_start_offset, batch.max_timestamp);
                record += batch.records;
                for reply in batch.waiting.take() {
                    reply.resolve(result);
                }
            }
        }
    }
}

fn result(placed: Result<Placed, RunRefused>, log_start_offset: i64, max_timestamp: i64) -> BatchResult {
    let appended = |base_offset, max_timestamp| Ok(Appended { base_offset, log_start_offset, max_timestamp });
    match placed {
        Ok(Placed::New(base_offset)) => appended(base_offset, Some(max_timestamp)),
        Ok(Placed::Before(base_offset)) => appended(base_offset, None),
        Ok(Placed::Forgotten) => Err(Error::DuplicateSequence),
        Err(refused) => Err(refused.into()),
    }
}
