//! Flushes whose log lives in another store: the records become an object of their own first, then the log gets a small
//! frame that commits it.
//!
//! ```text
//!   flush n   ── PUT data/…/n ─────────▶ definite ──┐
//!   flush n+1 ── PUT data/…/n+1 ──▶ definite ·······├──▶ log.append, in the order in which the buffers were closed
//!   flush n+2 ── (entries alone) ···················┘
//! ```
//!
//! What must always hold:
//! 1. A frame is appended only once its object is definite. A name belongs to one flush and its bytes never differ, so a PUT
//!    is repeated under its name until it succeeds: whichever attempt lands is right.
//! 2. Frames are appended in the order in which their buffers were closed. So one number tells which objects of a live
//!    session can still be committed: all below the oldest flush in flight are settled.
//!
//! A process that dies between the two leaves an object that nothing refers to. It is harmless, and garbage.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use kafscale_log::{AppendError, Draft, Log, Position, data};
use kafscale_runtime::{BoxFuture, Handle as Runtime, Watched, timeout};
use kafscale_state::entry::{Commit, Entry, ObjectRef};
use kafscale_store::{
    Body, ReplaceError, Store, Waiting,
    hedge::{Hedge, Slow},
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::buffer::Sealed;
use crate::metrics::Metrics;

/// An attempt without an answer is given up after this, and a second more per MiB, and repeated; it may still land.
const ATTEMPT: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Where two writes of one name must not meet, as they take one a second: the shortest pause before a repeat.
const PAUSE_SAME_NAME: Duration = Duration::from_millis(1_100);
const _: () = assert!(data::HEADER_LEN == kafscale_state::DATA_RECORDS_AT as usize, "the state counts from there");
const SLOW: Slow = Slow { at_least: Duration::from_millis(20), at_first: Duration::from_secs(1) };

/// Whose objects they are.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// The cluster.
    pub cluster_id: u128,
    /// The life of its log.
    pub generation: u64,
    /// The session that writes.
    pub session: u64,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObjectFigures {
    /// Data objects that were or are being stored.
    pub puts: u64,
    /// Attempts after the first, after a failure.
    pub repeats: u64,
    /// Attempts beside a slow one.
    pub hedges: u64,
}

/// See the module.
pub struct Objects {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    first_number: u64,
}

struct Shared {
    runtime: Runtime,
    store: Arc<dyn Store>,
    log: Arc<dyn Log>,
    owner: Owner,
    incarnation: u128,
    cluster_time_ms: Box<dyn Fn() -> i64 + Send + Sync>,
    metrics: Arc<Metrics>,
    hedge: Hedge,
    waiting: Waiting,
    puts: AtomicU64,
    repeats: AtomicU64,
    stopped: Watched<bool>,
}

struct Order {
    draft: Draft,
    /// Told when the object is definite; none if there is no object.
    stored: Option<oneshot::Receiver<()>>,
    reply: oneshot::Sender<Result<Position, AppendError>>,
}

impl Objects {
    /// Stores records in `store` and commits them in `log`.
    pub fn start(
        runtime: Runtime,
        store: Arc<dyn Store>,
        log: Arc<dyn Log>,
        owner: Owner,
        cluster_time_ms: Box<dyn Fn() -> i64 + Send + Sync>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (orders, taken) = mpsc::channel(2 * log.window());
        let (incarnation, first_number) = (runtime.random_u128(), runtime.random_u64() >> 2);
        let shared = Arc::new(Shared {
            runtime: Arc::clone(&runtime),
            store,
            log,
            owner,
            incarnation,
            cluster_time_ms,
            metrics,
            hedge: Hedge::new(SLOW),
            waiting: Waiting::default(),
            puts: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
            stopped: Watched::new(false),
        });
        runtime.spawn("commits", Box::pin(commit_in_order(Arc::clone(&shared), taken)));
        Self { shared, orders, first_number }
    }

    /// The number of the first object.
    pub fn first_number(&self) -> u64 {
        self.first_number
    }

    /// Flushes that may be on their way at once: as many as the log takes, and as many again whose records are.
    pub fn window(&self) -> usize {
        2 * self.shared.log.window()
    }

    /// Stores the records, then appends. The order of calls is that of the log.
    pub fn append(&self, sealed: Sealed) -> BoxFuture<'static, Result<Position, AppendError>> {
        let Sealed { mut entries, commit, records, number } = sealed;
        let stored = commit.zip(number).map(|(commit, number)| self.shared.put(commit, records, number, &mut entries));
        let draft = Draft { entries: entries.into(), payload: Body::default() };
        let (reply, outcome) = oneshot::channel();
        let taken = self.orders.try_send(Order { draft, stored, reply });
        Box::pin(async move {
            let stopped = || AppendError::Fenced("the write path has stopped".to_owned());
            match taken {
                Ok(()) => outcome.await.unwrap_or_else(|_| Err(stopped())),
                Err(mpsc::error::TrySendError::Closed(_)) => Err(stopped()),
                Err(mpsc::error::TrySendError::Full(_)) => {
                    Err(AppendError::Refused("too many flushes are on their way already".to_owned()))
                }
            }
        })
    }

    /// Nothing more is stored or appended.
    pub fn stop(&self) {
        self.shared.stopped.modify(|stopped| *stopped = true);
    }

    /// What was counted so far.
    pub fn figures(&self) -> ObjectFigures {
        let Shared { puts, repeats, hedge, .. } = &*self.shared;
        ObjectFigures { puts: puts.load(Relaxed), repeats: repeats.load(Relaxed), hedges: hedge.count() }
    }
}

impl Shared {
    /// Begins to store an object and adds its commit to the entries.
    fn put(
        self: &Arc<Self>,
        commit: Commit,
        records: Body,
        number: u64,
        entries: &mut Vec<u8>,
    ) -> oneshot::Receiver<()> {
        let Owner { cluster_id, generation, session } = self.owner;
        let mut section = Vec::new();
        let entry = Entry::Commit(commit);
        entry.encode(&mut section);
        let mut header = data::Header {
            id: data::DataId { cluster_id, session, number },
            generation,
            incarnation: self.incarnation,
            cluster_time_ms: (self.cluster_time_ms)(),
            records_len: 0,
            section_len: 0,
            section_hash: 0,
        };
        let body = data::encode(&mut header, &records, Bytes::from(section));
        if let Entry::Commit(commit) = entry {
            let object = ObjectRef::Data { store: 0, session, number, section_hash: header.section_hash };
            Entry::Commit(Commit { object, ..commit }).encode(entries);
        }
        let (done, stored) = oneshot::channel();
        let shared = Arc::clone(self);
        let put = async move {
            let (name, started) = (header.id.name(), shared.runtime.now());
            tokio::select! {
                biased;
                _ = shared.stopped.wait_for(|stopped| *stopped) => {}
                () = shared.store_until_definite(&name, &body) => {
                    shared.metrics.stage("data", shared.runtime.now().saturating_sub(started));
                    let _ = done.send(());
                }
            }
        };
        self.runtime.spawn("data object", Box::pin(put));
        stored
    }

    async fn store_until_definite(&self, name: &str, body: &Body) {
        self.puts.fetch_add(1, Relaxed);
        let started = self.runtime.now();
        let limit = ATTEMPT + Duration::from_secs(body.len() >> 20);
        let mut pause = if self.store.facts().may_hedge { PAUSE_MIN } else { PAUSE_SAME_NAME };
        loop {
            let fault = match timeout(&*self.runtime, limit, self.attempt(name, body)).await {
                Ok(Ok(())) => return self.waiting.answered(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {limit:?}"),
            };
            let now = self.runtime.now();
            self.waiting.tell(now, now.saturating_sub(started), name, &fault);
            self.repeats.fetch_add(1, Relaxed);
            // Jittered up to a half more, so that those that failed together do not come back together.
            let jitter = u32::try_from(self.runtime.random_u64() % 512).expect("below 512");
            self.runtime.sleep(pause + pause * jitter / 1_024).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One attempt, with others beside it if it is slow and the store bears two writes of one name.
    async fn attempt(&self, name: &str, body: &Body) -> Result<(), ReplaceError> {
        let put = || self.store.replace(name, body.clone());
        if !self.store.facts().may_hedge {
            return put().await;
        }
        self.hedge.run(&*self.runtime, body.len(), put, |_| false).await
    }
}

/// Appends what is stored, one after the other, as many at once as the log takes.
async fn commit_in_order(shared: Arc<Shared>, mut orders: mpsc::Receiver<Order>) {
    let places = Arc::new(Semaphore::new(shared.log.window()));
    loop {
        let next = async {
            let Order { draft, stored, reply } = orders.recv().await?;
            #[cfg(feature = "planted-bugs")]
            let stored = stored.filter(|_| !crate::planted::is(crate::planted::Bug::CommitsBeforeData));
            if let Some(stored) = stored {
                stored.await.ok()?;
            }
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((draft, reply, place))
        };
        let (draft, reply, place) = tokio::select! {
            biased;
            _ = shared.stopped.wait_for(|stopped| *stopped) => return,
            next = next => match next {
                Some(next) => next,
                None => return,
            },
        };
        let appended = shared.log.append(draft);
        let wait = async move {
            let outcome = appended.await;
            drop(place);
            // Whoever asked may have gone away: the frame stands all the same.
            let _ = reply.send(outcome);
        };
        shared.runtime.spawn("append", Box::pin(wait));
    }
}
