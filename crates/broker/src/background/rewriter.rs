//! The one task that rewrites records: one object at a time, merges before segments, so that memory and bandwidth are bounded
//! by one of them.

use std::{sync::Arc, time::Duration};

use kafscale_runtime::Instant;
use kafscale_state::{Handle, Verdict, verdict::Refused};

use super::{Context, Debt, Undone, merge, pace::Pace, plan, segments};

/// Merged objects in one round: then segments have their turn.
const MERGES: usize = 16;
/// Claims that are executed side by side, as long as they are small together.
const CLAIMS: usize = 16;
/// How long a partition rests after a job of it failed.
const REST: Duration = Duration::from_secs(10 * 60);
/// As long after the store failed, which says nothing of the partition.
const STORE_REST: Duration = Duration::from_secs(60);

/// See the module.
pub struct Rewriter {
    context: Arc<Context>,
    pace: Pace,
    debt: Debt,
    merged_up_at: Instant,
    rests_until: Instant,
}

impl Rewriter {
    pub fn new(context: Arc<Context>) -> Self {
        let now = context.runtime.now();
        let debt = context.replica.read(|state| Debt::of(state, now));
        let pace = Pace::new(Arc::clone(&context.runtime), context.settings.bandwidth);
        Self { context, pace, debt, merged_up_at: now, rests_until: Instant::ZERO }
    }

    /// Runs as long as the process, or until nothing more is applied.
    pub async fn run(mut self) {
        while !self.context.writer.is_stopped() {
            self.context.runtime.sleep(self.context.settings.merge_interval).await;
            self.round().await;
        }
    }

    async fn round(&mut self) {
        let now = self.context.runtime.now();
        self.debt.note(&self.context.grown, now);
        self.tell();
        if now < self.rests_until {
            return;
        }
        if self.is_merge_due(now) {
            self.debt.objects = 0;
            self.merge(1, now).await;
        }
        let settings = &self.context.settings;
        let many = self.context.replica.read(|state| state.partition_count()) >= settings.level_2_partitions;
        if many && now.saturating_sub(self.merged_up_at) >= settings.merge_age {
            self.merged_up_at = now;
            self.merge(2, now).await;
        }
        self.segments(now).await;
        self.tell();
    }

    fn tell(&self) {
        let (fresh, waiting) = self.debt.counts();
        let oldest =
            self.debt.fresh_since().map_or(0, |since| self.context.runtime.now().saturating_sub(since).as_secs());
        let metrics = &self.context.metrics;
        metrics.reading("merge_debt_partitions", fresh as u64);
        metrics.reading("merge_debt_seconds", oldest);
        metrics.reading("segment_debt_partitions", waiting as u64);
    }

    /// Under load after every interval, else when the oldest fresh records have waited long enough.
    fn is_merge_due(&self, now: Instant) -> bool {
        let settings = &self.context.settings;
        let Some(since) = self.debt.fresh_since() else { return false };
        self.debt.objects >= settings.merge_objects_min || now.saturating_sub(since) >= settings.merge_age
    }

    async fn merge(&mut self, level: u8, now: Instant) {
        let context = Arc::clone(&self.context);
        let settings = &context.settings;
        let wish = plan::Wish {
            level,
            bytes_max: settings.merge_bytes,
            fat_bytes: settings.fat_bytes,
            node_id: context.node_id,
        };
        for _ in 0..MERGES {
            let candidates = self.debt.iter().filter_map(|(handle, waiting)| {
                let since = waiting.fresh_since.or((level > 1).then_some(waiting.since))?;
                let has_waited = now.saturating_sub(since) >= settings.merge_age;
                (waiting.rests_until <= now).then_some((handle, has_waited))
            });
            let (parts, idle) = context.replica.read(|state| plan::plan(state, candidates, &wish));
            if level == 1 {
                idle.into_iter().for_each(|handle| self.debt.update(handle, |waiting| waiting.fresh_since = None));
            }
            if parts.is_empty() {
                return;
            }
            match merge::merge(&context, &mut self.pace, level, &parts).await {
                Ok(outcome) => {
                    context.metrics.merged(outcome.bytes);
                    for (handle, swapped) in outcome.swaps {
                        if swapped.is_err() {
                            // Something else has changed it; the next round looks again.
                            self.debt.update(handle, |waiting| waiting.rests_until = now + settings.merge_interval);
                        }
                    }
                    self.debt.note(&context.grown, context.runtime.now());
                }
                Err(error) => return self.failed(&error, parts.iter().map(|part| part.partition), now),
            }
        }
    }

    /// A job was not done. Of a store that is away its own metrics speak.
    fn failed(&mut self, error: &Undone, partitions: impl Iterator<Item = Handle>, now: Instant) {
        match error {
            Undone::Store(_) | Undone::Entry(_) => {
                tracing::debug!(%error, "records were not rewritten; the next round tries again");
                self.rests_until = now + STORE_REST;
                return;
            }
            Undone::OtherBytes(_) | Undone::Source(crate::read::LoadError::Corrupt(_)) => {
                tracing::error!(%error, "records cannot be rewritten");
            }
            Undone::Source(_) | Undone::Unfit(_) => {
                tracing::info!(%error, "records were not rewritten; they are tried again later");
            }
        }
        partitions.for_each(|handle| self.debt.update(handle, |waiting| waiting.rests_until = now + REST));
    }

    /// Makes the segments that are due, as many as are one full one together.
    async fn segments(&mut self, now: Instant) {
        let context = Arc::clone(&self.context);
        let (claimed, wanted) = self.due(now);
        let mut jobs: Vec<Handle> = claimed;
        for (handle, verdict) in segments::claim(&context, &wanted).await {
            match verdict {
                Ok(Verdict::Done) => jobs.push(handle),
                Ok(Verdict::Refused(Refused::PathInUse)) => {
                    self.debt.update(handle, |waiting| waiting.rests_until = now + REST);
                }
                Ok(_) => {}
                Err(error) => return self.failed(&error, std::iter::empty(), now),
            }
        }
        for handle in jobs {
            let Some(job) = context.replica.read(|state| segments::job(state, handle)) else { continue };
            match segments::execute(&context, &mut self.pace, &job).await {
                Ok(bytes) => context.metrics.segmented(bytes),
                Err(error) => self.failed(&error, std::iter::once(handle), now),
            }
            if self.rests_until > now {
                return;
            }
        }
    }

    /// Partitions whose claims are to be executed, and claims to make.
    fn due(&mut self, now: Instant) -> (Vec<Handle>, Vec<segments::Wanted>) {
        let settings = &self.context.settings;
        let (mut claimed, mut wanted, mut idle, mut seen) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        self.context.replica.read(|state| {
            for (handle, waiting) in self.debt.iter().filter(|(_, waiting)| waiting.rests_until <= now) {
                if claimed.len() + wanted.len() >= CLAIMS || bytes >= settings.segment_bytes {
                    break;
                }
                let age = waiting.age(now);
                let is_older = age >= settings.segment_age;
                if !waiting.has_grown && !is_older {
                    continue;
                }
                let Some(view) = state.partition(handle) else {
                    idle.push(handle);
                    continue;
                };
                if view.claim().is_some() {
                    claimed.push(handle);
                    continue;
                }
                if view.extent_count() == 0 {
                    idle.push(handle);
                    continue;
                }
                let wish = segments::Wish {
                    bytes: settings.segment_bytes,
                    is_older,
                    is_old: age >= settings.segment_small_age,
                    small_bytes: settings.segment_small_bytes,
                    node_id: self.context.node_id,
                };
                match segments::wanted(state, handle, &wish) {
                    Some(due) => {
                        bytes += due.bytes;
                        wanted.push(due);
                    }
                    None => seen.push(handle),
                }
            }
        });
        idle.into_iter().for_each(|handle| self.debt.done(handle));
        seen.into_iter().for_each(|handle| self.debt.update(handle, |waiting| waiting.has_grown = false));
        for due in &wanted {
            self.debt.update(due.partition, |waiting| waiting.begin_anew(now));
        }
        (claimed, wanted)
    }
}
