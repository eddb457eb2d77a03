//! Snapshots of the state, so that a start reads the newest one and the tail of the log, not all of it.
//!
//! One is due when the log since the last is at least as large as it (16 MiB of entries at the least) or holds 10,000
//! frames, and at most once a minute; and after an hour if frames wait to be deleted, since they go only below the floor and
//! the floor moves with snapshots. It is encoded piece by piece from a clone that shares its content with the live
//! state, stored under `snapshot/<generation>-<position>`, and read back in [parts]. Only then may the log be trimmed: up to
//! the second newest snapshot that this process knows to be readable, and never what was applied within the last hour.
//! That snapshot and all newer ones stay.

mod parts;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_log::{Log, Position, lone::Lone};
use kafscale_runtime::{Handle, Instant, Runtime};
use kafscale_state::{
    State,
    snapshot::{self, SnapshotError},
};
use kafscale_store::{Body, CreateError, Listed, ReadError, ReplaceError, Store};

use crate::{Settings, history::History, metrics::Metrics, patient, replica::Replica};

/// What the names of all snapshots begin with.
pub const PREFIX: &str = "snapshot/";
/// Bytes of entries after which a snapshot is due, at the least.
const ENTRY_BYTES: u64 = 16 << 20;
/// How often it is looked whether one is due.
const INTERVAL: Duration = Duration::from_secs(60);
/// What was applied within this time stays in the log.
const LOG_AGE: Duration = Duration::from_secs(60 * 60);
/// Frames that nothing refers to make a snapshot due after this time, if there is one of them per so many bytes of it.
const DEAD_AGE: Duration = Duration::from_secs(60 * 60);
const BYTES_PER_DEAD: u64 = 1 << 20;
/// Archives of what was applied within this time stay.
const ARCHIVE_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Readable snapshots that stay.
const KEPT: usize = 2;
/// A page of a listing.
const PAGE: usize = 1_000;
/// A trim that failed is tried again after as many minutes as the double of the last time, at most so many.
const TRIM_PAUSE_MAX: u32 = 64;

/// Why no snapshot could be loaded or taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error("the store cannot be read: {0}")]
    Read(#[from] ReadError),
    /// A newer version wrote the newest snapshot.
    #[error("{name} was written by a newer version: {error}")]
    Newer {
        /// Its name.
        name: String,
        /// What it said.
        error: SnapshotError,
    },
    /// None of the snapshots is whole.
    #[error("no snapshot of {0} is readable: nothing is touched; `kafscale recover` is for this")]
    NoneReadable(usize),
    /// It could not be stored.
    #[error("snapshot cannot be stored: {0}")]
    Write(String),
    /// It came back other than it was written.
    #[error("snapshot {0} came back other than it was written")]
    Altered(String),
}

/// The name of the snapshot at a position of a life of the log.
pub fn name(generation: u64, position: Position) -> String {
    format!("{PREFIX}{generation:020}-{position:020}")
}

fn position_of(name: &str, of: u64) -> Option<Position> {
    parse_name(name).filter(|(generation, _)| *generation == of).map(|(_, position)| position)
}

/// Generation and position in the name of a snapshot.
pub fn parse_name(of: &str) -> Option<(u64, Position)> {
    let (generation, position) = of.strip_prefix(PREFIX)?.split_once('-')?;
    let parsed = (generation.parse().ok()?, position.parse().ok()?);
    // Only what is written here is taken for a snapshot.
    (name(parsed.0, parsed.1) == of).then_some(parsed)
}

/// The snapshots of a generation, ascending: position, name, and size in bytes.
async fn list(store: &dyn Store, runtime: &dyn Runtime, generation: u64) -> Result<Vec<(Position, Listed)>, ReadError> {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = patient::read(runtime, PREFIX, 0, || store.list(PREFIX, &after, PAGE)).await?;
        let is_last = page.len() < PAGE;
        if let Some(last) = page.last() {
            after.clone_from(&last.name);
        }
        found.extend(page.into_iter().filter_map(|row| Some((position_of(&row.name, generation)?, row))));
        if is_last {
            return Ok(found);
        }
    }
}

/// Loads the newest whole snapshot; the state before the first frame where there is none.
pub async fn load(
    store: &dyn Store,
    runtime: &dyn Runtime,
    generation: u64,
    settings: &Settings,
) -> Result<State, Error> {
    let found = list(store, runtime, generation).await?;
    for (_, Listed { name, size }) in found.iter().rev() {
        let bytes = parts::read(store, runtime, name, *size, settings.snapshot_part_bytes).await?;
        match snapshot::decode_with(&bytes, settings.limits) {
            Ok(state) => return Ok(state),
            Err(error @ (SnapshotError::NewerFormat { .. } | SnapshotError::NewerFeatureLevel { .. })) => {
                return Err(Error::Newer { name: name.clone(), error });
            }
            Err(error) => tracing::error!(%name, %error, "snapshot is not readable; the one before it is tried"),
        }
    }
    if found.is_empty() { Ok(State::with_limits(settings.limits)) } else { Err(Error::NoneReadable(found.len())) }
}

/// What a snapshotter works on.
pub struct Snapshotter {
    /// Where snapshots go.
    pub store: Arc<dyn Store>,
    /// Whether that store may know no create-if-absent, since the log lives in another one. Then they are plain PUTs: a
    /// position has one state, and whoever writes it writes the same.
    pub plain_puts: bool,
    /// Time.
    pub runtime: Handle,
    /// What is trimmed after them.
    pub log: Arc<Lone>,
    /// What is kept.
    pub replica: Arc<Replica>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The life of the log.
    pub generation: u64,
    /// Frames after which a snapshot is due.
    pub frames: u64,
    /// Bytes that one request reads back.
    pub part_bytes: u64,
}

/// The newest snapshots that were read whole: the one this process began with, then its own. One that turned out damaged is
/// not among them, so it does not count as the one to fall back to.
struct Readable(VecDeque<Position>);

impl Readable {
    fn begin(loaded: Position) -> Self {
        Self(VecDeque::from([loaded]))
    }

    fn note(&mut self, position: Position) {
        self.0.push_back(position);
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    /// The oldest one that is kept; none while the log's own beginning is still needed.
    fn oldest_kept(&self) -> Option<Position> {
        self.0.front().copied().filter(|position| self.0.len() == KEPT && *position > 0)
    }
}

/// What was there when the last snapshot was taken.
struct Last {
    position: Position,
    at: Instant,
    entry_bytes: u64,
    size: u64,
}

/// A trim that was not done, for a snapshot has been taken since, or it failed.
#[derive(Default)]
struct Trim {
    is_due: bool,
    /// Minutes until the next try, and how many it was before that.
    wait: u32,
    pause: u32,
}

impl Trim {
    /// A snapshot was taken, so more can go.
    fn more(&mut self) {
        *self = Self { is_due: true, ..Self::default() };
    }

    /// A minute has passed; whether to try now.
    fn is_now(&mut self) -> bool {
        self.wait = self.wait.saturating_sub(1);
        self.is_due && self.wait == 0
    }

    fn ended(&mut self, done: bool) {
        self.is_due = !done;
        self.pause = (self.pause * 2).clamp(1, TRIM_PAUSE_MAX);
        self.wait = self.pause;
    }
}

impl Snapshotter {
    /// Takes snapshots when they are due, for as long as the process lives. It began with the one at `loaded`; 0 for none.
    pub async fn run(self, loaded: Position) {
        let (position, at, entry_bytes) = (self.replica.applied(), self.runtime.now(), self.metrics.entry_bytes());
        let mut last = Last { position, at, entry_bytes, size: 0 };
        let (mut history, mut readable, mut trim) = (History::default(), Readable::begin(loaded), Trim::default());
        loop {
            self.runtime.sleep(INTERVAL).await;
            history.note(self.runtime.now(), self.replica.applied());
            let aged = history.applied_before(LOG_AGE);
            if self.is_due(&last) || aged.is_some_and(|aged| self.is_waited_for(&last, aged)) {
                let entry_bytes = self.metrics.entry_bytes();
                match self.take().await {
                    Ok((position, size)) => {
                        last = Last { position, at: self.runtime.now(), entry_bytes, size };
                        readable.note(position);
                        trim.more();
                    }
                    Err(error) => tracing::warn!(%error, "no snapshot was taken; the next try is in a minute"),
                }
            }
            if let (true, Some(kept), Some(aged)) = (trim.is_now(), readable.oldest_kept(), aged) {
                trim.ended(self.trim(kept, aged, history.applied_before(ARCHIVE_AGE)).await);
            }
        }
    }

    fn is_due(&self, last: &Last) -> bool {
        let entry_bytes = self.metrics.entry_bytes().saturating_sub(last.entry_bytes);
        let frames = self.replica.applied().saturating_sub(last.position);
        frames >= self.frames || entry_bytes >= ENTRY_BYTES.max(last.size)
    }

    /// Whether enough frames that died before `aged` wait for the floor.
    fn is_waited_for(&self, last: &Last, aged: Position) -> bool {
        if self.runtime.now().saturating_sub(last.at) < DEAD_AGE || self.replica.applied() == last.position {
            return false;
        }
        let dead = self.replica.read(|state| {
            let dead = state.dead_objects().filter(|(id, dead)| id.log_position().is_some() && dead.since <= aged);
            dead.count() as u64
        });
        dead > last.size / BYTES_PER_DEAD
    }

    /// Takes one now. Returns its position and size in bytes.
    pub async fn take(&self) -> Result<(Position, u64), Error> {
        let state = self.replica.snapshot();
        let position = state.position();
        let mut pieces: Vec<Bytes> = Vec::new();
        for piece in snapshot::encode(&state) {
            pieces.push(piece);
            // Encoding is paced by giving way after each piece, so that it never holds up the write path.
            self.runtime.sleep(Duration::ZERO).await;
        }
        drop(state);
        let body = Body::new(pieces);
        let name = name(self.generation, position);
        self.store(&name, &body).await?;
        if !parts::is_stored(&*self.store, &*self.runtime, &name, &body, self.part_bytes).await? {
            return Err(Error::Altered(name));
        }
        self.metrics.snapshots.inc();
        tracing::info!(position, bytes = body.len(), "snapshot taken");
        Ok((position, body.len()))
    }

    /// What counts is what is read back: an unknown outcome is no failure, nor is one that was stored by an earlier try.
    async fn store(&self, name: &str, body: &Body) -> Result<(), Error> {
        let failed = |error: &dyn ToString| Err(Error::Write(error.to_string()));
        if self.plain_puts {
            return match self.store.replace(name, body.clone()).await {
                Ok(()) | Err(ReplaceError::Unknown(_)) => Ok(()),
                Err(error) => failed(&error),
            };
        }
        match self.store.create(name, body.clone()).await {
            Ok(()) | Err(CreateError::AlreadyExists | CreateError::Unknown(_)) => Ok(()),
            Err(error) => failed(&error),
        }
    }

    /// Trims the log up to the snapshot at `kept`, at most to `aged`, and lets older snapshots and archives go; whether that
    /// was done.
    async fn trim(&self, kept: Position, aged: Position, archived: Option<Position>) -> bool {
        let trimmed = self.try_trim(kept, aged, archived).await;
        if let Err(error) = &trimmed {
            tracing::warn!(%error, "the log was not trimmed; it is tried again");
        }
        trimmed.is_ok()
    }

    async fn try_trim(&self, kept: Position, aged: Position, archived: Option<Position>) -> Result<(), String> {
        let replica = Arc::clone(&self.replica);
        let is_live = Arc::new(move |position| replica.read(|state| state.is_kept(position)));
        let floor = kept.min(aged) + 1;
        self.log.trim(floor, is_live).await.map_err(|error| error.to_string())?;
        if let Some(archived) = archived {
            self.log.delete_archives(archived).await.map_err(|error| error.to_string())?;
        }
        let found = list(&*self.store, &*self.runtime, self.generation).await.map_err(|error| error.to_string())?;
        let old = found.into_iter().filter(|(position, _)| *position < kept);
        let names: Vec<String> = old.map(|(_, row)| row.name).collect();
        self.store.delete(&names).await.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_snapshot_is_not_what_one_falls_back_to() {
        let mut readable = Readable::begin(0);
        assert_eq!(readable.oldest_kept(), None);
        readable.note(100);
        assert_eq!(readable.oldest_kept(), None, "the other one to fall back to is the beginning of the log");
        readable.note(200);
        assert_eq!(readable.oldest_kept(), Some(100));

        // The one at 200 cannot be read when the next process starts.
        let mut readable = Readable::begin(100);
        assert_eq!(readable.oldest_kept(), None);
        readable.note(300);
        assert_eq!(readable.oldest_kept(), Some(100));
        readable.note(400);
        assert_eq!(readable.oldest_kept(), Some(300));
    }

    #[test]
    fn a_trim_that_fails_is_tried_again_and_ever_less_often() {
        let mut trim = Trim::default();
        assert!(!trim.is_now(), "there is nothing to trim");
        trim.more();
        let mut tries = Vec::new();
        for minute in 0..20 {
            if trim.is_now() {
                tries.push(minute);
                trim.ended(false);
            }
        }
        assert_eq!(tries, [0, 1, 3, 7, 15]);
        trim.more();
        assert!(trim.is_now(), "another snapshot has come");
        trim.ended(true);
        assert!((0..100).all(|_| !trim.is_now()));
    }

    #[test]
    fn names_sort_by_position_and_belong_to_their_generation() {
        assert_eq!(name(1, 20), "snapshot/00000000000000000001-00000000000000000020");
        assert_eq!(position_of(&name(1, 20), 1), Some(20));
        assert_eq!(position_of(&name(1, 20), 2), None);
    }
}
