//! Reads extents from the store: many waiters, one GET.
//!
//! A GET is repeated while somebody may still want what it brings, and bounded in time; bytes that arrive are compared with
//! their checksums before anybody sees them. Those that differ are read once more, since they may have been hurt on their way,
//! and a client ends by what it is told then. A failure is remembered for a moment and told to whoever asks within it, so that
//! neither eager clients nor a damaged object turn into a stream of GETs. Which extents share a GET, and who is next, is
//! the [queue](super::queue)'s decision.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use kafscale_runtime::{Handle as Runtime, Instant, timeout};
use kafscale_state::Handle;
use kafscale_store::{ReadError, ReadRange, Store};
use parking_lot::Mutex;

use super::{
    Cache, Content, ContentError, Extent, Key, Mirror, View,
    complaints::{Complaint, Complaints},
    mailbox::{Loaded, Mailbox},
    pieces::{INDEX_MAX, Pieces},
    queue::{Get, Queue},
};

/// One attempt of a GET, and a second more for each MiB: at 1 MiB/s it is still alive.
const ATTEMPT: Duration = Duration::from_secs(5);
/// A GET and its repeats, as long as somebody waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after the first failed attempt; it doubles.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long a failure is told without another GET.
const FAILURE_AGE: Duration = Duration::from_secs(2);
/// The broker is taken to be writing for so long after what it wrote was applied.
const WRITING: Duration = Duration::from_secs(1);
/// Failures that are remembered.
const FAILURES_MAX: usize = 1_024;

/// Why an extent could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Its object is not in the store.
    #[error("the object is missing")]
    Missing,
    /// Its bytes are not what was written.
    #[error("corrupted: {0}")]
    Corrupt(#[from] ContentError),
    /// The store did not answer.
    #[error("the store cannot be read: {0}")]
    Unavailable(String),
    /// Too much is being loaded already.
    #[error("too many loads at once")]
    Busy,
}

/// What a loader has done since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadCounts {
    /// GETs that were begun, repeats not counted.
    pub gets: u64,
    /// Bytes that they asked for.
    pub bytes: u64,
    /// Extents that they were to bring.
    pub extents: u64,
    /// Extents that could not be loaded.
    pub failed: u64,
}

/// See the module. Clones share everything.
#[derive(Clone)]
pub struct Loader {
    shared: Arc<Shared>,
}

struct Shared {
    runtime: Runtime,
    view: Arc<dyn View>,
    store: Arc<dyn Store>,
    mirror: Option<Arc<Mirror>>,
    cache: Arc<Cache>,
    pieces: Arc<Pieces>,
    queue: Mutex<Queue>,
    failures: Mutex<BTreeMap<Key, (Instant, LoadError)>>,
    complaints: Complaints,
    /// What the broker had written when that was last looked at, and when it was seen to grow.
    written: Mutex<(u64, Option<Instant>)>,
    gets: AtomicU64,
    bytes: AtomicU64,
    extents: AtomicU64,
    failed: AtomicU64,
}

impl Loader {
    /// A loader that puts what it reads into `cache`.
    pub fn new(
        runtime: Runtime,
        view: Arc<dyn View>,
        store: Arc<dyn Store>,
        mirror: Option<Arc<Mirror>>,
        cache: Arc<Cache>,
        pieces: Arc<Pieces>,
    ) -> Self {
        let (queue, failures, complaints, written, gets, bytes, extents, failed) = Default::default();
        let shared = Shared {
            runtime,
            view,
            store,
            mirror,
            cache,
            pieces,
            queue,
            failures,
            complaints,
            written,
            gets,
            bytes,
            extents,
            failed,
        };
        Self { shared: Arc::new(shared) }
    }

    /// What is read first, if anything is.
    pub fn mirror(&self) -> Option<&Arc<Mirror>> {
        self.shared.mirror.as_ref()
    }

    /// Loads an extent of a partition; what becomes of it is delivered to `mailbox`.
    pub fn load(&self, partition: Handle, extent: Extent, mailbox: &Arc<Mailbox>) {
        if let Some(error) = self.shared.recent_failure(&extent.key()) {
            return mailbox.deliver(extent.key(), Err(error));
        }
        let wanted = self.shared.queue.lock().want(partition, extent, Some(mailbox));
        if !wanted {
            mailbox.deliver(extent.key(), Err(LoadError::Busy));
        }
    }

    /// Loads an extent that a reader will probably want next.
    pub fn load_ahead(&self, partition: Handle, extent: Extent) {
        if self.shared.recent_failure(&extent.key()).is_none() {
            self.shared.queue.lock().want(partition, extent, None);
        }
    }

    /// Begins as many GETs as the budget allows: to be called after `load` and `load_ahead`, once for all of them, so that
    /// neighbours come with one GET.
    pub fn start(&self) {
        self.shared.start();
    }

    /// Records whose checksum is right could not be opened.
    pub fn is_unopenable(&self, extent: &Extent, error: &ContentError) {
        let shared = &*self.shared;
        if shared.complaints.is_due(extent.key(), Complaint::Unopenable, shared.runtime.now()) {
            let name = shared.view.name(extent.object).unwrap_or_default();
            tracing::error!(name, ?extent, %error, "records in the store cannot be opened: they were written so");
        }
    }

    /// What it has done so far.
    pub fn counts(&self) -> LoadCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let shared = &*self.shared;
        LoadCounts {
            gets: read(&shared.gets),
            bytes: read(&shared.bytes),
            extents: read(&shared.extents),
            failed: read(&shared.failed),
        }
    }
}

impl Shared {
    fn start(self: &Arc<Self>) {
        let is_writing = self.is_writing();
        loop {
            let Some(get) = self.queue.lock().next(is_writing) else { return };
            self.gets.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(get.end - get.start, Ordering::Relaxed);
            self.extents.fetch_add(get.extents.len() as u64, Ordering::Relaxed);
            let shared = Arc::clone(self);
            self.runtime.spawn("load", Box::pin(async move { shared.run(get).await }));
        }
    }

    fn is_writing(&self) -> bool {
        let (now, admitted) = (self.runtime.now(), self.cache.admitted());
        let mut written = self.written.lock();
        if written.0 != admitted {
            *written = (admitted, Some(now));
        }
        written.1.is_some_and(|at| now.saturating_sub(at) < WRITING)
    }

    async fn run(self: Arc<Self>, get: Get) {
        let all = match self.ask_mirror(&get).await {
            Some(all) => all,
            None => self.ask_store(&get).await,
        };
        for (extent, loaded) in get.extents.iter().zip(all) {
            match &loaded {
                Ok(_) if extent.is_map() => {}
                Ok(content) => self.cache.insert_unread(extent.key(), Arc::clone(content)),
                Err(error) => self.report(extent, error),
            }
            let waiting = self.queue.lock().settle(&extent.key());
            for mailbox in waiting {
                mailbox.deliver(extent.key(), loaded.clone());
            }
        }
        self.queue.lock().done(&get);
        self.start();
    }

    async fn ask_store(&self, get: &Get) -> Vec<Loaded> {
        let mut all = self.look(get).await;
        let is_damaged = |loaded: &Loaded| matches!(loaded, Err(LoadError::Corrupt(_)));
        if all.iter().any(is_damaged) {
            let again = self.look(get).await;
            for (loaded, again) in all.iter_mut().zip(again).filter(|(loaded, _)| is_damaged(loaded)) {
                *loaded = again;
            }
        }
        all
    }

    async fn look(&self, get: &Get) -> Vec<Loaded> {
        let outcome = self.read(get).await;
        let part = |extent: &Extent| match extent.is_map() {
            true => self.map(extent, outcome.clone()),
            false => outcome.clone().and_then(|bytes| content(get, extent, &bytes)),
        };
        get.extents.iter().map(part).collect()
    }

    /// What the mirror has, if it has all of it as it was written.
    async fn ask_mirror(&self, get: &Get) -> Option<Vec<Loaded>> {
        let (mirror, name) = (self.mirror.as_ref()?, self.view.name(get.object)?);
        if get.extents.iter().any(Extent::is_map) {
            return None;
        }
        let bytes = mirror.get(get.object, &name, get.start, get.end - get.start).await?;
        let all: Vec<Loaded> = get.extents.iter().map(|extent| content(get, extent, &bytes)).collect();
        match all.iter().find_map(|loaded| loaded.as_ref().err()) {
            None => {
                mirror.found_right(get.object);
                Some(all)
            }
            Some(error) => {
                mirror.found_wrong(&name, &error.to_string());
                None
            }
        }
    }

    /// The map of a segment. Without an index there is one all the same, so the walk that wanted it goes on.
    fn map(&self, map: &Extent, index: Result<Bytes, LoadError>) -> Loaded {
        match index {
            Ok(index) => self.pieces.insert(map, Some(&index)),
            Err(LoadError::Missing) if self.view.name(map.object).is_some() => self.pieces.insert(map, None),
            Err(error) => return Err(error),
        }
        Ok(Arc::new(Content::empty()))
    }

    /// The bytes of a GET: repeated until the store answers, nobody waits any more, time is up, or the store is known to be
    /// away.
    async fn read(&self, get: &Get) -> Result<Bytes, LoadError> {
        let name = self.view.name(get.object).ok_or(LoadError::Missing)?;
        let is_map = get.extents.iter().all(Extent::is_map);
        let range = ReadRange::At { start: get.start, len: if is_map { INDEX_MAX } else { get.end - get.start } };
        let limit = ATTEMPT + Duration::from_secs((get.end - get.start) >> 20);
        let deadline = self.runtime.now() + PATIENCE;
        let mut pause = PAUSE;
        loop {
            let failure = match timeout(&*self.runtime, limit, self.store.get(&name, range)).await {
                Ok(Ok(bytes)) => return Ok(bytes),
                Ok(Err(ReadError::NotFound(_))) => return Err(LoadError::Missing),
                Ok(Err(ReadError::Refused(reason) | ReadError::Unavailable(reason))) => reason,
                Err(_) => "no answer in time".to_owned(),
            };
            let is_over = self.runtime.now() + pause >= deadline || self.view.is_store_away();
            if is_over || !self.queue.lock().is_waited_for(get) {
                return Err(LoadError::Unavailable(failure));
            }
            self.runtime.sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn recent_failure(&self, key: &Key) -> Option<LoadError> {
        let failures = self.failures.lock();
        let (at, error) = failures.get(key)?;
        (self.runtime.now().saturating_sub(*at) < FAILURE_AGE).then(|| error.clone())
    }

    fn remember(&self, key: Key, error: &LoadError) {
        let now = self.runtime.now();
        let mut failures = self.failures.lock();
        if failures.len() >= FAILURES_MAX {
            failures.retain(|_, (at, _)| now.saturating_sub(*at) < FAILURE_AGE);
        }
        if failures.len() < FAILURES_MAX {
            failures.insert(key, (now, error.clone()));
        }
    }

    fn report(&self, extent: &Extent, error: &LoadError) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.remember(extent.key(), error);
        let complaint = if matches!(error, LoadError::Corrupt(_)) { Complaint::Damaged } else { Complaint::Absent };
        if !self.complaints.is_due(extent.key(), complaint, self.runtime.now()) {
            return;
        }
        let name = self.view.name(extent.object).unwrap_or_default();
        match error {
            LoadError::Corrupt(error) => tracing::error!(name, ?extent, %error, "record data in the store is damaged"),
            LoadError::Missing => tracing::warn!(name, ?extent, "an object that is referred to was not found"),
            LoadError::Unavailable(_) | LoadError::Busy => {
                tracing::warn!(name, ?extent, %error, "records could not be read")
            }
        }
    }
}

/// One extent's part of what a GET has brought.
fn content(get: &Get, extent: &Extent, bytes: &Bytes) -> Loaded {
    let at = |byte: u64| usize::try_from(byte - get.start).unwrap_or(usize::MAX).min(bytes.len());
    let part = bytes.slice(at(extent.start)..at(extent.end()));
    let content = match get.extents.len() {
        1 => Content::alone(extent, part)?,
        _ => Content::new(extent, &[part], true)?,
    };
    Ok(Arc::new(content))
}

#[cfg(test)]
mod tests;
