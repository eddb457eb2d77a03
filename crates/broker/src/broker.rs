//! One broker while it runs, and what its parts are to those who answer clients.
//!
//! When the applier ends the broker is over: it acknowledges nothing any more.

mod figures;
mod start;

use std::{sync::Arc, time::Duration};

use kafscale_log::{BarrierError, lone::Lone};
use kafscale_runtime::{Handle, timeout};
use kafscale_store::Condition;
use parking_lot::Mutex;
use tokio::sync::watch;

pub use start::StartError;

use crate::{
    ConnectionId, Settings,
    api::Session,
    backlog,
    cluster::Cluster,
    groups::Coordinator,
    listing::Barriers,
    metrics::Metrics,
    net::Budget,
    read::{Reader, sessions::Sessions},
    replica::Replica,
    snapshot::Snapshotter,
    stores::{Asked, Stores},
    telemetry::Telemetry,
    write::{ProducerIds, Writer},
};

/// A barrier waits so long while the log's store is known to be away.
const BARRIER_WHILE_AWAY: Duration = Duration::from_secs(1);

/// Why a running broker is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Another broker has taken over this store, or the store has lost what it had confirmed.
    Fenced(String),
    /// A newer version has written a frame that this one does not know.
    Newer(String),
    /// A frame cannot be applied, or replicas differ.
    Stopped(String),
}

/// One broker.
pub struct Broker {
    stores: Stores,
    asked: Asked,
    settings: Settings,
    cluster: Cluster,
    runtime: Handle,
    lone: Arc<Lone>,
    replica: Arc<Replica>,
    writer: Writer,
    producer_ids: ProducerIds,
    reader: Reader,
    fetch_sessions: Mutex<Sessions>,
    config_changes: tokio::sync::Mutex<()>,
    telemetry: Telemetry,
    groups: Coordinator,
    barriers: Barriers,
    budget: Budget,
    metrics: Arc<Metrics>,
    ended: watch::Receiver<Option<Ended>>,
}

impl Broker {
    /// One connection's side of this broker. `host` is where its client is, as groups show it.
    pub fn session(self: &Arc<Self>, id: ConnectionId, host: &str) -> Arc<Session> {
        Arc::new(Session::new(Arc::clone(self), id, host))
    }

    /// Waits until this replica has applied everything that was appended anywhere before the call. Answers that claim an
    /// end or an absence come after it.
    pub async fn barrier(&self) -> Result<(), BarrierError> {
        let barrier = self.replica.barrier(&*self.lone);
        let reached = if self.asked.is_log_away() {
            // It is asked all the same, since this is how one learns that it is back.
            let late = || BarrierError::Unavailable("the store does not answer".to_owned());
            timeout(&*self.runtime, BARRIER_WHILE_AWAY, barrier).await.unwrap_or_else(|_| Err(late()))
        } else {
            barrier.await
        };
        self.barriers.ended(&reached);
        reached
    }

    /// How the last barriers ended.
    pub(crate) fn barriers(&self) -> &Barriers {
        &self.barriers
    }

    /// Why this broker commits nothing more, if another one has taken over.
    pub(crate) fn fenced(&self) -> Option<String> {
        self.lone.fenced()
    }

    /// What takes snapshots of this broker. One runs from the start; another may take one at any time.
    pub fn snapshotter(&self) -> Snapshotter {
        Snapshotter {
            store: Arc::clone(&self.stores.data),
            plain_puts: self.stores.log.is_some(),
            runtime: Arc::clone(&self.runtime),
            log: Arc::clone(&self.lone),
            replica: Arc::clone(&self.replica),
            metrics: Arc::clone(&self.metrics),
            generation: self.cluster.generation,
            frames: self.settings.snapshot_frames,
            part_bytes: self.settings.snapshot_part_bytes,
        }
    }

    /// Flushes and answers what was taken in; long polls are answered with what there is.
    pub async fn drain(&self) {
        self.reader.end_waits();
        self.groups.end();
        self.writer.drain().await;
    }

    /// Completes when this broker is over.
    pub async fn ended(&self) -> Ended {
        tokio::select! {
            biased;
            ended = wait_ended(self.ended.clone()) => ended,
            reason = self.writer.refused() => Ended::Stopped(reason),
        }
    }

    /// Whether it takes writes now: not over, and the store confirms.
    pub fn is_ready(&self) -> bool {
        self.readiness().is_ok()
    }

    /// Whether it takes writes now, and what there is to say about it.
    pub fn readiness(&self) -> Result<Option<String>, String> {
        if self.ended.borrow().is_some() || self.writer.is_stopped() {
            return Err("this broker is over".to_owned());
        }
        let worst = self.asked.worst();
        if self.writer.is_stalled() || worst.condition == Condition::Unavailable {
            return Err(format!("the store does not confirm writes ({worst})"));
        }
        Ok((worst.condition == Condition::Degraded).then(|| format!("the store is {worst}")))
    }

    /// The cluster time in Unix milliseconds: what the store's clock says, where it has one.
    pub fn cluster_time_ms(&self) -> i64 {
        self.lone.cluster_time_ms()
    }

    /// How many extra attempts were made beside slow reads of the store.
    pub fn read_hedges(&self) -> u64 {
        self.asked.hedges()
    }

    /// How long producers are asked to wait, see [`backlog`].
    pub fn throttle_ms(&self) -> i32 {
        let backlog = backlog::throttle_ms(self.replica.read(|state| state.backlog()));
        backlog.max(backlog::throttle_for(self.asked.worst().condition))
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Which cluster this is.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Time, randomness, tasks.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// This broker's copy of the state.
    pub fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    /// The write path.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Producer ids.
    pub fn producer_ids(&self) -> &ProducerIds {
        &self.producer_ids
    }

    /// The read path.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Incremental fetch sessions of all connections.
    pub fn fetch_sessions(&self) -> &Mutex<Sessions> {
        &self.fetch_sessions
    }

    /// Client instances that push their metrics.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Held while settings are read, changed and written: a change of a list depends on what it was.
    pub fn config_changes(&self) -> &tokio::sync::Mutex<()> {
        &self.config_changes
    }

    /// Groups.
    pub fn groups(&self) -> &Coordinator {
        &self.groups
    }

    /// Memory for requests.
    pub fn request_budget(&self) -> &Budget {
        &self.budget
    }

    /// Counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}

async fn wait_ended(mut ended: watch::Receiver<Option<Ended>>) -> Ended {
    let over = ended.wait_for(Option::is_some).await;
    over.ok().and_then(|over| over.clone()).unwrap_or_else(|| Ended::Stopped("the applier is gone".to_owned()))
}
