//! What becomes of data behind the clients: it is merged into larger objects, becomes segments, and what nothing refers to
//! any more is deleted.
//!
//! ```text
//!  frames (L0) ── rewriter: merge ──▶ merged object (L1, L2) ──┐
//!       │                                                      ├─ rewriter: segments ──▶ .kfs + .index
//!       └──────────────── fat partitions ──────────────────────┘
//!  due by retention ── Retained ──▶ dead
//!  compacted topics ── cleaner: the last value of each key stays ──▶ merged object, Cleaned
//!  dead in the state ── deleter: seen long enough, barrier ──▶ gone from the store ──▶ ObjectsDeleted
//! ```
//!
//! What must hold: a rewriter reads, writes a new object, and proposes an entry; whatever it dies of in between leaves
//! nothing but an object that nobody refers to. The entry is applied only if the state still is what was read. The deleter
//! goes by what the state says and by its own monotonic clock, never by a listing or a date alone.

mod cleaner;
mod debt;
mod deleter;
mod merge;
mod pace;
mod plan;
mod retention;
mod rewriter;
mod segments;
mod source;
mod turns;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kafscale_log::lone::Lone;
use kafscale_runtime::{Handle, timeout};
use kafscale_state::State;
use kafscale_store::{Body, CreateError, ReadError, ReadRange, ReplaceError, Store};
use parking_lot::Mutex;

pub use cleaner::Changed;
pub use debt::{Debt, Grown};
pub use turns::Turns;

use crate::{
    cluster::Cluster,
    metrics::Metrics,
    read::{Cache, View},
    replica::Replica,
    settings::LifeSettings,
    write::Writer,
};

/// An attempt at the store is given up after this, and a second per MiB that it moves.
const ATTEMPT: Duration = Duration::from_secs(30);
/// Attempts at one write before the job is given up; the next round begins anew.
const ATTEMPTS: u32 = 6;
/// The pause after the first failed attempt; it doubles.
const PAUSE: Duration = Duration::from_millis(200);

/// Merging is spared while less than this part of the room for extents is used.
const EXTENTS_SPARED: u64 = 8;

/// What all jobs share.
pub struct Context {
    /// Where records live.
    pub store: Arc<dyn Store>,
    /// Where the frames of the log live.
    pub log_store: Arc<dyn Store>,
    /// Whether the store of the records may know no create-if-absent, since the log lives in another one.
    pub plain_puts: bool,
    /// Time, randomness, tasks.
    pub runtime: Handle,
    /// The log, for barriers and its floor.
    pub log: Arc<Lone>,
    /// What is known.
    pub replica: Arc<Replica>,
    /// Where entries go.
    pub writer: Writer,
    /// Names of objects.
    pub view: Arc<dyn View>,
    /// What was written or read lately.
    pub cache: Arc<Cache>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Which cluster this is.
    pub cluster: Cluster,
    /// This broker, whose settings are in force.
    pub node_id: i32,
    /// Sizes and intervals.
    pub settings: LifeSettings,
    /// Partitions that have more to be rewritten, as the applier tells.
    pub grown: Arc<Grown>,
    /// Partitions that changed, as the applier tells.
    pub changed: Arc<Changed>,
    /// How far the numbers of this session's merged objects are settled.
    pub settled: Mutex<Settled>,
    /// Which partitions are being rewritten.
    pub turns: Turns,
}

/// Numbers of this session's merged objects.
#[derive(Debug, Default)]
pub struct Settled {
    /// The next one.
    next: u64,
    /// Those of objects in the making.
    open: BTreeSet<u64>,
    /// Below it every object is referred to, or will never be.
    below: u64,
    /// The outcome of an entry is unknown: nothing more is settled in this life.
    is_stuck: bool,
}

/// Starts the jobs of a broker. They run as long as its process.
pub fn start(context: Context) {
    let context = Arc::new(context);
    let runtime = Arc::clone(&context.runtime);
    // One bandwidth for both.
    let pace = pace::Pace::new(Arc::clone(&runtime), context.settings.bandwidth);
    runtime.spawn("rewriter", Box::pin(rewriter::Rewriter::new(Arc::clone(&context), pace.clone()).run()));
    runtime.spawn("cleaner", Box::pin(cleaner::Cleaner::new(Arc::clone(&context), pace).run()));
    runtime.spawn("retention", Box::pin(retention::run(Arc::clone(&context))));
    runtime.spawn("deleter", Box::pin(deleter::Deleter::new(context).run()));
}

/// Why a job was not done. It is tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Undone {
    /// The store does not answer, or refuses.
    #[error("the store: {0}")]
    Store(String),
    /// What was to be read is gone or damaged.
    #[error("source: {0}")]
    Source(#[from] crate::read::LoadError),
    /// Another object stands under the name.
    #[error("{0} holds other bytes than were written to it")]
    OtherBytes(String),
    /// The entry got no verdict.
    #[error("entry: {0}")]
    Entry(#[from] crate::write::EntryError),
    /// Another job was sooner.
    #[error("the records were replaced meanwhile")]
    Replaced,
    /// What was read does not make an object.
    #[error("{0}")]
    Unfit(String),
}

impl Undone {
    /// Some stores report a conflict where two writers collided and neither won.
    fn absent(name: &str) -> Self {
        Self::Store(format!("a conflict was reported and there is no {name}"))
    }
}

impl Context {
    /// Counts what was rewritten where the provider bills the former copy on: objects live for hours, a minimum storage time
    /// is of weeks.
    fn billed_again(&self, bytes: u64) {
        if self.store.facts().storage_days_min > 0 {
            self.metrics.billed_again(bytes);
        }
    }

    /// Whether records are left where flushes wrote them until they become segments. Where each copy is billed for weeks and
    /// requests are free, a merged object saves nothing and costs as much as all its records; but it saves room for extents,
    /// so there must be plenty.
    fn spares_merging(&self, state: &State) -> bool {
        let (facts, backlog) = (self.store.facts(), state.backlog());
        facts.storage_days_min > 0 && !facts.requests_cost_money && backlog.used < backlog.cap / EXTENTS_SPARED
    }

    /// Writes an object whose bytes never differ, as often as it takes. `Ok(true)` if it stands as a fact that these bytes are
    /// there, `Ok(false)` if an object of this name is there that may be another one.
    async fn create(&self, name: &str, body: &Body) -> Result<bool, Undone> {
        let mut pause = PAUSE;
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let limit = ATTEMPT + Duration::from_secs(body.len() >> 20);
            match timeout(&*self.runtime, limit, self.put(name, body)).await {
                Ok(Ok(())) => return Ok(true),
                Ok(Err(CreateError::AlreadyExists)) => return Ok(false),
                Ok(Err(CreateError::Refused(reason))) => return Err(Undone::Store(reason)),
                Ok(Err(CreateError::Unknown(reason) | CreateError::Unavailable { reason, .. })) => last = reason,
                Err(_) => last = "no answer in time".to_owned(),
            }
            self.runtime.sleep(pause).await;
            pause *= 2;
        }
        Err(Undone::Store(last))
    }

    async fn put(&self, name: &str, body: &Body) -> Result<(), CreateError> {
        if !self.plain_puts {
            return self.store.create(name, body.clone()).await;
        }
        self.store.replace(name, body.clone()).await.map_err(|error| match error {
            ReplaceError::Unknown(reason) => CreateError::Unknown(reason),
            ReplaceError::Unavailable(reason) => CreateError::Unavailable { reason, retry_after: None },
            ReplaceError::Refused(reason) => CreateError::Refused(reason),
        })
    }

    /// A range of an object; none if there is no such object.
    async fn get(&self, name: &str, range: ReadRange, bytes: u64) -> Result<Option<bytes::Bytes>, Undone> {
        let mut pause = PAUSE;
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let limit = ATTEMPT + Duration::from_secs(bytes >> 20);
            match timeout(&*self.runtime, limit, self.store.get(name, range)).await {
                Ok(Ok(bytes)) => return Ok(Some(bytes)),
                Ok(Err(ReadError::NotFound(_))) => return Ok(None),
                Ok(Err(ReadError::Refused(reason))) => return Err(Undone::Store(reason)),
                Ok(Err(ReadError::Unavailable(reason))) => last = reason,
                Err(_) => last = "no answer in time".to_owned(),
            }
            self.runtime.sleep(pause).await;
            pause *= 2;
        }
        Err(Undone::Store(last))
    }
}
