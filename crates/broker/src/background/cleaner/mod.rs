//! Log compaction: of each key of a compacted topic the last value stays.
//!
//! ```text
//!  agenda: whom to look at
//!     ▼
//!  plan: what is due ──▶ pass: note keys of the dirty part ──▶ steps: sift everything from the log start on
//!                                                                │ (sieve)
//!              Cleaned: how far ◀── swaps taken ◀── merged object ◀┘
//! ```
//!
//! One task, one pass at a time, and the results of several small passes in one object. It writes what the rewriter writes,
//! merged objects with names of their own, and its swaps are taken only where the records are those that were read. What it
//! has done stands in the state ([`kafscale_state::Clean`]), so a restart begins no pass anew that was over.
//!
//! A partition that is compacted never becomes a segment, and may have to wait for its pass a long time. So that it does not
//! fall to pieces meanwhile, one for each merge, small merged pieces are gathered now and then without opening them.
//!
//! Time is cluster time as the state has it. Where nothing is written it stands still; if something would be due by the
//! time of the log, an entry without content brings it in.

mod agenda;
mod keys;
mod pass;
mod plan;
mod sieve;
#[cfg(test)]
mod testing;

use std::{sync::Arc, time::Duration};

use kafscale_state::{
    Handle, State,
    entry::{Cleaned, CleanedTo, Entry},
};

use super::{
    Context, Undone,
    merge::{self, Filled},
    pace::Pace,
    plan::Part,
    turns::Turn,
};
use crate::read::{Extent, LoadError};
use agenda::Agenda;
pub use agenda::Changed;
use pass::Pass;
use plan::{Job, Work};

/// How long a partition rests after a pass of it failed.
const REST: Duration = Duration::from_secs(10 * 60);
/// How long all rest after the store failed, which says nothing of the partition.
const STORE_REST: Duration = Duration::from_secs(60);

/// See the module.
pub struct Cleaner {
    context: Arc<Context>,
    pace: Pace,
    agenda: Agenda,
    /// What is to be written next.
    draft: Draft,
}

/// Parts of the next object, and what will be clean once they are taken.
#[derive(Default)]
struct Draft {
    filled: Vec<Filled>,
    bytes: u64,
    cleaned: Vec<CleanedTo>,
    /// Until it is written nobody else rewrites them.
    turns: Vec<Turn>,
}

impl Cleaner {
    pub fn new(context: Arc<Context>, pace: Pace) -> Self {
        let mut agenda = Agenda::default();
        agenda.add(context.replica.read(|state| plan::compacted(state, context.node_id)));
        Self { context, pace, agenda, draft: Draft::default() }
    }

    /// Runs as long as the process, or until nothing more is applied.
    pub async fn run(mut self) {
        while !self.context.writer.is_stopped() {
            self.context.runtime.sleep(self.context.settings.clean_interval).await;
            if let Err(error) = self.round().await {
                tracing::debug!(%error, "nothing was compacted; the next round tries again");
                self.draft = Draft::default();
                self.context.runtime.sleep(STORE_REST).await;
            }
        }
    }

    /// Does all that is due, the dirtiest first.
    async fn round(&mut self) -> Result<(), Undone> {
        let mut due = self.due().await?;
        if due.is_empty() {
            return Ok(());
        }
        due.sort_by(|a, b| b.urgency.total_cmp(&a.urgency).then(a.partition.cmp(&b.partition)));
        let (pieces, due): (Vec<Work>, Vec<Work>) = due.into_iter().partition(|work| work.job == Job::Gather);
        for work in due {
            match self.work(&work).await {
                Ok(()) => {}
                Err(error @ (Undone::Store(_) | Undone::Entry(_))) => return Err(error),
                // The next round does it with what stands there now.
                Err(Undone::Replaced) => {}
                Err(error) => self.failed(&error, work.partition),
            }
        }
        self.flush().await?;
        self.gather(pieces.into_iter().map(|work| work.partition).collect()).await?;
        self.look();
        Ok(())
    }

    /// A partition was not cleaned, and not because of the store: it rests.
    fn failed(&mut self, error: &Undone, partition: Handle) {
        match error {
            Undone::OtherBytes(_) | Undone::Source(LoadError::Corrupt(_)) => {
                tracing::error!(%error, partition, "records cannot be compacted");
            }
            _ => tracing::debug!(%error, partition, "records were not compacted"),
        }
        self.agenda.rest(partition, self.context.runtime.now() + REST);
    }

    /// What is due by the time of the state, which may have to be told what time it is.
    async fn due(&mut self) -> Result<Vec<Work>, Undone> {
        if self.look() && self.agenda.due().next().is_none() {
            self.context.writer.submit(None, Entry::Cleaned(Cleaned { partitions: Vec::new() }), true).await?;
            self.look();
        }
        Ok(self.agenda.due().copied().collect())
    }

    /// Looks at what may be due. The lock is taken for one partition at a time: applying goes on in between. Whether something
    /// would be due if the state knew what time it is.
    fn look(&mut self) -> bool {
        let context = &self.context;
        let (replica, node_id) = (&context.replica, context.node_id);
        let changes = context.changed.take();
        if changes.defaults {
            self.agenda.add(replica.read(|state| plan::compacted(state, node_id)));
        }
        self.agenda.add(changes.partitions);
        let (now, now_ms) = (context.runtime.now(), context.log.cluster_time_ms());
        let outlook = |handle| replica.read(|state| plan::outlook(state, handle, node_id, now_ms));
        let waits = self.agenda.look(now, now_ms, outlook);
        let metrics = &context.metrics;
        metrics.reading("compaction_debt_partitions", self.agenda.due().count() as u64);
        metrics.reading("compaction_debt_bytes", self.agenda.due().map(|work| work.dirty_bytes).sum());
        metrics.reading("compaction_resting_partitions", self.agenda.resting() as u64);
        waits
    }

    async fn work(&mut self, work: &Work) -> Result<(), Undone> {
        let context = Arc::clone(&self.context);
        let turn = context.turns.take(work.partition).ok_or(Undone::Replaced)?;
        let range = match work.job {
            Job::Clean(range) => range,
            Job::Unsegment => return self.unsegment(work.partition).await,
            Job::Gather => return Ok(()),
        };
        let mut pass = Pass::open(&context, &mut self.pace, work.partition, range).await?;
        loop {
            let step = pass.step(&context, &mut self.pace).await?;
            context.metrics.compacted(step.removed, step.bytes);
            let is_over = step.cleaned.is_some();
            if let Some(filled) = step.filled {
                self.draft.bytes += filled.bytes();
                self.draft.filled.push(filled);
            }
            self.draft.cleaned.extend(step.cleaned);
            let is_full = self.draft.bytes >= context.settings.merge_bytes;
            // The next step stands on this one.
            if (is_full || !is_over) && self.flush().await?.contains(&work.partition) {
                return Err(Undone::Replaced);
            }
            if is_over {
                self.draft.turns.push(turn);
                return Ok(());
            }
        }
    }

    /// Writes the draft and says what is clean; the partitions whose parts were refused.
    async fn flush(&mut self) -> Result<Vec<Handle>, Undone> {
        let Draft { filled, cleaned, turns: _turns, .. } = std::mem::take(&mut self.draft);
        let mut refused = Vec::new();
        if !filled.is_empty() {
            let outcome = merge::write(&self.context, &mut self.pace, plan::LEVEL, &filled).await?;
            self.context.metrics.cleaned(outcome.bytes);
            self.context.billed_again(outcome.bytes);
            refused.extend(outcome.swaps.into_iter().filter(|(_, swap)| swap.is_err()).map(|(handle, _)| handle));
        }
        let partitions: Vec<_> = cleaned.into_iter().filter(|it| !refused.contains(&it.partition)).collect();
        if !partitions.is_empty() {
            self.context.writer.submit(None, Entry::Cleaned(Cleaned { partitions }), true).await?;
        }
        Ok(refused)
    }

    /// Moves the last segment into a merged object, and so on until there is none: what takes the place of a segment must
    /// not lie before another.
    async fn unsegment(&mut self, partition: Handle) -> Result<(), Undone> {
        let context = Arc::clone(&self.context);
        loop {
            let part = context.replica.read(|state| {
                let view = state.partition(partition)?;
                plan::config(state, &view, context.node_id).filter(|_| view.claim().is_none())?;
                let last = view.segments().last()?;
                let (first, end) = (last.base_offset, last.end_offset);
                let (sources, log_start) = (view.sources(first, end)?, view.log_start_offset());
                let extents: Vec<Extent> = view.extents_from(first).take(1).map(Extent::from).collect();
                let is_there = extents.first().is_some_and(|extent| extent.base_offset == first);
                is_there.then_some(Part { partition, first, sources, extents, log_start, is_all: true })
            });
            let Some(part) = part else { return Ok(()) };
            let outcome = self.merge(&[part]).await?;
            if let Some((_, error)) = outcome.unread.into_iter().next() {
                return Err(error.into());
            }
            if outcome.swaps.iter().any(|(_, swap)| swap.is_err()) {
                return Err(Undone::Replaced);
            }
        }
    }

    /// Moves the pieces of these partitions into as few objects as hold them.
    async fn gather(&mut self, pieces: Vec<Handle>) -> Result<(), Undone> {
        let context = Arc::clone(&self.context);
        let bytes_max = context.settings.merge_bytes;
        let mut left = pieces.into_iter();
        while left.len() > 0 {
            let (mut parts, mut turns, mut bytes) = (Vec::new(), Vec::new(), 0);
            while bytes < bytes_max
                && let Some(partition) = left.next()
            {
                let Some(turn) = context.turns.take(partition) else { continue };
                let look = |state: &State| plan::pieces(state, partition, context.node_id, bytes_max - bytes);
                let Some(part) = context.replica.read(look) else { continue };
                bytes += part.bytes();
                parts.push(part);
                turns.push(turn);
            }
            if parts.is_empty() {
                return Ok(());
            }
            match self.merge(&parts).await {
                Ok(outcome) => {
                    outcome.unread.into_iter().for_each(|(partition, error)| self.failed(&error.into(), partition));
                }
                Err(error @ (Undone::Store(_) | Undone::Entry(_))) => return Err(error),
                Err(error) => parts.iter().for_each(|part| self.failed(&error, part.partition)),
            }
        }
        Ok(())
    }

    /// Makes one object of these parts as they are.
    async fn merge(&mut self, parts: &[Part]) -> Result<merge::Outcome, Undone> {
        let outcome = merge::merge(&self.context, &mut self.pace, plan::LEVEL, parts).await?;
        self.context.metrics.cleaned(outcome.bytes);
        self.context.billed_again(outcome.bytes);
        Ok(outcome)
    }
}
