//! The one task that rewrites records: merges before segments, one merged object at a time and then segments side by side,
//! as many as are one full one together; so that memory and bandwidth are bounded by one object.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use kafscale_runtime::Instant;
use kafscale_state::{Handle, Verdict, verdict::Refused};

use super::{Context, Debt, Undone, merge, pace::Pace, plan, segments, turns::Turn};
use crate::{
    config::{layers::Layers, topic::LifeConfig},
    read::LoadError,
    settings::LifeSettings,
};

/// Merged objects in one round: then segments have their turn.
const MERGES: usize = 16;
/// Claims of one entry.
const CLAIMS: usize = 16;
/// Claims that are executed side by side, as long as they are small together: making a small segment is waiting for the store.
const AT_ONCE: usize = 8;
/// So often in one round as many segments are made as one entry claims.
const SETS: usize = 8;
/// How long a partition rests after a job of it failed.
const REST: Duration = Duration::from_secs(10 * 60);
/// A segment for less than this age is not worth its requests, whatever `segment.ms` says.
const SEGMENT_AGE_MIN: Duration = Duration::from_secs(60);
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
    pub fn new(context: Arc<Context>, pace: Pace) -> Self {
        let now = context.runtime.now();
        let debt = context.replica.read(|state| Debt::of(state, now));
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
            self.debt.begin_merge();
            self.merge(1, now).await;
        }
        let settings = &self.context.settings;
        let many = self.context.replica.read(|state| state.partition_count()) >= settings.level_2_partitions;
        if many && now.saturating_sub(self.merged_up_at) >= settings.merge_age {
            self.merged_up_at = now;
            self.merge(2, now).await;
        }
        for _ in 0..SETS {
            if !self.segments(now).await || self.rests_until > now {
                break;
            }
        }
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

    /// Under load after every interval, else when the oldest fresh records have waited long enough, or when those can be had that
    /// the last merge had to leave to another job.
    fn is_merge_due(&self, now: Instant) -> bool {
        let settings = &self.context.settings;
        let Some(since) = self.debt.fresh_since() else { return false };
        let is_old = now.saturating_sub(since) >= settings.merge_age;
        self.debt.objects >= settings.merge_objects_min || is_old || self.debt.is_left_free(&self.context.turns, now)
    }

    /// Moves what waits now. What comes meanwhile is for the next round: under a steady load every merge would find a little
    /// otherwise, and a partition whose part fits in no object beside it would never have its turn.
    async fn merge(&mut self, level: u8, now: Instant) {
        let context = Arc::clone(&self.context);
        let settings = &context.settings;
        let wish = plan::Wish {
            level,
            bytes_max: settings.merge_bytes,
            fat_bytes: settings.fat_bytes,
            node_id: context.node_id,
        };
        let mut moved = BTreeSet::new();
        for _ in 0..MERGES {
            let due = self.debt.iter().filter_map(|(handle, waiting)| {
                let since = waiting.fresh_since.or((level > 1).then_some(waiting.since))?;
                let has_waited = now.saturating_sub(since) >= settings.merge_age;
                let is_due = waiting.rests_until <= now && !moved.contains(&handle);
                is_due.then_some((handle, has_waited))
            });
            let (busy, free): (Vec<_>, Vec<_>) = due.partition(|(handle, _)| context.turns.is_taken(*handle));
            let mut left: Vec<Handle> = busy.into_iter().map(|(handle, _)| handle).collect();
            let (parts, idle) = context.replica.read(|state| {
                let spares = context.spares_merging(state);
                let merged = |(handle, _): &(Handle, bool)| !spares || plan::is_compacted(state, *handle, wish.node_id);
                plan::plan(state, free.into_iter().filter(merged), &wish)
            });
            left.extend(parts.iter().map(|part| part.partition));
            let (parts, _turns) = turns(&context, parts);
            left.retain(|handle| parts.iter().all(|part| part.partition != *handle));
            if level == 1 {
                idle.into_iter().for_each(|handle| self.debt.update(handle, |waiting| waiting.fresh_since = None));
                left.into_iter().for_each(|handle| self.debt.leave(handle));
            }
            if parts.is_empty() {
                return;
            }
            match merge::merge(&context, &mut self.pace, level, &parts).await {
                Ok(outcome) => {
                    context.metrics.merged(outcome.bytes);
                    context.billed_again(outcome.bytes);
                    moved.extend(self.moved(&parts, &outcome, now));
                    self.unread(&outcome.unread, now);
                    self.debt.note(&context.grown, context.runtime.now());
                }
                Err(error) => return self.failed(&error, parts.iter().map(|part| part.partition), now),
            }
        }
    }

    /// An object was made of these parts. Tells of which partitions it holds all that waited.
    fn moved(&mut self, parts: &[plan::Part], outcome: &merge::Outcome, now: Instant) -> impl Iterator<Item = Handle> {
        let again_at = now + self.context.settings.merge_interval;
        let refused: BTreeSet<Handle> =
            outcome.swaps.iter().filter(|(_, swapped)| swapped.is_err()).map(|(handle, _)| *handle).collect();
        let unread: BTreeSet<Handle> = outcome.unread.iter().map(|(handle, _)| *handle).collect();
        let parts = parts.iter().filter(move |part| !unread.contains(&part.partition));
        for part in parts.clone() {
            let is_refused = refused.contains(&part.partition);
            self.debt.update(part.partition, |waiting| match is_refused {
                // Something else has changed it; the next round looks again.
                true => waiting.rests_until = again_at,
                false if part.is_all => waiting.fresh_since = None,
                false => {}
            });
            match is_refused {
                true => self.debt.leave(part.partition),
                false => self.debt.moved(part.partition),
            }
        }
        parts.filter(|part| part.is_all).map(|part| part.partition)
    }

    /// Partitions whose records are gone or damaged: they rest, and all the others went on.
    fn unread(&mut self, unread: &[(Handle, LoadError)], now: Instant) {
        for (partition, error) in unread {
            match error {
                LoadError::Corrupt(_) => tracing::error!(partition, %error, "records cannot be rewritten"),
                _ => tracing::info!(partition, %error, "records were not rewritten; they are tried again later"),
            }
            self.debt.update(*partition, |waiting| waiting.rests_until = now + REST);
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
            Undone::Source(_) | Undone::Replaced | Undone::Unfit(_) => {
                tracing::info!(%error, "records were not rewritten; they are tried again later");
            }
        }
        partitions.for_each(|handle| self.debt.update(handle, |waiting| waiting.rests_until = now + REST));
    }

    /// Makes segments that are due, as many as are one full one together. Whether there may be more.
    async fn segments(&mut self, now: Instant) -> bool {
        let context = Arc::clone(&self.context);
        let (claimed, wanted) = self.due(now);
        let mut jobs: Vec<Handle> = claimed;
        let may_be_more = jobs.len() + wanted.len() >= CLAIMS;
        for (handle, verdict) in segments::claim(&context, &wanted).await {
            match verdict {
                Ok(Verdict::Done) => jobs.push(handle),
                Ok(Verdict::Refused(Refused::PathInUse)) => {
                    self.debt.update(handle, |waiting| waiting.rests_until = now + REST);
                }
                Ok(_) => {}
                Err(error) => {
                    self.failed(&error, std::iter::empty(), now);
                    return false;
                }
            }
        }
        self.execute(&jobs, now).await;
        may_be_more
    }

    /// Executes the claims of these partitions.
    async fn execute(&mut self, claimed: &[Handle], now: Instant) {
        let (context, pace) = (Arc::clone(&self.context), self.pace.clone());
        let bytes_max = context.settings.segment_bytes;
        let job = |handle: &Handle| context.replica.read(|state| segments::job(state, *handle));
        let mut jobs = claimed.iter().filter_map(job).peekable();
        let (mut running, mut bytes) = (FuturesUnordered::new(), 0);
        loop {
            let fits = |job: &segments::Job, count, bytes: u64| {
                count == 0 || (count < AT_ONCE && bytes + job.bytes() <= bytes_max)
            };
            while self.rests_until <= now
                && let Some(job) = jobs.next_if(|job| fits(job, running.len(), bytes))
            {
                bytes += job.bytes();
                let (context, mut pace) = (Arc::clone(&context), pace.clone());
                running.push(async move {
                    let done = segments::execute(&context, &mut pace, &job).await;
                    (job, done)
                });
            }
            let Some((job, done)) = running.next().await else { return };
            bytes -= job.bytes();
            match done {
                Ok(bytes) => {
                    context.metrics.segmented(bytes);
                    context.billed_again(bytes);
                }
                Err(error) => self.failed(&error, std::iter::once(job.partition), now),
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
                if !waiting.has_grown && now < waiting.look_at {
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
                let config = LifeConfig::new(&Layers::of_topic(state, self.context.node_id, view.topic()));
                let (wish, next_age) = wish(settings, &config, waiting.age(now));
                match Some(wish).filter(|_| !config.compact).and_then(|wish| segments::wanted(state, handle, &wish)) {
                    Some(due) => {
                        bytes += due.bytes;
                        wanted.push(due);
                    }
                    None => seen.push((handle, next_age)),
                }
            }
        });
        idle.into_iter().for_each(|handle| self.debt.done(handle));
        seen.into_iter().for_each(|(handle, age)| self.debt.update(handle, |waiting| waiting.wait_for(age, now)));
        for due in &wanted {
            self.debt.update(due.partition, |waiting| waiting.begin_anew(now));
        }
        (claimed, wanted)
    }
}

/// Parts of which nobody else has the turn, as long as they are what they were when that was taken.
fn turns(context: &Context, parts: Vec<plan::Part>) -> (Vec<plan::Part>, Vec<Turn>) {
    let taken: Vec<_> =
        parts.into_iter().filter_map(|part| Some((context.turns.take(part.partition)?, part))).collect();
    context.replica.read(|state| {
        let is_same = |part: &plan::Part| {
            let view = state.partition(part.partition);
            view.and_then(|view| view.sources(part.first, part.end())) == Some(part.sources)
        };
        let same = taken.into_iter().filter(|(_, part)| is_same(part));
        same.map(|(turn, part)| (part, turn)).unzip()
    })
}

/// When a partition's waiting records make a segment, and at which age it may be otherwise. `segment.ms` and
/// `segment.bytes` make segments earlier and smaller than this broker would.
fn wish(settings: &LifeSettings, config: &LifeConfig, age: Duration) -> (segments::Wish, Duration) {
    let rolled = Duration::from_millis(config.segment_ms).max(SEGMENT_AGE_MIN);
    let (older, old) = (settings.segment_age.min(rolled), settings.segment_small_age.min(rolled));
    let wish = segments::Wish {
        bytes: settings.segment_bytes.min(config.segment_bytes),
        is_older: age >= older,
        is_old: age >= old,
        small_bytes: settings.segment_small_bytes,
    };
    let next = [older, old].into_iter().filter(|at| *at > age).min();
    (wish, next.unwrap_or(age + REST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_have_its_segments_earlier_and_smaller() {
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
        let settings = LifeSettings::default();
        let wish = |segment_ms: u64, segment_bytes: u64, age: Duration| {
            let config = LifeConfig {
                compact: false,
                delete: true,
                retention_ms: -1,
                retention_bytes: -1,
                segment_ms,
                segment_bytes,
            };
            let (wish, next) = wish(&settings, &config, age);
            (wish.bytes >> 20, wish.is_older, wish.is_old, next)
        };
        let week = 7 * 86_400_000;
        assert_eq!(wish(week, 1 << 30, hour), (256, false, false, 6 * hour));
        assert_eq!(wish(week, 1 << 20, 6 * hour), (1, true, false, 24 * hour));
        assert_eq!(wish(week, 1 << 30, 24 * hour), (256, true, true, 24 * hour + REST));
        assert_eq!(wish(3_600_000, 1 << 30, hour - minute), (256, false, false, hour));
        assert_eq!(wish(3_600_000, 1 << 30, hour), (256, true, true, hour + REST));
        assert_eq!(wish(1, 1 << 30, minute / 2), (256, false, false, minute));
    }
}
