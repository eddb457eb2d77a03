//! Deletes what nothing refers to any more.
//!
//! An object goes when its last reference went at a position that *this broker saw applied long enough ago, by its own
//! monotonic clock*, and a barrier within the last seconds proved that it is not cut off. No date and no listing can make it
//! delete early. A log frame goes only below the floor. Whoever still reads from old places has moved on by then.
//!
//! A segment that was moved back may be published again under its name. That is free only an hour after the file went: a
//! delete that hung somewhere on its way all the time, of this broker or of one before it, must not meet the new one.
//!
//! Many names go in one request where the provider takes that, a pause between requests. Of a request that fails nothing is
//! believed: the next one is half as long, and a name that fails alone is passed over until all the others had their turn,
//! so that names which the store refuses for ever do not hold up the rest.
//!
//! *Orphans* are merged and data objects that the state has never heard of: of sessions that are over, or of this one below
//! its settled number. They wait a day more, since a log may have been restored. Of a deleted topic the path is emptied,
//! until two listings in a row find nothing; then its grave goes, and the name may be used again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use kafscale_log::data;
use kafscale_runtime::{Instant, timeout};
use kafscale_segment::names::{self, File};
use kafscale_state::{
    Handle, Merged, ObjectId, Place, Position, State,
    entry::{Entry, ObjectsDeleted},
    topic::path_namespace,
};
use kafscale_store::Store;

use super::{ATTEMPT, Context, Undone};
use crate::history::History;

/// How often the deleter looks, at the least.
const INTERVAL: Duration = Duration::from_secs(60);
/// A barrier allows deletes for so long.
const BARRIER_AGE_MAX: Duration = Duration::from_secs(10);
/// Names in one request. The store makes of it what its provider takes.
const BATCH: usize = 1_000;
/// Failures after which the rest is left to the next round.
const FAILURES: u32 = 32;
/// Requests in one round.
const BATCHES: usize = 16;
/// Between two batches.
const PAUSE: Duration = Duration::from_millis(200);
/// Orphans and graves are looked for so often.
const LISTING_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// How long an orphan is watched before it is deleted.
const ORPHAN_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Orphans that are watched at once.
const ORPHANS_MAX: usize = 100_000;
/// How long the name of a segment that was moved back is not used again.
const NAME_REST: Duration = Duration::from_secs(60 * 60);
/// Listings in a row that must find a grave's path empty.
const EMPTY_LISTINGS: u32 = 2;
/// After so long without a whole round it is said, and as often again: what cannot be deleted is billed on.
const TELL_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Something to delete: its names, and what the state forgets with it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Object(ObjectId, Place),
    Segment((Handle, u64), [String; 2], Name),
}

/// What comes of the name of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    /// Never used again, or a grave watches over it.
    Done,
    /// A segment may begin at the same offset again.
    ComesAgain,
}

/// How far the dead were gone through.
#[derive(Debug, Default)]
struct Tried {
    object: Option<ObjectId>,
    segment: Option<(Handle, u64)>,
}

impl Tried {
    fn note(&mut self, found: &Found) {
        match found {
            Found::Object(id, _) => self.object = self.object.max(Some(*id)),
            Found::Segment(key, ..) => self.segment = self.segment.max(Some(*key)),
        }
    }
}

/// What became of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Became {
    Gone,
    /// It failed alone.
    Refused,
    /// Its turn did not come.
    Untried,
}

/// Below these numbers every object of this session is referred to, or will never be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Settled {
    merged: u64,
    data: u64,
}

/// See the module.
pub struct Deleter {
    context: Arc<Context>,
    history: History,
    /// Orphans by name, since when they are known.
    orphans: BTreeMap<String, Instant>,
    /// Segments that were moved back and whose files are gone, since when.
    gone: BTreeMap<(Handle, u64), Instant>,
    /// Graves by topic number: how many listings in a row were empty.
    empty: BTreeMap<u32, u32>,
    listed_at: Instant,
    /// What was settled when orphans were last looked for.
    listed_up_to: Option<Settled>,
    barrier_at: Option<Instant>,
    /// What was tried last: the next search goes on behind it, and begins anew at the end.
    tried: Tried,
    /// Names in the next request: half as many after a failure, for one name that is refused fails them all.
    batch: usize,
}

impl Deleter {
    pub fn new(context: Arc<Context>) -> Self {
        let listed_at = context.runtime.now();
        let (history, orphans, gone, empty, tried) = Default::default();
        let (listed_up_to, barrier_at, batch) = (None, None, BATCH);
        Self { context, history, orphans, gone, empty, listed_at, listed_up_to, barrier_at, tried, batch }
    }

    /// Runs as long as the process, or until nothing more is applied.
    pub async fn run(mut self) {
        let mut told_at = self.context.runtime.now();
        while !self.context.writer.is_stopped() {
            self.context.runtime.sleep(INTERVAL.min(self.context.settings.delete_age)).await;
            let now = self.context.runtime.now();
            self.history.note(now, self.context.replica.applied());
            match self.round(now).await {
                Ok(()) => told_at = now,
                Err(error) if now.saturating_sub(told_at) >= TELL_INTERVAL => {
                    tracing::warn!(%error, "some dead objects cannot be deleted, and are billed; it is tried again");
                    told_at = now;
                }
                Err(error) => tracing::debug!(%error, "dead objects were not deleted; the next round tries again"),
            }
        }
    }

    async fn round(&mut self, now: Instant) -> Result<(), Undone> {
        let settings = &self.context.settings;
        let aged = self.history.applied_before(settings.delete_age);
        let replaced = self.history.applied_before(settings.delete_replaced_age);
        #[cfg(feature = "planted-bugs")]
        let (aged, replaced) = match crate::planted::is(crate::planted::Bug::DeletesByWallClock) {
            true => self.by_wall_clock(),
            false => (aged, replaced),
        };
        self.free_names(now).await?;
        for _ in 0..BATCHES {
            let (found, waiting) = self.find(aged, replaced).await?;
            self.context.metrics.reading("dead_objects", waiting);
            let is_last = found.len() < BATCH / 2;
            if is_last {
                // The next round begins with those that were passed over.
                self.tried = Tried::default();
            }
            if found.is_empty() {
                break;
            }
            self.delete_dead(found, is_last).await?;
            if is_last {
                break;
            }
            self.context.runtime.sleep(PAUSE).await;
        }
        if now.saturating_sub(self.listed_at) >= LISTING_INTERVAL {
            self.listed_at = now;
            // Where nothing was written since the last time, nothing is listed: an idle broker asks for nothing.
            let settled = Some(self.settled());
            if !self.orphans.is_empty() || self.listed_up_to != settled {
                self.orphans(now).await?;
                self.listed_up_to = settled;
            }
            self.graves().await?;
        }
        Ok(())
    }

    /// Lets the state forget the segments whose names have rested.
    async fn free_names(&mut self, now: Instant) -> Result<(), Undone> {
        let has_rested = |since: &Instant| now.saturating_sub(*since) >= NAME_REST;
        let rested = self.gone.iter().filter(|(_, since)| has_rested(since));
        let segments: Vec<(Handle, u64)> = rested.map(|(key, _)| *key).collect();
        if !segments.is_empty() {
            let entry = ObjectsDeleted { segments, ..ObjectsDeleted::default() };
            self.context.writer.submit(None, Entry::ObjectsDeleted(entry), true).await?;
            self.gone.retain(|_, since| !has_rested(since));
        }
        Ok(())
    }

    /// The next dead that may go, behind those that were tried, and how many are dead in all.
    async fn find(&self, aged: Option<Position>, replaced: Option<Position>) -> Result<(Vec<Found>, u64), Undone> {
        let is_due = |since: Position, by_swap: bool| {
            let until = if by_swap { replaced } else { aged };
            until.is_some_and(|until| since <= until)
        };
        let has_frames = self.context.replica.read(|state| {
            let frame = |id: ObjectId| id.log_position().is_some();
            state.dead_objects().any(|(id, dead)| frame(id) && is_due(dead.since, dead.replaced))
        });
        let floor = match has_frames {
            true => self.context.log.floor().await.map_err(|error| Undone::Store(error.to_string()))?,
            false => 0,
        };
        #[cfg(feature = "planted-bugs")]
        let floor = match crate::planted::is(crate::planted::Bug::DeletesByWallClock) {
            true => Position::MAX,
            false => floor,
        };
        let mut found = Vec::new();
        let waiting = self.context.replica.read(|state| {
            let is_kept = |place: Place| matches!(place, Place::LogFrame { position } if position >= floor);
            let Tried { object, segment } = self.tried;
            let due = state.dead_objects().filter(|(id, _)| object.is_none_or(|tried| *id > tried));
            let due = due.filter(|(_, dead)| is_due(dead.since, dead.replaced) && !is_kept(dead.place));
            found.extend(due.take(BATCH / 2).map(|(id, dead)| Found::Object(id, dead.place)));
            let due =
                state.dead_segments().filter(|&(handle, base, _)| segment.is_none_or(|tried| (handle, base) > tried));
            let due = due.filter(|&(handle, base, _)| !self.gone.contains_key(&(handle, base)));
            let due = due.filter(|(_, _, dead)| is_due(dead.since, dead.replaced));
            let segments = due.filter_map(|(handle, base, dead)| {
                let namespace = path_namespace(dead.namespace)?;
                let name = |file| names::segment(namespace, dead.topic, dead.index, base, file);
                let after = if dead.replaced { Name::ComesAgain } else { Name::Done };
                Some(Found::Segment((handle, base), [name(File::Kfs), name(File::Index)], after))
            });
            found.extend(segments.take(BATCH / 2 - found.len().min(BATCH / 2)));
            state.dead_objects().count() + state.dead_segments().count()
        });
        Ok((found, waiting as u64))
    }

    /// Deletes what it can, and lets the state forget that much.
    async fn delete_dead(&mut self, found: Vec<Found>, is_last: bool) -> Result<(), Undone> {
        let is_frame = |found: &Found| matches!(found, Found::Object(_, Place::LogFrame { .. }));
        let (frames, others): (Vec<Found>, Vec<Found>) = found.into_iter().partition(is_frame);
        let (store, log_store) = (Arc::clone(&self.context.store), Arc::clone(&self.context.log_store));
        let mut gone = ObjectsDeleted::default();
        let of_data = self.delete_found(&*store, others, &mut gone).await;
        let of_log = self.delete_found(&*log_store, frames, &mut gone).await;
        if is_last && of_data.is_ok() && of_log.is_ok() {
            self.tried = Tried::default();
        }
        if gone != ObjectsDeleted::default() {
            gone.objects.sort_unstable();
            self.context.writer.submit(None, Entry::ObjectsDeleted(gone), true).await?;
        }
        of_data.and(of_log)
    }

    async fn delete_found(
        &mut self,
        store: &dyn Store,
        found: Vec<Found>,
        gone: &mut ObjectsDeleted,
    ) -> Result<(), Undone> {
        let view = &self.context.view;
        let mut named: Vec<(Vec<String>, Found)> = Vec::with_capacity(found.len());
        for found in found {
            match &found {
                // What has no name here is another broker's to delete.
                Found::Object(_, place) => match view.name(*place) {
                    Some(name) => named.push((vec![name], found)),
                    None => self.tried.note(&found),
                },
                Found::Segment(_, names, _) => named.push((names.to_vec(), found)),
            }
        }
        let names: Vec<String> = named.iter().flat_map(|(names, _)| names).cloned().collect();
        let (became, outcome) = self.delete(store, &names).await;
        let mut became = became.into_iter();
        for (names, found) in named {
            let of: Vec<Became> = became.by_ref().take(names.len()).collect();
            if of.contains(&Became::Untried) {
                continue;
            }
            self.tried.note(&found);
            match found {
                _ if of.contains(&Became::Refused) => {}
                Found::Object(id, _) => gone.objects.push(id),
                Found::Segment(key, _, Name::Done) => gone.segments.push(key),
                Found::Segment(key, _, Name::ComesAgain) => {
                    self.gone.entry(key).or_insert(self.context.runtime.now());
                }
            }
        }
        outcome
    }

    /// Deletes these names, if it is certain that this broker is not cut off; what became of each.
    async fn delete(&mut self, store: &dyn Store, names: &[String]) -> (Vec<Became>, Result<(), Undone>) {
        let (mut became, mut at, mut failures) = (vec![Became::Untried; names.len()], 0, 0);
        while at < names.len() {
            if let Err(undone) = self.is_in_touch().await {
                return (became, Err(undone));
            }
            let until = (at + self.batch).min(names.len());
            let answer = timeout(&*self.context.runtime, ATTEMPT, store.delete(&names[at..until])).await;
            let failure = match answer {
                Ok(Ok(())) => {
                    became[at..until].fill(Became::Gone);
                    self.context.metrics.deleted((until - at) as u64);
                    (at, self.batch) = (until, (self.batch * 2).min(BATCH));
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
            if until - at == 1 {
                became[at] = Became::Refused;
                at += 1;
            }
            failures += 1;
            self.batch = (self.batch / 2).max(1);
            if failures == FAILURES {
                return (became, Err(Undone::Store(failure)));
            }
            self.context.runtime.sleep(PAUSE).await;
        }
        (became, Ok(()))
    }

    /// A barrier within the last seconds says that this broker is not cut off.
    async fn is_in_touch(&mut self) -> Result<(), Undone> {
        let now = self.context.runtime.now();
        if self.barrier_at.is_none_or(|at| now.saturating_sub(at) >= BARRIER_AGE_MAX) {
            let reached = self.context.replica.barrier(&*self.context.log).await;
            reached.map_err(|error| Undone::Store(error.to_string()))?;
            self.barrier_at = Some(now);
        }
        Ok(())
    }

    fn settled(&self) -> Settled {
        let data = self.context.writer.objects_settled().unwrap_or(0);
        Settled { merged: self.context.settled.lock().below, data }
    }

    /// Watches objects that the state does not know, and deletes those that were watched long enough.
    async fn orphans(&mut self, now: Instant) -> Result<(), Undone> {
        let cluster = self.context.cluster.id;
        // Before the state is looked at: what is settled by now is in it, or never will be.
        let settled = self.settled();
        let mut seen = BTreeSet::new();
        let data = format!("{}{cluster:032x}/", data::PREFIX);
        for prefix in [names::merged_of(cluster), data] {
            let mut next = Some(String::new());
            while let Some(after) = next {
                let (page, rest) = self.page(&prefix, &after).await?;
                let room = ORPHANS_MAX - seen.len();
                self.context.replica.read(|state| {
                    let orphans = page.into_iter().filter(|name| self.is_orphan(state, settled, name));
                    seen.extend(orphans.take(room));
                });
                next = rest;
            }
        }
        self.orphans.retain(|name, _| seen.contains(name));
        for name in seen {
            self.orphans.entry(name).or_insert(now);
        }
        let old = self.orphans.iter().filter(|(_, since)| now.saturating_sub(**since) >= ORPHAN_AGE);
        let old: Vec<String> = old.map(|(name, _)| name.clone()).collect();
        if !old.is_empty() {
            let store = Arc::clone(&self.context.store);
            self.delete(&*store, &old).await.1?;
            tracing::info!(objects = old.len(), "objects that nobody ever referred to were deleted");
        }
        self.context.metrics.reading("orphans", self.orphans.len() as u64);
        Ok(())
    }

    fn is_orphan(&self, state: &State, settled: Settled, name: &str) -> bool {
        let is_settled = |session: u64, number: u64, below: u64| match session == self.context.log.session() {
            true => number < below,
            false => state.is_session_over(session),
        };
        if let Some(data::DataId { session, number, .. }) = data::DataId::parse(name) {
            let is_known = state.knows(Place::Data { store: 0, session, number });
            return !is_known && is_settled(session, number, settled.data);
        }
        let Some(id) = names::merged_id(self.context.cluster.id, name) else { return false };
        let names::MergedId { level, session, number, nonce } = id;
        let is_known = state.knows(Place::Merged(Merged { store: 0, level, session, number, nonce }));
        !is_known && is_settled(session, number, settled.merged)
    }

    /// Empties the paths of deleted topics.
    async fn graves(&mut self) -> Result<(), Undone> {
        let graves = self.context.replica.read(|state| {
            let path = |namespace, name| path_namespace(namespace).map(|namespace| names::topic(namespace, name));
            let empty = state.graves().filter(|(number, _)| state.is_grave_empty(*number));
            empty.filter_map(|(number, grave)| Some((number, path(&grave.namespace, &grave.name)?))).collect::<Vec<_>>()
        });
        self.empty.retain(|number, _| graves.iter().any(|(grave, _)| grave == number));
        let mut gone = Vec::new();
        for (number, path) in graves {
            if self.has_emptied(&path).await? {
                self.empty.insert(number, 0);
                continue;
            }
            let count = self.empty.entry(number).or_default();
            *count += 1;
            if *count >= EMPTY_LISTINGS {
                gone.push(number);
            }
        }
        if !gone.is_empty() {
            let entry = ObjectsDeleted { graves: gone, ..ObjectsDeleted::default() };
            self.context.writer.submit(None, Entry::ObjectsDeleted(entry), true).await?;
        }
        Ok(())
    }

    /// Deletes the files of segments below a deleted topic's path; whether there were any.
    async fn has_emptied(&mut self, path: &str) -> Result<bool, Undone> {
        let store = Arc::clone(&self.context.store);
        let (mut any, mut next) = (false, Some(String::new()));
        while let Some(after) = next {
            let (mut page, rest) = self.page(path, &after).await?;
            page.retain(|name| name.strip_prefix(path).and_then(names::segment_of).is_some());
            any |= !page.is_empty();
            self.delete(&*store, &page).await.1?;
            next = rest;
        }
        Ok(any)
    }

    /// The next names behind `after`, and behind which to go on if there may be more.
    async fn page(&self, prefix: &str, after: &str) -> Result<(Vec<String>, Option<String>), Undone> {
        let context = &self.context;
        let page = timeout(&*context.runtime, ATTEMPT, context.store.list(prefix, after, BATCH)).await;
        let page = page
            .map_err(|_| Undone::Store("no answer in time".to_owned()))?
            .map_err(|error| Undone::Store(error.to_string()))?;
        if page.first().is_some_and(|first| first.name.as_str() <= after) {
            return Err(Undone::Store("a listing does not come to an end".to_owned()));
        }
        let rest = page.last().filter(|_| page.len() >= BATCH).map(|last| last.name.clone());
        Ok((page.into_iter().map(|row| row.name).collect(), rest))
    }

    /// The bug: what is old by the system's clock goes, whoever may still be reading there.
    #[cfg(feature = "planted-bugs")]
    fn by_wall_clock(&self) -> (Option<Position>, Option<Position>) {
        let state_ms = self.context.replica.read(|state| state.cluster_time_ms());
        let age_ms = self.context.runtime.wall_clock_ms().saturating_sub(state_ms);
        let until = (age_ms >= 0).then(|| self.context.replica.applied());
        (until, until)
    }
}
