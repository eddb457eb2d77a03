//! A store on which everything can be made to go wrong, and a world with a virtual clock to wait for it to pass.
//!
//! Several [`Scripted`] stores may share one memory: each is one process's way to the bucket.

use std::{sync::Arc, time::Duration};

use kafscale_broker::{Broker, Settings, StartError};
use kafscale_runtime::{BoxFuture, Handle};
use kafscale_sim::executor::{EPOCH_MS, Node, World};
use kafscale_store::{
    Body, CreateError, DeleteError, Facts, Listed, MemoryStore, ReadError, ReadRange, ReplaceError, Store, StoreDate,
};
use parking_lot::Mutex;

use crate::common::{Cluster, NOW_MS};

/// What becomes of a create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creates {
    /// It is done.
    Fine,
    /// 503, not applied.
    Unavailable,
    /// The connection is cut before it is applied.
    Lost,
    /// The connection is cut after it was applied.
    AppliedLost,
    /// Applied, and never answered.
    AppliedHang,
    /// Neither applied nor answered.
    Hang,
    /// 403.
    Refused,
}

/// What becomes of a get or a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// It is done.
    Fine,
    /// 503.
    Unavailable,
    /// 403.
    Refused,
    /// Never answered.
    Hang,
    /// Every fifth one is never answered.
    FifthHangs,
}

/// How often it is looked, on the virtual clock, whether a create may go on.
const HELD_LOOK: Duration = Duration::from_millis(10);

struct Script {
    /// Every second name that is to be deleted is not, and the answer is 503.
    half_deletes: bool,
    deletes_begun: u64,
    creates: Creates,
    /// After so many creates all is fine again.
    left: usize,
    reads: Reads,
    reads_begun: u64,
    snapshots_take: Duration,
    creates_take: Duration,
    /// Creates of such names wait, and so many do.
    held: Option<fn(&str) -> bool>,
    waiting: usize,
    date: Option<StoreDate>,
    costs_money: bool,
}

/// One process's way to a shared memory.
pub struct Scripted {
    memory: Arc<MemoryStore>,
    runtime: Handle,
    script: Mutex<Script>,
}

impl Scripted {
    pub fn new(memory: &Arc<MemoryStore>, runtime: Handle) -> Arc<Self> {
        let script = Script {
            half_deletes: false,
            deletes_begun: 0,
            creates: Creates::Fine,
            left: 0,
            reads: Reads::Fine,
            reads_begun: 0,
            snapshots_take: Duration::ZERO,
            creates_take: Duration::ZERO,
            held: None,
            waiting: 0,
            date: None,
            costs_money: false,
        };
        Arc::new(Self { memory: Arc::clone(memory), runtime, script: Mutex::new(script) })
    }

    /// How long it takes to write a snapshot.
    pub fn snapshots_take(&self, duration: Duration) {
        self.script.lock().snapshots_take = duration;
    }

    /// How long it takes to write anything else.
    pub fn creates_take(&self, duration: Duration) {
        self.script.lock().creates_take = duration;
    }

    /// Creates of names like these wait until all are let go.
    pub fn hold(&self, names: fn(&str) -> bool) {
        self.script.lock().held = Some(names);
    }

    /// Creates that were held go on.
    pub fn let_go(&self) {
        self.script.lock().held = None;
    }

    /// Until a create is held.
    pub async fn is_holding(&self) {
        while self.script.lock().waiting == 0 {
            self.runtime.sleep(HELD_LOOK).await;
        }
    }

    /// How many creates are held.
    pub fn held(&self) -> usize {
        self.script.lock().waiting
    }

    async fn wait_while_held(&self, name: &str) {
        let is_held = |script: &Script| script.held.is_some_and(|names| names(name));
        if !is_held(&self.script.lock()) {
            return;
        }
        self.script.lock().waiting += 1;
        while is_held(&self.script.lock()) {
            self.runtime.sleep(HELD_LOOK).await;
        }
        self.script.lock().waiting -= 1;
    }

    /// From now on every second name that is to be deleted is not, and the answer is 503.
    pub fn deletes_half(&self) {
        self.script.lock().half_deletes = true;
    }

    /// Makes it a store that bills every request.
    pub fn costs_money(&self) {
        self.script.lock().costs_money = true;
    }

    /// What becomes of every create from now on.
    pub fn creates(&self, creates: Creates) {
        self.next_creates(usize::MAX, creates);
    }

    /// What becomes of the next creates.
    pub fn next_creates(&self, left: usize, creates: Creates) {
        let mut script = self.script.lock();
        (script.creates, script.left) = (creates, left);
    }

    /// What becomes of every read from now on.
    pub fn reads(&self, reads: Reads) {
        self.script.lock().reads = reads;
    }

    /// From now on everything is answered with 503, or all is fine.
    pub fn is_away(&self, away: bool) {
        self.creates(if away { Creates::Unavailable } else { Creates::Fine });
        self.reads(if away { Reads::Unavailable } else { Reads::Fine });
    }

    /// The store's own clock.
    pub fn set_date(&self, date: StoreDate) {
        self.script.lock().date = Some(date);
    }

    fn next_create(&self) -> Creates {
        let mut script = self.script.lock();
        match script.left {
            0 => Creates::Fine,
            _ => {
                script.left -= 1;
                script.creates
            }
        }
    }

    async fn read_fault(&self) -> Result<(), ReadError> {
        let (reads, begun) = {
            let mut script = self.script.lock();
            script.reads_begun += 1;
            (script.reads, script.reads_begun)
        };
        match reads {
            Reads::Hang => std::future::pending().await,
            Reads::FifthHangs if begun.is_multiple_of(5) => std::future::pending().await,
            Reads::Fine | Reads::FifthHangs => Ok(()),
            Reads::Unavailable => Err(ReadError::Unavailable("503".to_owned())),
            Reads::Refused => Err(ReadError::Refused("403".to_owned())),
        }
    }
}

impl Store for Scripted {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(async move {
            let cut = || Err(CreateError::Unknown("connection reset".to_owned()));
            let duration = {
                let script = self.script.lock();
                if name.starts_with("snapshot/") { script.snapshots_take } else { script.creates_take }
            };
            self.runtime.sleep(duration).await;
            self.wait_while_held(name).await;
            match self.next_create() {
                Creates::Fine => self.memory.create(name, body).await,
                Creates::Unavailable => Err(CreateError::Unavailable { reason: "503".to_owned(), retry_after: None }),
                Creates::Lost => cut(),
                Creates::AppliedLost => {
                    let _ = self.memory.create(name, body).await;
                    cut()
                }
                Creates::AppliedHang => {
                    let _ = self.memory.create(name, body).await;
                    std::future::pending().await
                }
                Creates::Hang => std::future::pending().await,
                Creates::Refused => Err(CreateError::Refused("403".to_owned())),
            }
        })
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        self.memory.replace(name, body)
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<bytes::Bytes, ReadError>> {
        Box::pin(async move {
            self.read_fault().await?;
            self.memory.get(name, range).await
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        Box::pin(async move {
            self.read_fault().await?;
            self.memory.list(prefix, after, limit).await
        })
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(async move {
            let refused = |_: &&String| {
                let mut script = self.script.lock();
                script.deletes_begun += 1;
                script.half_deletes && script.deletes_begun.is_multiple_of(2)
            };
            let (refused, taken): (Vec<_>, Vec<_>) = names.iter().partition(refused);
            self.memory.delete(&taken.into_iter().cloned().collect::<Vec<String>>()).await?;
            match refused.is_empty() {
                true => Ok(()),
                false => Err(DeleteError::Unavailable("503".to_owned())),
            }
        })
    }

    fn date(&self) -> Option<StoreDate> {
        self.script.lock().date
    }

    fn facts(&self) -> Facts {
        let put_latency_hint = Duration::from_millis(5);
        Facts {
            requests_cost_money: self.script.lock().costs_money,
            may_hedge: false,
            exclusive: false,
            create_is_known: true,
            storage_days_min: 0,
            place: 0,
            put_latency_hint,
        }
    }
}

/// A process in the story: its node, its way to the bucket, and the harness around both.
pub struct Process {
    pub node: Node,
    pub store: Arc<Scripted>,
    pub cluster: Cluster,
}

impl Process {
    /// A process on a bucket.
    pub fn new(world: &World, memory: &Arc<MemoryStore>) -> Self {
        let node = world.node("broker");
        let store = Scripted::new(memory, node.runtime());
        node.set_wall_offset_ms(NOW_MS - EPOCH_MS);
        let cluster = Cluster {
            store: Arc::clone(&store) as Arc<dyn Store>,
            runtime: node.runtime(),
            settings: Settings::default(),
        };
        Self { node, store, cluster }
    }

    /// Sets its system clock wrong by so much.
    pub fn set_clock_off(&self, off_ms: i64) {
        self.node.set_wall_offset_ms(NOW_MS - EPOCH_MS + off_ms);
    }

    /// A start that may fail.
    pub async fn try_start(&self) -> Result<Arc<Broker>, StartError> {
        let (store, runtime) = (Arc::clone(&self.cluster.store), Arc::clone(&self.cluster.runtime));
        Broker::start(store, runtime, Arc::default(), Settings::default()).await
    }

    pub fn runtime(&self) -> &Handle {
        &self.cluster.runtime
    }
}

/// Tells a story on a virtual clock.
pub fn story<T: Send + 'static, F>(tell: impl FnOnce(World, Arc<MemoryStore>) -> F) -> T
where
    F: Future<Output = T> + Send + 'static,
{
    let world = World::new(1);
    let memory = Arc::new(MemoryStore::new());
    let told = world.run(Duration::from_secs(24 * 60 * 60), tell(world.clone(), memory));
    told.expect("the story ends")
}
