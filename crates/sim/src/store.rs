//! An object store that fails in every way a real one does.
//!
//! A [`Bucket`] holds the objects and outlives every process; [`Bucket::client`] is one process's [`Store`]. What becomes
//! of a call is drawn from the bucket's [`Weather`] when it is made. What was sent is an event of the world: it lands even
//! if the caller has been dropped or killed meanwhile. A crash can be put at any call ([`Client::crash_at`]), before the
//! store applied it or after that and before the answer.
//!
//! The bucket itself always keeps the contract (atomic, write-once, consistent lists): what is tested is everybody who
//! must live with lost answers, not the store. It also watches: a create that succeeds on a name that was once deleted, a
//! replace that changes anything but the few names that may change, and so on, are counted as marks or held against the story.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use kafscale_runtime::{BoxFuture, Instant, Runtime};
use kafscale_store::{
    Body, CreateError, DeleteError, Facts, Listed, ReadError, ReadRange, ReplaceError, Store, StoreDate,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    executor::{EPOCH_MS, Node, World},
    rng::Rng,
    weather::{Fate, Weather, latency},
};

/// The objects, shared by all processes. Cloning gives another handle.
#[derive(Clone)]
pub struct Bucket(Arc<Inner>);

struct Inner {
    world: World,
    state: Mutex<State>,
}

struct State {
    objects: BTreeMap<String, Bytes>,
    deleted: BTreeSet<String>,
    weather: Weather,
    rng: Rng,
    outage_until: Instant,
    facts: Facts,
    calls: Calls,
}

/// How often each call was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// Creates.
    pub create: u64,
    /// Replaces.
    pub replace: u64,
    /// Gets.
    pub get: u64,
    /// Lists.
    pub list: u64,
    /// Deletes.
    pub delete: u64,
}

/// On which side of a call's effect the caller dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The store never saw it.
    Before,
    /// The store applied it; the answer found nobody.
    After,
}

impl Bucket {
    /// An empty bucket in calm weather: an exclusive one behaves like a locked directory, another like S3.
    pub fn new(world: &World, exclusive: bool) -> Self {
        let facts = Facts {
            requests_cost_money: !exclusive,
            may_hedge: true,
            exclusive,
            create_is_known: true,
            storage_days_min: 0,
            place: 0,
            put_latency_hint: Duration::from_millis(if exclusive { 1 } else { 60 }),
        };
        Self(Arc::new(Inner {
            world: world.clone(),
            state: Mutex::new(State {
                objects: BTreeMap::new(),
                deleted: BTreeSet::new(),
                weather: Weather::calm(),
                rng: world.rng("bucket"),
                outage_until: Duration::ZERO,
                facts,
                calls: Calls::default(),
            }),
        }))
    }

    /// What its clients are told about it.
    pub fn set_facts(&self, facts: Facts) {
        self.0.state.lock().facts = facts;
    }

    /// Whether its clients believe that nobody else can write.
    pub fn is_exclusive(&self) -> bool {
        self.0.state.lock().facts.exclusive
    }

    /// Changes the weather for calls made from now on.
    pub fn set_weather(&self, weather: Weather) {
        self.0.state.lock().weather = weather;
    }

    /// The weather is good from now on, and no outage goes on.
    pub fn clear_up(&self) {
        let mut state = self.0.state.lock();
        (state.weather, state.outage_until) = (Weather::calm(), self.0.world.now());
    }

    /// From now on for `duration` every call fails or hangs.
    pub fn black_out(&self, duration: Duration) {
        self.0.world.mark("outage");
        self.0.state.lock().outage_until = self.0.world.now() + duration;
    }

    /// The store as one process sees it.
    pub fn client(&self, node: &Node) -> Arc<Client> {
        Arc::new(Client {
            bucket: self.clone(),
            node: node.clone(),
            plan: Mutex::new(Plan { calls: 0, crash: None, stall: None }),
        })
    }

    /// How often each call was made, by everybody.
    pub fn calls(&self) -> Calls {
        self.0.state.lock().calls
    }

    /// Names of all objects, in order. For judges and saboteurs: no latency, no faults.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let state = self.0.state.lock();
        state.objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    /// An object's bytes, for judges.
    pub fn object(&self, name: &str) -> Option<Bytes> {
        self.0.state.lock().objects.get(name).cloned()
    }

    /// Loses an object, as no store may.
    pub fn lose(&self, name: &str) -> bool {
        self.0.state.lock().objects.remove(name).is_some()
    }

    /// Overwrites an object, as no store may.
    pub fn corrupt(&self, name: &str, bytes: Bytes) {
        self.0.state.lock().objects.insert(name.to_owned(), bytes);
    }

    fn apply_create(&self, name: &str, bytes: Bytes) -> Result<(), CreateError> {
        let mut state = self.0.state.lock();
        if let Some(present) = state.objects.get(name) {
            self.0.world.mark(if *present == bytes { "create repeated" } else { "create lost a race" });
            return Err(CreateError::AlreadyExists);
        }
        if state.deleted.contains(name) {
            self.0.world.mark("create of a deleted name");
        }
        state.objects.insert(name.to_owned(), bytes);
        drop(state);
        match name.split('/').next() {
            Some("snapshot") => self.0.world.mark("snapshot stored"),
            Some("archive") => self.0.world.mark("archive stored"),
            Some("merged") => self.0.world.mark("merged object stored"),
            Some("default") => self.0.world.mark("segment stored"),
            _ => {}
        }
        self.0.world.note(&format!("created {name}"));
        Ok(())
    }

    fn apply_replace(&self, name: &str, bytes: Bytes) {
        let mut state = self.0.state.lock();
        let changeable = ["cluster.json", "floor"].iter().any(|last| name.rsplit('/').next() == Some(last));
        let is_same = state.objects.get(name).is_none_or(|present| *present == bytes);
        if !changeable && !is_same {
            self.0.world.wrong(format!("{name} was changed, and only cluster.json and floor may be"));
        }
        match name.split('/').next() {
            Some("data") => self.0.world.mark("data object stored"),
            Some("snapshot") => self.0.world.mark("snapshot stored"),
            Some("merged") => self.0.world.mark("merged object stored"),
            Some("default") => self.0.world.mark("segment stored"),
            _ => {}
        }
        state.objects.insert(name.to_owned(), bytes);
    }

    fn apply_delete(&self, names: &[String]) {
        let mut state = self.0.state.lock();
        for name in names {
            if state.objects.remove(name).is_some() {
                state.deleted.insert(name.clone());
                self.0.world.mark("object deleted");
                match name.split('/').next() {
                    Some("log") => self.0.world.mark("log object deleted"),
                    Some("merged") => self.0.world.mark("merged object deleted"),
                    Some("default") => self.0.world.mark("segment deleted"),
                    _ => {}
                }
            }
        }
        drop(state);
        self.0.world.note(&format!("deleted {names:?}"));
    }
}

/// One process's view of a [`Bucket`].
pub struct Client {
    bucket: Bucket,
    node: Node,
    plan: Mutex<Plan>,
}

struct Plan {
    calls: u64,
    crash: Option<(u64, Side)>,
    stall: Option<Stall>,
}

/// A write that is held up on its way: it lands, and is answered, that much later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// The first write from this call on (from 1) is stalled.
    pub from_call: u64,
    /// When the store applies it, after it was called.
    pub lands_after: Duration,
}

/// What was decided about one call when it was made.
struct Course {
    fate: Fate,
    latency: Duration,
    crash: Option<Side>,
}

impl Client {
    /// Kills the process at its `call`th call (from 1), on that side of its effect.
    pub fn crash_at(&self, call: u64, side: Side) {
        self.plan.lock().crash = Some((call, side));
    }

    /// Lets one write of this process hang on its way and land later.
    pub fn stall(&self, stall: Stall) {
        self.plan.lock().stall = Some(stall);
    }

    /// How many calls this process has made.
    pub fn calls(&self) -> u64 {
        self.plan.lock().calls
    }

    fn begin(&self, what: &'static str, name: &str, write: bool) -> Course {
        let world = self.node.world();
        world.note(&format!("{} {what} {name}", self.node.name()));
        let (crash, stall) = {
            let mut plan = self.plan.lock();
            plan.calls += 1;
            let call = plan.calls;
            let crash = plan.crash.filter(|(at, _)| *at == call).map(|(_, side)| side);
            (crash, plan.stall.take_if(|stall| write && call >= stall.from_call))
        };
        let mut state = self.bucket.0.state.lock();
        let (weather, out) = (state.weather, world.now() < state.outage_until);
        let rng = &mut state.rng;
        let mut fate = if write { weather.write_fate(rng) } else { weather.read_fate(rng) };
        let mut latency = latency(rng, if write { weather.write } else { weather.read });
        if fate == Fate::Spike {
            latency = Duration::from_millis(rng.within(2_000..=40_000));
        }
        if out {
            fate = if rng.chance(800) { Fate::Unavailable } else { Fate::Hang };
        }
        if let Some(stall) = stall {
            (fate, latency) = (Fate::Honest, stall.lands_after);
        }
        drop(state);
        if let Some(mark) = mark_of(fate) {
            world.mark(mark);
        }
        Course { fate, latency, crash }
    }

    /// Sends a write on its way and waits for its answer; `apply` runs in the store.
    async fn write<T: Send + 'static>(
        &self,
        what: &'static str,
        name: &str,
        apply: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let course = self.begin(what, name, true);
        if let Some(side) = course.crash {
            if side == Side::After {
                drop(apply());
            }
            self.node.kill();
            return std::future::pending().await;
        }
        let lands_after = match course.fate {
            Fate::Unavailable | Fate::LostRequest | Fate::Conflict => None,
            Fate::Late => Some(self.draw(|rng, weather| {
                let most = u64::try_from(weather.late_max.as_millis()).expect("minutes");
                Duration::from_millis(rng.within(1..=most))
            })),
            Fate::Hang if self.draw(|rng, _| rng.chance(500)) => None,
            _ => Some(course.latency),
        };
        let (landed, effect) = oneshot::channel();
        if let Some(delay) = lands_after {
            self.node.world().after(delay, move || {
                // The caller may be gone: the effect stays.
                let _ = landed.send(apply());
            });
        }
        match course.fate {
            Fate::Hang => std::future::pending().await,
            Fate::Honest | Fate::Spike => {
                let effect = effect.await.expect("an honest write lands");
                self.way_back().await;
                Ok(effect)
            }
            fate => {
                self.node.sleep(course.latency).await;
                self.way_back().await;
                Err(match fate {
                    Fate::Unavailable => Fault::Unavailable,
                    Fate::Conflict => Fault::Conflict,
                    _ => Fault::Unknown,
                })
            }
        }
    }

    /// Sends a read; `look` sees the store at one instant between request and answer.
    async fn read<T>(&self, what: &'static str, name: &str, look: impl FnOnce(&State) -> T) -> Result<T, ReadError> {
        let course = self.begin(what, name, false);
        if course.crash.is_some() {
            self.node.kill();
            return std::future::pending().await;
        }
        if course.fate == Fate::Hang {
            return std::future::pending().await;
        }
        self.node.sleep(course.latency).await;
        if course.fate == Fate::Unavailable {
            return Err(ReadError::Unavailable("simulated 503".into()));
        }
        let seen = look(&self.bucket.0.state.lock());
        self.way_back().await;
        Ok(seen)
    }

    /// The time that an answer needs: what it says may be old when it arrives.
    async fn way_back(&self) {
        let delay = self.draw(|rng, weather| latency(rng, weather.read / 4));
        self.node.sleep(delay).await;
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Rng, &Weather) -> T) -> T {
        let mut state = self.bucket.0.state.lock();
        let weather = state.weather;
        draw(&mut state.rng, &weather)
    }
}

impl Store for Client {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(async move {
            self.bucket.0.state.lock().calls.create += 1;
            let (bucket, owned, bytes) = (self.bucket.clone(), name.to_owned(), body.to_bytes());
            match self.write("create", name, move || bucket.apply_create(&owned, bytes)).await {
                Ok(outcome) => outcome,
                Err(Fault::Conflict) => Err(CreateError::AlreadyExists),
                Err(Fault::Unknown) => Err(CreateError::Unknown("simulated cut".into())),
                Err(Fault::Unavailable) => {
                    let retry_after = self.draw(|rng, _| rng.chance(200)).then_some(Duration::from_secs(1));
                    Err(CreateError::Unavailable { reason: "simulated 503".into(), retry_after })
                }
            }
        })
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        Box::pin(async move {
            self.bucket.0.state.lock().calls.replace += 1;
            let (bucket, owned, bytes) = (self.bucket.clone(), name.to_owned(), body.to_bytes());
            match self.write("replace", name, move || bucket.apply_replace(&owned, bytes)).await {
                Ok(()) => Ok(()),
                Err(Fault::Unavailable) => Err(ReplaceError::Unavailable("simulated 503".into())),
                Err(Fault::Unknown | Fault::Conflict) => Err(ReplaceError::Unknown("simulated cut".into())),
            }
        })
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        Box::pin(async move {
            self.bucket.0.state.lock().calls.get += 1;
            let bytes = self.read("get", name, |state| state.objects.get(name).cloned()).await?;
            let bytes = bytes.ok_or_else(|| ReadError::NotFound(name.to_owned()))?;
            Ok(match range {
                ReadRange::All => bytes,
                ReadRange::At { start, len } => {
                    let end = start.saturating_add(len).min(bytes.len() as u64);
                    bytes.slice(usize_of(start.min(end))..usize_of(end))
                }
            })
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        Box::pin(async move {
            self.bucket.0.state.lock().calls.list += 1;
            self.read("list", prefix, |state| {
                let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
                let names = state.objects.range::<str, _>((from, Bound::Unbounded));
                let names = names.take_while(|(name, _)| name.starts_with(prefix));
                names.take(limit).map(|(name, bytes)| Listed { name: name.clone(), size: bytes.len() as u64 }).collect()
            })
            .await
        })
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(async move {
            self.bucket.0.state.lock().calls.delete += 1;
            let (bucket, owned) = (self.bucket.clone(), names.to_vec());
            let first = names.first().map_or("", String::as_str);
            match self.write("delete", first, move || bucket.apply_delete(&owned)).await {
                Ok(()) => Ok(()),
                Err(_) => Err(DeleteError::Unavailable("simulated 503".into())),
            }
        })
    }

    fn date(&self) -> Option<StoreDate> {
        let seen_at = self.node.world().now();
        let passed = i64::try_from(seen_at.as_secs()).expect("a run is short");
        (!self.facts().exclusive).then_some(StoreDate { unix_ms: EPOCH_MS + passed * 1_000, seen_at })
    }

    fn facts(&self) -> Facts {
        self.bucket.0.state.lock().facts
    }
}

enum Fault {
    Unavailable,
    Unknown,
    Conflict,
}

fn usize_of(length: u64) -> usize {
    usize::try_from(length).expect("objects are in memory")
}

fn mark_of(fate: Fate) -> Option<&'static str> {
    match fate {
        Fate::Honest => None,
        Fate::Unavailable => Some("unavailable"),
        Fate::LostAnswer => Some("lost answer"),
        Fate::LostRequest => Some("lost request"),
        Fate::Late => Some("late write"),
        Fate::Hang => Some("hang"),
        Fate::Conflict => Some("conflict"),
        Fate::Spike => Some("spike"),
    }
}

#[cfg(test)]
mod tests;
