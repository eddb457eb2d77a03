//! A deployment for the stories: a bucket, the broker's processes one after the other (or beside each other), and clients
//! of several kinds around them, on a node of their own that nobody kills.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::{Either, select};
use kafscale_broker::{Broker, Latency, Settings, Stores, metrics::Metrics, read::sessions::Sessions};
use kafscale_records::Codec;
use kafscale_runtime::{Runtime, timeout};
use kafscale_state::invariants;
use kafscale_store::Store;
use parking_lot::Mutex;

use super::Stage;
use crate::{
    below::Below,
    client::{
        Partition, admin,
        consumer::{Consumer, Habits},
        link::{Brokers, Link, Lost},
        producer::{self, Plan},
    },
    executor::{Call, Node},
    rng::Rng,
    store::{Bucket, Side},
};

/// A start that takes longer is given up, as a supervisor would.
const START_LIMIT: Duration = Duration::from_secs(200);

/// In so many of a thousand seeds the log lives in a store of its own.
const LOG_APART: u64 = 350;

/// Rounds of the supervisor between two looks at the brokers' states.
const INSPECTED_EVERY: u64 = 150;

/// Makes the store of a process.
pub(super) type StoreOf = Arc<dyn Fn(&Node) -> Arc<dyn Store> + Send + Sync>;

/// Clients at work.
type Tasks = Arc<Mutex<Vec<Call<Result<(), String>>>>>;

/// See the module. Cloning gives another handle.
#[derive(Clone)]
pub(super) struct Deployment {
    pub stage: Stage,
    pub brokers: Brokers,
    pub clients: Node,
    store_of: StoreOf,
    pub settings: Settings,
    /// Whether the log lives in a store of its own.
    log_apart: bool,
    /// Fetch sessions that a broker has room for.
    pub session_slots: Option<usize>,
    started: Arc<AtomicU64>,
    digests: Arc<Mutex<BTreeMap<u64, u128>>>,
    stop: Arc<AtomicBool>,
    /// Producers: they end by themselves.
    working: Tasks,
    /// Everybody else: they are stopped.
    watching: Tasks,
}

impl Deployment {
    pub fn new(stage: &Stage, rng: &mut Rng, store_of: StoreOf) -> Self {
        let latency = *rng.pick(&[Latency::Economical, Latency::Balanced, Latency::Fast]);
        Self {
            stage: stage.clone(),
            brokers: Brokers::default(),
            clients: stage.world.node("clients"),
            store_of,
            settings: Settings { latency, snapshot_frames: rng.within(5..=40), ..Settings::default() },
            log_apart: stage.world.rng("log apart").chance(LOG_APART),
            session_slots: None,
            started: Arc::default(),
            digests: Arc::default(),
            stop: Arc::default(),
            working: Arc::default(),
            watching: Arc::default(),
        }
    }

    /// Processes over one bucket.
    pub fn on_bucket(stage: &Stage, rng: &mut Rng, bucket: &Bucket) -> Self {
        let bucket = bucket.clone();
        Self::new(stage, rng, Arc::new(move |node| bucket.client(node)))
    }

    /// Processes over one bucket of which the first, so many, die each at one of these calls; the last one lives.
    pub fn with_crashes(
        stage: &Stage,
        rng: &mut Rng,
        bucket: &Bucket,
        many: RangeInclusive<u64>,
        calls: RangeInclusive<u64>,
    ) -> Self {
        let crashes = Mutex::new((rng.within(many), rng.fork(9)));
        let bucket = bucket.clone();
        let store_of = move |node: &Node| {
            let client = bucket.client(node);
            let (left, rng) = &mut *crashes.lock();
            if *left > 0 {
                *left -= 1;
                node.world().mark("crashed");
                client.crash_at(rng.within(calls.clone()), *rng.clone().pick(&[Side::Before, Side::After]));
            }
            client as Arc<dyn Store>
        };
        Self::new(stage, rng, Arc::new(store_of))
    }

    /// Starts one process on `node`; nothing if it died, or gave up for a reason that passes.
    pub async fn start_on(&self, node: &Node) -> Result<Option<Arc<Broker>>, String> {
        let mut stores = Stores::from((self.store_of)(node));
        if self.log_apart {
            self.stage.world.mark("log apart");
            stores.log = Some(Below::of(Arc::clone(&stores.data), "log-store/"));
        }
        let start = Broker::start(stores, node.runtime(), Arc::new(Metrics::default()), self.settings.clone());
        let call = node.call("start", start);
        let outcome = match timeout(&self.clients, START_LIMIT, call).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => {
                self.stage.world.mark("died while starting");
                return Ok(None);
            }
            Err(_) => {
                self.stage.world.mark("start hung");
                node.kill();
                return Ok(None);
            }
        };
        match outcome {
            Ok(broker) => {
                if let Some(slots) = self.session_slots {
                    *broker.fetch_sessions().lock() = Sessions::new(slots);
                }
                self.brokers.add(node, Arc::clone(&broker));
                Ok(Some(broker))
            }
            Err(error) => {
                node.kill();
                let text = error.to_string();
                self.stage.world.note(&format!("{} did not start: {text}", node.name()));
                if ["unavailable", "simulated 503", "simulated cut"].iter().any(|word| text.contains(word)) {
                    self.stage.world.mark("start gave up");
                    Ok(None)
                } else {
                    Err(format!("{} cannot start: {text}", node.name()))
                }
            }
        }
    }

    /// A node for the next process.
    pub fn next_node(&self) -> Node {
        self.stage.world.node(format!("broker-{}", self.started.fetch_add(1, Relaxed)))
    }

    /// Starts processes until one is up.
    pub async fn start(&self) -> Result<Node, String> {
        for _ in 0..200 {
            let node = self.next_node();
            if self.start_on(&node).await?.is_some() {
                return Ok(node);
            }
            self.stage.world.sleep(Duration::from_millis(500)).await;
        }
        Err("no process comes up".into())
    }

    /// Tells `story` while a supervisor keeps a process up. If none comes up any more, that is the story's end.
    pub async fn supervised(&self, story: impl Future<Output = Result<(), String>>) -> Result<(), String> {
        let supervisor = async {
            for round in 0_u64.. {
                if self.brokers.alive().is_empty() {
                    self.start().await?;
                }
                if round.is_multiple_of(INSPECTED_EVERY) {
                    self.inspect()?;
                }
                self.stage.world.sleep(Duration::from_millis(200)).await;
            }
            unreachable!("nobody counts so far")
        };
        match select(pin!(story), pin!(supervisor)).await {
            Either::Left((told, _)) => told,
            Either::Right((ended, _)) => ended,
        }
    }

    /// Checks the named invariants of every living broker's state, and that equal positions have equal digests.
    fn inspect(&self) -> Result<(), String> {
        for running in self.brokers.alive() {
            let (position, digest) = running.broker.replica().read(|state| {
                let name = running.node.name();
                invariants::check(state).map_err(|broken| format!("{name}: {broken}"))?;
                Ok::<_, String>((state.position(), state.digest()))
            })?;
            if running.broker.read_hedges() > 0 {
                self.stage.world.mark("read asked again");
            }
            let before = *self.digests.lock().entry(position).or_insert(digest);
            if before != digest {
                return Err(format!("two states differ at position {position}: {before:x} and {digest:x}"));
            }
        }
        Ok(())
    }

    pub async fn create_topics(&self, rng: &mut Rng) -> Result<Vec<Partition>, String> {
        let mut partitions = Vec::new();
        for index in 0..rng.within(1..=3) {
            let (name, count) = (format!("topic-{index}").into(), i32::try_from(rng.within(1..=4)).expect("few"));
            partitions.extend(admin::create_topic(&self.clients, &self.brokers, &name, count, &[]).await?);
        }
        Ok(partitions)
    }

    /// A few producers and consumers over these partitions, and somebody who asks for their ends.
    pub fn load(&self, rng: &mut Rng, partitions: &[Partition], fragile: u64) {
        self.load_at(rng, partitions, Habits { fragile, pause_max: Duration::from_millis(50), in_session: false });
    }

    /// The same, at this pace.
    pub fn load_at(&self, rng: &mut Rng, partitions: &[Partition], habits: Habits) {
        self.produce_at(rng, partitions, habits);
        for _ in 0..rng.within(1..=2) {
            let (node, brokers, history) = (self.clients.clone(), self.brokers.clone(), self.stage.history.clone());
            let consumer = Consumer::new(node, brokers, history, partitions, habits);
            self.watching.lock().push(self.clients.call("consumer", consumer.run(Arc::clone(&self.stop))));
        }
        self.watching
            .lock()
            .push(self.clients.call("asker", self.clone().ask_ends(partitions.to_vec(), habits.pause_max * 30)));
    }

    /// A few producers over these partitions.
    pub fn produce_at(&self, rng: &mut Rng, partitions: &[Partition], habits: Habits) {
        for _ in 0..rng.within(1..=3) {
            let own = (0..rng.within(1..=partitions.len() as u64)).map(|_| rng.pick(partitions).clone());
            let mut own: Vec<Partition> = own.collect();
            own.sort_by_key(|partition| (partition.id, partition.index));
            own.dedup();
            let plan = Plan {
                idempotent: rng.chance(700),
                partitions: own,
                batches: usize::try_from(rng.within(1..=40)).expect("few"),
                records_max: rng.within(1..=8),
                in_flight_max: usize::try_from(rng.within(1..=5)).expect("few"),
                pause_max: habits.pause_max * *rng.pick(&[0, 1, 4, 40]),
                fragile: habits.fragile,
                may_vanish: false,
                gives_up: *rng.pick(&[0, 0, 300]),
                codec: *rng.pick(&Codec::ALL),
                key_bytes: 0,
            };
            let (node, brokers, history) = (self.clients.clone(), self.brokers.clone(), self.stage.history.clone());
            self.working.lock().push(self.clients.call("producer", producer::run(node, brokers, history, plan)));
        }
    }

    /// One partition more for a topic, however often that takes; the new one.
    pub async fn grow(&self, topic: &Arc<str>) -> Result<Option<Partition>, String> {
        self.stage.world.mark("topic grown");
        admin::grow(&self.clients, &self.brokers, topic).await
    }

    /// Somebody who ends by himself.
    pub fn work(&self, name: &'static str, task: impl Future<Output = Result<(), String>> + Send + 'static) {
        self.working.lock().push(self.clients.call(name, task));
    }

    /// Somebody who goes on until [`stop`](Self::stop) is set.
    pub fn watch(&self, name: &'static str, task: impl Future<Output = Result<(), String>> + Send + 'static) {
        self.watching.lock().push(self.clients.call(name, task));
    }

    /// Set when those who do not end by themselves shall.
    pub fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Creates a topic, writes to it and deletes it while that goes on, again and again under one name.
    pub fn churn(&self, rounds: u64, round_max: Duration) {
        let deployment = self.clone();
        let task = async move {
            let (clients, stage) = (&deployment.clients, &deployment.stage);
            let name: Arc<str> = "short-lived".into();
            for _ in 0..rounds {
                let partitions = admin::create_topic(clients, &deployment.brokers, &name, 2, &[]).await?;
                let plan = Plan {
                    idempotent: clients.random_u64().is_multiple_of(2),
                    partitions: partitions.clone(),
                    batches: 30,
                    records_max: 4,
                    in_flight_max: 3,
                    pause_max: round_max / 30,
                    fragile: 5,
                    may_vanish: true,
                    gives_up: 0,
                    codec: Codec::None,
                    key_bytes: 0,
                };
                let (node, brokers, history) = (clients.clone(), deployment.brokers.clone(), stage.history.clone());
                let writing = clients.call("producer", producer::run(node, brokers, history, plan));
                let life = u64::try_from(round_max.as_micros()).expect("short");
                clients.sleep(Duration::from_micros(clients.random_u64() % life)).await;
                admin::delete_topic(clients, &deployment.brokers, &partitions[0]).await?;
                stage.world.mark("topic deleted");
                partitions.iter().for_each(|partition| stage.history.deleted(&partition.line()));
                writing.await.expect("nobody kills the clients")?;
            }
            Ok(())
        };
        self.working.lock().push(self.clients.call("churn", task));
    }

    async fn ask_ends(self, partitions: Vec<Partition>, pause_max: Duration) -> Result<(), String> {
        let pause_max = u64::try_from(pause_max.as_micros()).expect("short");
        let client = self.stage.history.value();
        while !self.stop.load(Relaxed) {
            let mut link = self.brokers.connect(&self.clients).await;
            while admin::ends(&self.stage.history, client, &mut link, &partitions).await.is_ok()
                && self.ask_starts(&mut link, &partitions).await.is_ok()
            {
                self.clients.sleep(Duration::from_micros(self.clients.random_u64() % pause_max)).await;
                if self.stop.load(Relaxed) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Where partitions begin whose records expire.
    async fn ask_starts(&self, link: &mut Link, partitions: &[Partition]) -> Result<(), Lost> {
        let expires = |partition: &&Partition| self.stage.history.expiry(&partition.line()).is_some();
        let expiring: Vec<Partition> = partitions.iter().filter(expires).cloned().collect();
        match expiring.is_empty() {
            true => Ok(()),
            false => admin::starts(&self.clients, &self.stage.history, link, &expiring).await.map(|_| ()),
        }
    }

    /// After the healing: every producer ends, consumers stop, and everything is read once more.
    pub async fn settle(&self, partitions: &[Partition], patience: Duration) -> Result<(), String> {
        let working = std::mem::take(&mut *self.working.lock());
        let count = working.len();
        let all = futures_util::future::join_all(working);
        let ended = timeout(&self.clients, patience, all)
            .await
            .map_err(|_| format!("not all of {count} producers have ended {patience:?} after the healing"))?;
        self.stop.store(true, Relaxed);
        let watching = std::mem::take(&mut *self.watching.lock());
        let stopped = timeout(&self.clients, patience, futures_util::future::join_all(watching))
            .await
            .map_err(|_| format!("not all consumers have stopped {patience:?} after the healing"))?;
        for outcome in ended.into_iter().chain(stopped) {
            outcome.expect("nobody kills the clients")?;
        }
        self.inspect()?;
        self.read_all(partitions).await
    }

    async fn read_all(&self, partitions: &[Partition]) -> Result<(), String> {
        let ends = self.ends(partitions).await?;
        let (node, brokers, history) = (self.clients.clone(), self.brokers.clone(), self.stage.history.clone());
        let judge = Consumer::new(node, brokers, history, partitions, Habits::default());
        judge.read_all(&ends).await
    }

    /// Where partitions end.
    pub async fn ends(&self, partitions: &[Partition]) -> Result<Vec<u64>, String> {
        let client = self.stage.history.value();
        let mut last = Vec::new();
        for _ in 0..50 {
            let mut link = self.brokers.connect(&self.clients).await;
            let told = admin::ends(&self.stage.history, client, &mut link, partitions).await;
            last = told.unwrap_or_default();
            if last.len() == partitions.len() && last.iter().all(Option::is_some) {
                return Ok(last.into_iter().flatten().collect());
            }
            self.clients.sleep(Duration::from_millis(500)).await;
        }
        Err(format!("the ends of the partitions are not told: {last:?} of {partitions:?}"))
    }
}
