//! The read path: records on their way from the store to consumers.
//!
//! ```text
//!  Fetch ──> sessions ──> Reader::fetch ──> extents of the state ──> cache ──(miss)──> loader ──> one ranged GET
//!                              ^  |                                    ^                               per object
//!                      waiters ┘  └─> read-ahead                       └── our own writes, as they are applied
//! ```
//!
//! The state says where a partition's records lie ([`Extent`]); their bytes come from memory or from the store
//! ([`Content`]), and leave as shared slices. Every batch gets its base offset once, when its extent enters memory. What is
//! cached answers at once, what is not loads behind it.
//!
//! What must hold: an answer that claims an end or an absence was preceded by a barrier; bytes from the store are sent
//! only after their checksums were compared; one slow or broken partition never holds up another one.
//!
//! Nothing here knows sockets, topics or names: the API handlers resolve these, and the simulation drives the same code.

mod ahead;
#[cfg(test)]
mod backfills;
mod cache;
mod complaints;
mod content;
mod fetch;
mod loader;
mod mailbox;
mod mirror;
mod pieces;
mod pulse;
mod queue;
pub mod sessions;
mod timestamps;
mod waiters;

#[cfg(test)]
mod testing;

use std::sync::Arc;

use kafscale_log::BarrierError;
use kafscale_runtime::{BoxFuture, Handle as Runtime};
use kafscale_state::{ExtentView, Handle, Place};
use kafscale_store::Store;
use tokio::sync::Semaphore;

pub use cache::Cache;
pub use content::{Content, ContentError, Slice};
pub use fetch::{Ask, Limits, Taken};
pub use loader::{LoadError, Loader};
pub use mirror::{Mirror, MirrorCounts};
pub use timestamps::TimeQuery;
pub use waiters::Waiters;

/// Names a stretch of bytes of one object: the object, its version, and the stretch's first byte in it.
pub type Key = (Place, u32, u64);

/// Where one partition's adjacent batches lie in one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The object.
    pub object: Place,
    /// The first byte in the object.
    pub start: u64,
    /// Bytes.
    pub len: u32,
    /// Offset of the first record.
    pub base_offset: i64,
    /// One past the offset of the last record.
    pub end_offset: i64,
    /// No record has a greater timestamp; one that great need not exist.
    pub max_timestamp: i64,
    /// Which of the objects that had this name, see [`ExtentView::version`].
    pub version: u32,
}

impl Extent {
    /// What the cache knows it by.
    pub fn key(&self) -> Key {
        (self.object, self.version, self.start)
    }

    /// Whether it stands for the map of a large segment, see `pieces`.
    pub fn is_map(&self) -> bool {
        matches!(self.object, Place::SegmentIndex { .. })
    }

    /// The byte behind its last one.
    pub fn end(&self) -> u64 {
        self.start + u64::from(self.len)
    }
}

impl From<ExtentView> for Extent {
    fn from(view: ExtentView) -> Self {
        Self {
            object: view.place,
            start: u64::from(view.position),
            len: view.len,
            base_offset: view.base_offset,
            end_offset: view.end_offset,
            max_timestamp: view.max_timestamp,
            version: view.version,
        }
    }
}

/// A partition's bounds at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    /// The first offset that can be read.
    pub log_start: i64,
    /// Below it every transaction is decided.
    pub last_stable: i64,
    /// One past the last record.
    pub high_watermark: i64,
}

/// This broker's replica, as far as reading needs it.
pub trait View: Send + Sync + 'static {
    /// A partition's bounds; none if it does not exist.
    fn offsets(&self, partition: Handle) -> Option<Offsets>;

    /// Shows `visit` the extents from the one that holds `offset` on, in order, until it returns false. `visit` must be
    /// quick and may not look at the view itself: the state is locked.
    fn extents(&self, partition: Handle, offset: i64, visit: &mut dyn FnMut(Extent) -> bool);

    /// Completes once everything is applied that was in the log when this was called.
    fn barrier(&self) -> BoxFuture<'_, Result<(), BarrierError>>;

    /// Whether the store is known not to answer: then nobody is kept waiting for repeats.
    fn is_store_away(&self) -> bool {
        false
    }

    /// An object's name in the store; none if no engine of this broker writes such objects.
    fn name(&self, object: Place) -> Option<String>;
}

/// Why a partition's records, or the offset of one, cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The partition does not exist (any longer).
    #[error("no such partition")]
    UnknownPartition,
    /// The offset lies before the log start, or beyond the end as of a barrier.
    #[error("offset {offset} is outside {log_start}..={end}")]
    OffsetOutOfRange {
        /// As asked for.
        offset: i64,
        /// The log start offset.
        log_start: i64,
        /// The high watermark.
        end: i64,
    },
    /// The log could not be asked whether there is more than this broker knows.
    #[error("cannot tell the end of the log: {0}")]
    EndUnknown(#[from] BarrierError),
    /// The records are there but cannot be had.
    #[error("records cannot be read: {0}")]
    Load(#[from] LoadError),
}

/// See the module. Clones share everything.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

struct Shared {
    runtime: Runtime,
    view: Arc<dyn View>,
    cache: Arc<Cache>,
    loader: Loader,
    pieces: Arc<pieces::Pieces>,
    waiters: Arc<Waiters>,
    ahead: ahead::ReadAhead,
    pulse: pulse::Pulse,
    /// One permit for each batch that may be open at once.
    opening: Semaphore,
}

impl Reader {
    /// A read path over a replica and a store, with a mirror of it to be read first if there is one. `cache` and `waiters` are shared with whoever applies the log.
    pub fn new(
        runtime: Runtime,
        view: Arc<dyn View>,
        store: Arc<dyn Store>,
        mirror: Option<Arc<Mirror>>,
        cache: Arc<Cache>,
        waiters: Arc<Waiters>,
    ) -> Self {
        let pieces = Arc::new(pieces::Pieces::default());
        let (time, known) = (Arc::clone(&runtime), Arc::clone(&view));
        let loader = Loader::new(time, known, store, mirror, Arc::clone(&cache), Arc::clone(&pieces));
        let ahead = ahead::ReadAhead::new(cache.capacity());
        let pulse = pulse::Pulse::new(runtime.now());
        let opening = Semaphore::new(timestamps::OPEN_AT_ONCE);
        Self { shared: Arc::new(Shared { runtime, view, cache, loader, pieces, waiters, ahead, pulse, opening }) }
    }

    /// Shows `visit` the extents from the one that holds `offset` on, in order, until it returns false: of large segments their
    /// pieces, or what stands for their maps. `visit` may not look at the view itself.
    fn extents(&self, partition: Handle, offset: i64, visit: &mut dyn FnMut(Extent) -> bool) {
        let pieces = &self.shared.pieces;
        self.shared.view.extents(partition, offset, &mut |extent| pieces.visit(extent, offset, visit));
    }

    /// The replica.
    pub fn view(&self) -> &dyn View {
        &*self.shared.view
    }

    /// Long polls that wait, now or later, are answered with what there is.
    pub fn end_waits(&self) {
        self.shared.waiters.end();
    }

    /// The cache, for its counters.
    pub fn cache(&self) -> &Cache {
        &self.shared.cache
    }

    /// The mirror, if there is one.
    pub fn mirror(&self) -> Option<&Arc<Mirror>> {
        self.shared.loader.mirror()
    }

    /// The loader, for its counters.
    pub fn loader(&self) -> &Loader {
        &self.shared.loader
    }
}
