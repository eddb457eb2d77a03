//! The start of a broker: marker, newest snapshot, then the log, which is taken over and whose tail is replayed.
//!
//! From then on these tasks live: the applier, the flush task, the snapshotter, those that rewrite and delete, and the log's
//! own.

use std::sync::{Arc, OnceLock};

use futures_util::future::join;
use kafscale_log::{
    Frame, Log, Position, Progress,
    lone::{self, Lone, OpenArgs, OpenError, Resume, names},
};
use kafscale_runtime::{BoxFuture, Handle, Runtime};
use kafscale_state::{
    FEATURE_LEVEL_KNOWN, State,
    entry::{self, BrokerJoined, Entry, Sequencer},
};
use kafscale_store::Store;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::{Broker, Ended, wait_ended};
use crate::{
    Settings,
    background::{self, Changed, Grown, Turns},
    cluster::{self, Cluster, ClusterError},
    groups::Coordinator,
    listing::Barriers,
    metrics::Metrics,
    net::Budget,
    patient,
    read::{Cache, Mirror, Reader, View, Waiters},
    replica::{Applier, Audience, Own, Replica, ReplicaView, Stopped},
    snapshot,
    stores::{Asked, Stores},
    telemetry::Telemetry,
    trial,
    write::{Objects, Outlet, Owner, ProducerIds, StateJudge, Writer},
};

/// Frames that the applier may be behind the log's reader.
const FRAMES_AHEAD: usize = 256;

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

impl From<Ended> for StartError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Newer(reason) => Self::Newer(reason),
            Ended::Fenced(reason) | Ended::Stopped(reason) => Self::Replay(reason),
        }
    }
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
        let (opened, state) = load(&stores, &runtime, &settings).await?;
        let cluster = opened.cluster;
        let resume = Resume {
            progress: Progress { position: state.position(), digest: state.digest() },
            session: state.session(),
            cluster_time_ms: state.cluster_time_ms(),
        };
        let replica = Arc::new(Replica::new(state));
        let begun = Begun { stores, asked, settings, cluster, runtime, metrics, replica };
        let own = Arc::new(OnceLock::new());
        let (read, audience) = begun.read_path(&own);
        let (lone, writer, ended) = begun.open_log(own, audience, resume).await?;
        let (runtime, replica) = (Arc::clone(&begun.runtime), Arc::clone(&begun.replica));
        for look in opened.looks {
            runtime.spawn("trial", Box::pin(look.run(Arc::clone(&runtime), Arc::clone(&lone), Arc::clone(&replica))));
        }
        let jobs = begun.jobs(&read, &lone, &writer);
        let broker = Arc::new(begun.into_broker(read.reader, lone, writer, ended));
        runtime.spawn("snapshots", Box::pin(broker.snapshotter().run(resume.progress.position)));
        background::start(jobs);
        Ok(broker)
    }
}

/// The markers, and the state as the newest snapshot has it.
async fn load(stores: &Stores, runtime: &Handle, settings: &Settings) -> Result<(cluster::Opened, State), StartError> {
    let mut opened = Cluster::open(stores, runtime, settings.look_at_stores).await?;
    let generation = opened.cluster.generation;
    let (state, again) = join(
        snapshot::load(&*stores.data, &**runtime, generation, settings),
        trial::again(&**stores.of_log(), runtime, opened.again.take()),
    )
    .await;
    again.map_err(ClusterError::from)?;
    let state = state?;
    if let (Some(log), position @ 1..) = (&stores.log, state.position()) {
        require_frame(&**log, &**runtime, generation, position).await?;
    }
    Ok((opened, state))
}

/// What a broker is made of before its log is open.
struct Begun {
    stores: Stores,
    asked: Asked,
    settings: Settings,
    cluster: Cluster,
    runtime: Handle,
    metrics: Arc<Metrics>,
    replica: Arc<Replica>,
}

/// What reads, and what it shares with the jobs that rewrite.
struct ReadPath {
    reader: Reader,
    view: Arc<dyn View>,
    cache: Arc<Cache>,
    grown: Arc<Grown>,
    changed: Arc<Changed>,
}

impl Begun {
    /// The read path, and what it hears from the applier.
    fn read_path(&self, own: &Arc<OnceLock<Own>>) -> (ReadPath, Audience) {
        let Self { stores, asked, settings, cluster, runtime, replica, .. } = self;
        let cache = Arc::new(Cache::new(settings.cache_bytes));
        let waiters = Arc::new(Waiters::default());
        let (grown, changed) = (Arc::<Grown>::default(), Arc::<Changed>::default());
        let (replica, own) = (Arc::clone(replica), Arc::clone(own));
        let view: Arc<dyn View> = Arc::new(ReplicaView { replica, own, cluster: *cluster, asked: asked.clone() });
        let mirror = stores.mirror.clone().map(|mirror| Mirror::new(mirror, Arc::clone(runtime), cluster.id));
        let mirror = mirror.map(Arc::new);
        let audience = Audience {
            cache: Arc::clone(&cache),
            waiters: Arc::clone(&waiters),
            mirror: mirror.clone(),
            grown: Arc::clone(&grown),
            changed: Arc::clone(&changed),
        };
        let (known, data, memory) = (Arc::clone(&view), Arc::clone(&stores.data), Arc::clone(&cache));
        let reader = Reader::new(Arc::clone(runtime), known, data, mirror, memory, waiters);
        (ReadPath { reader, view, cache, grown, changed }, audience)
    }

    /// Takes the log over and applies its tail; the write path into it, and what tells when it is over.
    async fn open_log(
        &self,
        own: Arc<OnceLock<Own>>,
        audience: Audience,
        resume: Resume,
    ) -> Result<(Arc<Lone>, Writer, watch::Receiver<Option<Ended>>), StartError> {
        let applier = Applier {
            replica: Arc::clone(&self.replica),
            readers: Arc::new(audience),
            metrics: Arc::clone(&self.metrics),
            own: Arc::clone(&own),
        };
        let (frames, replayed) = mpsc::channel(FRAMES_AHEAD);
        let (end, ended) = watch::channel(None);
        spawn_applier(&self.runtime, applier, replayed, end);
        let (lone, opened) = match lone::open(self.open_args(resume, frames)).await {
            Err(OpenError::Abandoned) => return Err(wait_ended(ended).await.into()),
            opened => opened?,
        };
        let writer = self.writer(&lone);
        let tail = opened.tail;
        let this = Own { lone: Arc::clone(&lone), writer: writer.clone(), opened };
        assert!(own.set(this).is_ok(), "the log is opened once");
        if !self.replica.wait_applied(tail).await {
            return Err(wait_ended(ended).await.into());
        }
        Ok((lone, writer, ended))
    }

    fn open_args(&self, resume: Resume, frames: mpsc::Sender<Frame>) -> OpenArgs {
        let Self { settings, cluster, .. } = self;
        let cluster_id = cluster.id;
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
                Entry::Cluster(entry::Cluster { cluster_id }),
                Entry::Sequencer(Sequencer { session }),
                Entry::BrokerJoined(BrokerJoined { session, ..joined.clone() }),
            ])
        };
        let replica = Arc::clone(&self.replica);
        let applied = move |position| -> BoxFuture<'static, bool> {
            let replica = Arc::clone(&replica);
            Box::pin(async move { replica.wait_applied(position).await })
        };
        OpenArgs {
            store: Arc::clone(self.stores.of_log()),
            runtime: Arc::clone(&self.runtime),
            cluster_id,
            generation: cluster.generation,
            resume,
            take_over_entries: Box::new(take_over_entries),
            frames,
            applied: Box::new(applied),
            settings: lone::Settings::default(),
        }
    }

    fn writer(&self, lone: &Arc<Lone>) -> Writer {
        let Self { stores, settings, cluster, .. } = self;
        let judge = Arc::new(StateJudge(Arc::clone(&self.replica)));
        let (runtime, metrics) = (Arc::clone(&self.runtime), Arc::clone(&self.metrics));
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
        let asked = self.asked.clone();
        let is_away = Box::new(move || asked.is_away());
        Writer::start(runtime, outlet, judge, settings.latency, stores.facts(), bytes_max, is_away, metrics)
    }

    /// What the jobs that rewrite and delete share.
    fn jobs(&self, read: &ReadPath, lone: &Arc<Lone>, writer: &Writer) -> background::Context {
        background::Context {
            store: Arc::clone(&self.stores.data),
            log_store: Arc::clone(self.stores.of_log()),
            plain_puts: self.stores.log.is_some(),
            runtime: Arc::clone(&self.runtime),
            log: Arc::clone(lone),
            replica: Arc::clone(&self.replica),
            writer: writer.clone(),
            view: Arc::clone(&read.view),
            cache: Arc::clone(&read.cache),
            metrics: Arc::clone(&self.metrics),
            cluster: self.cluster,
            node_id: self.settings.node_id,
            settings: self.settings.life.clone(),
            grown: Arc::clone(&read.grown),
            changed: Arc::clone(&read.changed),
            settled: Mutex::default(),
            turns: Turns::default(),
        }
    }

    fn into_broker(
        self,
        reader: Reader,
        lone: Arc<Lone>,
        writer: Writer,
        ended: watch::Receiver<Option<Ended>>,
    ) -> Broker {
        let Self { stores, asked, settings, cluster, runtime, metrics, replica } = self;
        let groups = Coordinator::start(
            Arc::clone(&runtime),
            Arc::clone(&lone),
            Arc::clone(&replica),
            writer.clone(),
            settings.groups.clone(),
        );
        Broker {
            budget: Budget::new(settings.request_memory as u64, settings.request_bytes_max as u64),
            stores,
            asked,
            settings,
            cluster,
            runtime,
            lone,
            replica,
            writer,
            producer_ids: ProducerIds::default(),
            reader,
            fetch_sessions: Mutex::default(),
            config_changes: tokio::sync::Mutex::default(),
            telemetry: Telemetry::default(),
            groups,
            barriers: Barriers::default(),
            metrics,
            ended,
        }
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
