//! One broker, from start to drain.
//!
//! Start: marker, newest snapshot, then the log: taking over and replaying its tail. From then on these tasks live: the
//! applier, the flush task, the snapshotter, those that rewrite and delete, and the log's own. When the applier ends the
//! broker is over: it acknowledges nothing any more.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::future::join;
use kafscale_log::{
    BarrierError, Frame, Log, Position, Progress,
    lone::{self, Lone, OpenArgs, OpenError, Resume, names},
};
use kafscale_runtime::{BoxFuture, Handle, Runtime, timeout};
use kafscale_state::{
    FEATURE_LEVEL_KNOWN,
    entry::{self, BrokerJoined, Entry, Sequencer},
};
use kafscale_store::{Condition, Store};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::{
    ConnectionId, Settings,
    api::Session,
    background::{self, Grown},
    backlog,
    cluster::{Cluster, ClusterError, Opened},
    groups::Coordinator,
    listing::Barriers,
    metrics::Metrics,
    net::Budget,
    patient,
    read::{Cache, Mirror, Reader, View, Waiters, sessions::Sessions},
    replica::{Applier, Audience, Own, Replica, ReplicaView, Stopped},
    snapshot::{self, Snapshotter},
    stores::{Asked, Stores},
    telemetry::Telemetry,
    trial,
    write::{Objects, Outlet, Owner, ProducerIds, StateJudge, Writer},
};

/// Frames that the applier may be behind the log's reader.
const FRAMES_AHEAD: usize = 256;

/// A barrier waits so long while the log's store is known to be away.
const BARRIER_WHILE_AWAY: Duration = Duration::from_secs(1);

/// This release.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store's marker.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Its snapshots.
    #[error(transparent)]
    Snapshot(#[from] snapshot::Error),
    /// Its log.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// A newer version wrote to the log.
    #[error(
        "the log was written by a newer version than this one, {VERSION} of feature level {FEATURE_LEVEL_KNOWN}: {0}"
    )]
    Newer(String),
    /// The log was put back, or is not the one that the snapshot was made from.
    #[error(
        "the log ends before position {0}, where the newest snapshot was taken: it was put back from an older copy; nothing is \
         touched; `kafscale recover` is for this"
    )]
    LogBehind(Position),
    /// The replay.
    #[error("the log cannot be replayed: {0}")]
    Replay(String),
}

/// Why a running broker is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Another broker has taken over this store.
    Fenced(String),
    /// A newer version has written a frame that this one does not know.
    Newer(String),
    /// A frame cannot be applied, or replicas differ.
    Stopped(String),
}

impl From<Ended> for StartError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Newer(reason) => Self::Newer(reason),
            Ended::Fenced(reason) | Ended::Stopped(reason) => Self::Replay(reason),
        }
    }
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
    /// Starts a broker on stores that are its alone. It is ready when this returns.
    pub async fn start(
        stores: impl Into<Stores>,
        runtime: Handle,
        metrics: Arc<Metrics>,
        settings: Settings,
    ) -> Result<Arc<Self>, StartError> {
        let (stores, asked) = Asked::wrap(stores.into(), &runtime);
        let Opened { cluster, looks, again } = Cluster::open(&stores, &runtime, settings.look_at_stores).await?;
        let (state, again) = join(
            snapshot::load(&*stores.data, &*runtime, cluster.generation, &settings),
            trial::again(&**stores.of_log(), &runtime, again),
        )
        .await;
        again.map_err(ClusterError::from)?;
        let state = state?;
        if let (Some(log), position @ 1..) = (&stores.log, state.position()) {
            require_frame(&**log, &*runtime, cluster.generation, position).await?;
        }
        let resume = Resume {
            progress: Progress { position: state.position(), digest: state.digest() },
            session: state.session(),
            cluster_time_ms: state.cluster_time_ms(),
        };
        let replica = Arc::new(Replica::new(state));
        let cache = Arc::new(Cache::new(settings.cache_bytes));
        let waiters = Arc::new(Waiters::default());
        let own = Arc::new(OnceLock::new());
        let view = ReplicaView { replica: Arc::clone(&replica), own: Arc::clone(&own), cluster, asked: asked.clone() };
        let view: Arc<dyn View> = Arc::new(view);
        let grown = Arc::<Grown>::default();
        let mirror = stores.mirror.clone().map(|mirror| Mirror::new(mirror, Arc::clone(&runtime), cluster.id));
        let mirror = mirror.map(Arc::new);
        let audience = Audience {
            cache: Arc::clone(&cache),
            waiters: Arc::clone(&waiters),
            mirror: mirror.clone(),
            grown: Arc::clone(&grown),
        };
        let (known, data, memory) = (Arc::clone(&view), Arc::clone(&stores.data), Arc::clone(&cache));
        let reader = Reader::new(Arc::clone(&runtime), known, data, mirror, memory, waiters);
        let applier = Applier {
            replica: Arc::clone(&replica),
            readers: Arc::new(audience),
            metrics: Arc::clone(&metrics),
            own: Arc::clone(&own),
        };
        let (frames, replayed) = mpsc::channel(FRAMES_AHEAD);
        let (end, ended) = watch::channel(None);
        spawn_applier(&runtime, applier, replayed, end);
        let (lone, opened) = match lone::open(open_args(
            stores.of_log(),
            &runtime,
            &replica,
            cluster,
            resume,
            frames,
            &settings,
        ))
        .await
        {
            Err(OpenError::Abandoned) => return Err(wait_ended(ended).await.into()),
            opened => opened?,
        };
        let writer = start_writer(&stores, &asked, &runtime, &lone, cluster, &replica, &metrics, &settings);
        let this = Own { lone: Arc::clone(&lone), writer: writer.clone(), opened };
        assert!(own.set(this).is_ok(), "the log is opened once");
        if !replica.wait_applied(opened.tail).await {
            return Err(wait_ended(ended).await.into());
        }
        let budget = Budget::new(settings.request_memory as u64, settings.request_bytes_max as u64);
        let producer_ids = ProducerIds::default();
        let groups = Coordinator::start(
            Arc::clone(&runtime),
            Arc::clone(&lone),
            Arc::clone(&replica),
            writer.clone(),
            settings.groups.clone(),
        );
        let broker = Arc::new(Self {
            stores,
            asked,
            settings,
            cluster,
            runtime,
            lone,
            replica,
            writer,
            producer_ids,
            reader,
            fetch_sessions: Mutex::default(),
            config_changes: tokio::sync::Mutex::default(),
            telemetry: Telemetry::default(),
            groups,
            barriers: Barriers::default(),
            budget,
            metrics,
            ended,
        });
        for look in looks {
            let (runtime, lone, replica) =
                (Arc::clone(&broker.runtime), Arc::clone(&broker.lone), Arc::clone(&broker.replica));
            broker.runtime.spawn("trial", Box::pin(look.run(runtime, lone, replica)));
        }
        broker.runtime.spawn("snapshots", Box::pin(broker.snapshotter().run(resume.progress.position)));
        background::start(background::Context {
            store: Arc::clone(&broker.stores.data),
            log_store: Arc::clone(broker.stores.of_log()),
            plain_puts: broker.stores.log.is_some(),
            runtime: Arc::clone(&broker.runtime),
            log: Arc::clone(&broker.lone),
            replica: Arc::clone(&broker.replica),
            writer: broker.writer.clone(),
            view,
            cache,
            metrics: Arc::clone(&broker.metrics),
            cluster,
            node_id: broker.settings.node_id,
            settings: broker.settings.life.clone(),
            grown,
            settled: Mutex::default(),
        });
        Ok(broker)
    }
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

    /// All metrics as OpenMetrics text, with what cache, state, log and budgets say now.
    pub fn metrics_text(&self) -> String {
        let (hits, misses) = self.reader.cache().hits_and_misses();
        let loads = self.reader.loader().counts();
        let (backlog, live, segments) =
            self.replica.read(|state| (state.backlog(), state.object_count(), state.segment_count()));
        let log = self.lone.figures();
        let (groups, members) = self.groups.counts();
        let objects = self.writer.object_figures();
        let mirror = self.reader.mirror().map(|mirror| mirror.counts()).unwrap_or_default();
        for (name, value) in [
            ("cache_hits", hits),
            ("cache_misses", misses),
            ("cache_bytes", self.reader.cache().bytes()),
            ("cache_capacity_bytes", self.reader.cache().capacity()),
            ("load_gets", loads.gets),
            ("load_bytes", loads.bytes),
            ("load_failures", loads.failed),
            ("read_hedges", self.read_hedges()),
            ("store_complaints", self.stores.data.throttled().times),
            ("store_condition", self.asked.worst().condition as u64),
            ("read_replica_hits", mirror.hits),
            ("read_replica_misses", mirror.misses),
            ("read_replica_failures", mirror.failures + mirror.wrong),
            ("read_replica_skipped", mirror.skipped),
            ("read_replica_lag_ms", mirror.lag_ms),
            ("request_memory_bytes", self.budget.used()),
            ("request_memory_limit_bytes", self.budget.limit()),
            ("extents", backlog.used),
            ("extents_limit", backlog.cap),
            ("objects", live as u64),
            ("segments", segments),
            ("groups", groups),
            ("group_members", members),
            ("log_tail", log.tail),
            ("log_creates", log.creates),
            ("log_repeats", log.repeats),
            ("log_hedges", log.hedges),
            ("log_read_backs", log.read_backs),
            ("log_barriers", log.barriers),
            ("data_puts", objects.puts),
            ("data_repeats", objects.repeats),
            ("data_hedges", objects.hedges),
        ] {
            self.metrics.reading(name, value);
        }
        let of_log = self.stores.log.as_ref().and_then(|log| log.pace());
        for (names, pace) in [
            (["store_writes_per_second", "store_reads_per_second", "store_waited"], self.stores.data.pace()),
            (["log_store_writes_per_second", "log_store_reads_per_second", "log_store_waited"], of_log),
        ] {
            let Some(pace) = pace else { continue };
            for (name, value) in names.into_iter().zip([pace.writes_per_second, pace.reads_per_second, pace.waited]) {
                self.metrics.reading(name, value);
            }
        }
        self.metrics.encode()
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

fn open_args(
    store: &Arc<dyn Store>,
    runtime: &Handle,
    replica: &Arc<Replica>,
    cluster: Cluster,
    resume: Resume,
    frames: mpsc::Sender<Frame>,
    settings: &Settings,
) -> OpenArgs {
    let joined = BrokerJoined {
        session: 0,
        node_id: settings.node_id,
        host: settings.advertised_host.clone(),
        port: settings.advertised_port,
        rack: settings.rack.clone(),
        feature_level_known: FEATURE_LEVEL_KNOWN,
    };
    let take_over_entries = move |session| {
        entry::encode(&[
            Entry::Cluster(entry::Cluster { cluster_id: cluster.id }),
            Entry::Sequencer(Sequencer { session }),
            Entry::BrokerJoined(BrokerJoined { session, ..joined.clone() }),
        ])
    };
    let replica = Arc::clone(replica);
    let applied = move |position| -> BoxFuture<'static, bool> {
        let replica = Arc::clone(&replica);
        Box::pin(async move { replica.wait_applied(position).await })
    };
    OpenArgs {
        store: Arc::clone(store),
        runtime: Arc::clone(runtime),
        cluster_id: cluster.id,
        generation: cluster.generation,
        resume,
        take_over_entries: Box::new(take_over_entries),
        frames,
        applied: Box::new(applied),
        settings: lone::Settings::default(),
    }
}

/// Refuses a log that ends before `position`: only a log that lives apart from the snapshots can.
async fn require_frame(
    log: &dyn Store,
    runtime: &dyn Runtime,
    generation: u64,
    position: Position,
) -> Result<(), StartError> {
    let (frames, before) = (names::frames(generation), names::frame(generation, position - 1));
    let found = patient::read(runtime, &frames, 0, || log.list(&frames, &before, 1)).await;
    let found = found.map_err(ClusterError::Read)?;
    if found.is_empty() { Err(StartError::LogBehind(position)) } else { Ok(()) }
}

#[expect(clippy::too_many_arguments, reason = "it is called once")]
fn start_writer(
    stores: &Stores,
    asked: &Asked,
    runtime: &Handle,
    lone: &Arc<Lone>,
    cluster: Cluster,
    replica: &Arc<Replica>,
    metrics: &Arc<Metrics>,
    settings: &Settings,
) -> Writer {
    let judge = Arc::new(StateJudge(Arc::clone(replica)));
    let (runtime, metrics) = (Arc::clone(runtime), Arc::clone(metrics));
    let log: Arc<dyn Log> = Arc::<Lone>::clone(lone);
    let outlet = if stores.log.is_some() {
        let owner = Owner { cluster_id: cluster.id, generation: cluster.generation, session: lone.session() };
        let clock = Arc::clone(lone);
        let time = Box::new(move || clock.cluster_time_ms());
        let (runtime, store, metrics) = (Arc::clone(&runtime), Arc::clone(&stores.data), Arc::clone(&metrics));
        Outlet::Objects(Objects::start(runtime, store, log, owner, time, metrics))
    } else {
        Outlet::Frames(log)
    };
    let bytes_max = settings.request_memory.max(2 * settings.request_bytes_max) as u64;
    let asked = asked.clone();
    let is_away = Box::new(move || asked.is_away());
    Writer::start(runtime, outlet, judge, settings.latency, stores.facts(), bytes_max, is_away, metrics)
}

fn spawn_applier(runtime: &Handle, applier: Applier, frames: mpsc::Receiver<Frame>, end: watch::Sender<Option<Ended>>) {
    let own = Arc::clone(&applier.own);
    let run = async move {
        let stopped = applier.run(frames).await;
        let own = own.get();
        let fenced = own.and_then(|own| own.lone.fenced());
        if let Some(own) = own {
            own.writer.stop();
        }
        end.send_replace(Some(match (stopped, fenced) {
            (Stopped::LogEnded, Some(reason)) => Ended::Fenced(reason),
            (Stopped::Unapplicable { error, .. }, _) if error.is_newer_version() => Ended::Newer(error.to_string()),
            (stopped, _) => Ended::Stopped(stopped.to_string()),
        }));
    };
    runtime.spawn("applier", Box::pin(run));
}

async fn wait_ended(mut ended: watch::Receiver<Option<Ended>>) -> Ended {
    let over = ended.wait_for(Option::is_some).await;
    over.ok().and_then(|over| over.clone()).unwrap_or_else(|| Ended::Stopped("the applier is gone".to_owned()))
}
