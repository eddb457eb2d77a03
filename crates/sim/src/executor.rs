//! A deterministic world: one thread, a virtual clock, and processes ("nodes") that can be killed at any moment.
//!
//! The code under test is the very code that `kafscale serve` runs; it reaches time, randomness and tasks through
//! [`Runtime`] alone, and [`Node::runtime`] is that seam here. Each task belongs to a node. [`Node::kill`] drops all of a
//! node's tasks and timers at once, as `kill -9` would; the others go on. What a request had already sent to the store
//! goes on too, because it is an event of the world ([`World::after`]), not of the node.
//!
//! What decides the schedule is the seed alone: ready tasks are polled in random order, timers that are due at the same
//! instant fire in random order, and now and then a poll takes a while, so that timers and ready tasks interleave. Each
//! step is folded into a trace hash: two runs of one seed must give the same.
//!
//! ```text
//!   ready tasks --random pick--> poll --> wakes, timers, events
//!   none ready: clock jumps to the next timer or event; nothing there either: stuck, which is a bug to report
//! ```

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use kafscale_runtime::{BoxFuture, Handle, Instant, Runtime};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::rng::{Rng, mix};

/// Unix time in milliseconds at which every world begins.
pub const EPOCH_MS: i64 = 1_700_000_000_000;

/// Steps without the clock moving after which a run counts as a busy loop.
const LIVELOCK_STEPS: u64 = 2_000_000;

type TaskId = u64;
type TimerKey = (Instant, u64, u64);

/// The simulated world. Cloning gives another handle to it.
#[derive(Clone)]
pub struct World(Arc<Shared>);

struct Shared {
    seed: u64,
    core: Mutex<Core>,
    ready: Arc<Mutex<Vec<TaskId>>>,
}

struct Core {
    now: Instant,
    rng: Rng,
    next_id: u64,
    timers: BTreeMap<TimerKey, Event>,
    tasks: BTreeMap<TaskId, Task>,
    nodes: Vec<NodeState>,
    doomed: Vec<usize>,
    marks: BTreeMap<&'static str, u64>,
    wrongs: Vec<String>,
    trace: u64,
    stall_permille: u64,
    verbose: bool,
}

enum Event {
    Wake(Waker),
    Call(Box<dyn FnOnce() + Send>),
}

struct Task {
    node: usize,
    name: &'static str,
    /// Taken out while it is polled.
    future: Option<BoxFuture<'static, ()>>,
    waker: Arc<TaskWaker>,
}

struct NodeState {
    name: String,
    alive: bool,
    paused: bool,
    /// Tasks that became ready while the node was paused.
    held: Vec<TaskId>,
    wall_offset_ms: i64,
    rng: Rng,
}

struct TaskWaker {
    id: TaskId,
    queued: AtomicBool,
    ready: Arc<Mutex<Vec<TaskId>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.lock().push(self.id);
        }
    }
}

/// Why a run ended without its story's end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// Nothing can run and no timer is set: somebody waits for ever.
    #[error("stuck at {at:?}: nothing can run and no timer is set; tasks left: {tasks:?}")]
    Stuck {
        /// Virtual time.
        at: Instant,
        /// `node/task` of everything that still waits.
        tasks: Vec<String>,
    },
    /// The story took longer than it may.
    #[error("the story did not end by {limit:?} of virtual time; tasks left: {tasks:?}")]
    Overran {
        /// The limit given.
        limit: Duration,
        /// `node/task` of everything that still waits.
        tasks: Vec<String>,
    },
    /// Tasks wake each other without the clock moving.
    #[error("busy loop at {at:?} in {task}")]
    BusyLoop {
        /// Virtual time.
        at: Instant,
        /// `node/task` polled last.
        task: String,
    },
}

impl World {
    /// An empty world. The seed decides everything that happens in it.
    pub fn new(seed: u64) -> Self {
        let rng = Rng::new(seed);
        let stall_permille = rng.fork(1).below(3) * 10;
        Self(Arc::new(Shared {
            seed,
            core: Mutex::new(Core {
                now: Duration::ZERO,
                rng,
                next_id: 0,
                timers: BTreeMap::new(),
                tasks: BTreeMap::new(),
                nodes: Vec::new(),
                doomed: Vec::new(),
                marks: BTreeMap::new(),
                wrongs: Vec::new(),
                trace: seed,
                stall_permille,
                verbose: false,
            }),
            ready: Arc::default(),
        }))
    }

    /// Also prints every step to standard error.
    pub fn set_verbose(&self, verbose: bool) {
        self.0.core.lock().verbose = verbose;
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// An independent random stream of this seed for one purpose.
    pub fn rng(&self, purpose: &str) -> Rng {
        Rng::new(self.0.seed).fork(fold(0, purpose.as_bytes()))
    }

    /// The virtual clock.
    pub fn now(&self) -> Instant {
        self.0.core.lock().now
    }

    /// Starts a process. A restart is a new node: nothing of the old one comes back.
    pub fn node(&self, name: impl Into<String>) -> Node {
        let mut core = self.0.core.lock();
        let id = core.nodes.len();
        let rng = Rng::new(self.0.seed).fork(0x4e0d_e000 + id as u64);
        core.nodes.push(NodeState {
            name: name.into(),
            alive: true,
            paused: false,
            held: Vec::new(),
            wall_offset_ms: 0,
            rng,
        });
        Node { world: self.clone(), id }
    }

    /// Lets `event` happen `delay` from now whoever is dead by then: what is on its way in the network or in the store.
    pub fn after(&self, delay: Duration, event: impl FnOnce() + Send + 'static) {
        let mut core = self.0.core.lock();
        let key = core.timer_key(delay);
        core.timers.insert(key, Event::Call(Box::new(event)));
    }

    /// Completes `delay` from now. For directors; nodes sleep through their runtime.
    pub fn sleep(&self, delay: Duration) -> BoxFuture<'static, ()> {
        let deadline = self.now() + delay;
        Box::pin(Sleep { world: self.clone(), deadline, node: None, timer: None })
    }

    /// Counts that something worth seeing has happened.
    pub fn mark(&self, what: &'static str) {
        *self.0.core.lock().marks.entry(what).or_default() += 1;
    }

    /// Notes something that may never happen, whatever the story goes on to say.
    pub fn wrong(&self, what: String) {
        self.0.core.lock().wrongs.push(what);
    }

    /// What may never happen and did.
    pub fn wrongs(&self) -> Vec<String> {
        self.0.core.lock().wrongs.clone()
    }

    /// What has happened how often.
    pub fn marks(&self) -> BTreeMap<&'static str, u64> {
        self.0.core.lock().marks.clone()
    }

    /// Folds `text` into the trace, and prints it in a verbose world.
    pub fn note(&self, text: &str) {
        self.0.core.lock().step("note", text);
    }

    /// The hash of everything that has happened.
    pub fn trace(&self) -> u64 {
        self.0.core.lock().trace
    }

    /// Runs the world until `story` ends, for at most `limit` of virtual time, then drops all that lives in it.
    pub fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        story: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Halt> {
        let director = self.node("director");
        let mut end = director.call("story", story);
        let outcome = self.turn(limit, &mut end);
        self.end();
        outcome
    }

    fn turn<T>(&self, limit: Duration, end: &mut Call<T>) -> Result<T, Halt> {
        let mut steps_at_instant = (Duration::ZERO, 0_u64);
        loop {
            self.bury();
            if let Ok(output) = end.0.try_recv() {
                return Ok(output);
            }
            let now = self.now();
            steps_at_instant = if steps_at_instant.0 == now { (now, steps_at_instant.1 + 1) } else { (now, 0) };
            if steps_at_instant.1 > LIVELOCK_STEPS {
                return Err(Halt::BusyLoop { at: now, task: self.waiting().join(" ") });
            }
            if now > limit {
                return Err(Halt::Overran { limit, tasks: self.waiting() });
            }
            if self.fire_due() || self.poll_one() {
                continue;
            }
            if !self.0.core.lock().jump_to_next_timer() {
                return Err(Halt::Stuck { at: now, tasks: self.waiting() });
            }
        }
    }

    /// Fires one timer that is due; whether there was one.
    fn fire_due(&self) -> bool {
        let event = {
            let mut core = self.0.core.lock();
            let now = core.now;
            match core.timers.first_entry() {
                Some(entry) if entry.key().0 <= now => entry.remove(),
                _ => return false,
            }
        };
        match event {
            Event::Wake(waker) => waker.wake(),
            Event::Call(call) => call(),
        }
        true
    }

    /// Polls one ready task, picked at random; whether there was one.
    fn poll_one(&self) -> bool {
        let Some((id, mut future, waker)) = self.pick() else { return false };
        waker.queued.store(false, Ordering::Relaxed);
        let outcome = future.as_mut().poll(&mut Context::from_waker(&Waker::from(waker)));
        let mut core = self.0.core.lock();
        if outcome.is_pending() {
            if let Some(task) = core.tasks.get_mut(&id) {
                task.future = Some(future);
                return true;
            }
        } else {
            core.tasks.remove(&id);
        }
        drop(core);
        // Outside the lock: what a future drops may call back into the world.
        drop(future);
        true
    }

    fn pick(&self) -> Option<(TaskId, BoxFuture<'static, ()>, Arc<TaskWaker>)> {
        let mut core = self.0.core.lock();
        loop {
            let id = {
                let mut ready = self.0.ready.lock();
                if ready.is_empty() {
                    return None;
                }
                let index = core.rng.below(ready.len() as u64) as usize;
                ready.swap_remove(index)
            };
            let Some(node) = core.tasks.get(&id).map(|task| task.node) else { continue };
            if core.nodes[node].paused {
                core.nodes[node].held.push(id);
                continue;
            }
            let task = core.tasks.get_mut(&id).expect("seen above");
            let (name, waker) = (task.name, Arc::clone(&task.waker));
            let future = task.future.take().expect("a task is polled by one thread only");
            let place = format!("{}/{name}", core.nodes[node].name);
            core.step("poll", &place);
            let stall_permille = core.stall_permille;
            if core.rng.chance(stall_permille) {
                let micros = core.rng.within(1..=3_000);
                core.now += Duration::from_micros(micros);
            }
            return Some((id, future, waker));
        }
    }

    /// Drops all that belongs to killed nodes.
    fn bury(&self) {
        let dropped: Vec<Task> = {
            let mut core = self.0.core.lock();
            if core.doomed.is_empty() {
                return;
            }
            let doomed = std::mem::take(&mut core.doomed);
            let ids: Vec<TaskId> =
                core.tasks.iter().filter(|(_, task)| doomed.contains(&task.node)).map(|(id, _)| *id).collect();
            ids.iter().filter_map(|id| core.tasks.remove(id)).collect()
        };
        drop(dropped);
    }

    fn end(&self) {
        {
            let mut core = self.0.core.lock();
            core.doomed = (0..core.nodes.len()).collect();
            core.nodes.iter_mut().for_each(|node| node.alive = false);
        }
        self.bury();
        let timers = std::mem::take(&mut self.0.core.lock().timers);
        drop(timers);
    }

    fn waiting(&self) -> Vec<String> {
        let core = self.0.core.lock();
        core.tasks.values().map(|task| format!("{}/{}", core.nodes[task.node].name, task.name)).collect()
    }

    fn spawn(&self, node: usize, name: &'static str, future: BoxFuture<'static, ()>) {
        let waker = {
            let mut core = self.0.core.lock();
            if !core.nodes[node].alive {
                drop(core);
                drop(future);
                return;
            }
            let id = core.id();
            let waker = Arc::new(TaskWaker { id, queued: AtomicBool::new(false), ready: Arc::clone(&self.0.ready) });
            core.tasks.insert(id, Task { node, name, future: Some(future), waker: Arc::clone(&waker) });
            waker
        };
        waker.wake();
    }
}

impl Core {
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn timer_key(&mut self, delay: Duration) -> TimerKey {
        (self.now + delay, self.rng.bits(), self.id())
    }

    fn jump_to_next_timer(&mut self) -> bool {
        match self.timers.first_key_value() {
            Some((&(at, ..), _)) => {
                self.now = self.now.max(at);
                true
            }
            None => false,
        }
    }

    fn step(&mut self, what: &str, detail: &str) {
        if self.verbose {
            eprintln!("{:>12.6} {what:<5} {detail}", self.now.as_secs_f64());
        }
        let at = u64::try_from(self.now.as_nanos()).unwrap_or(u64::MAX);
        self.trace = fold(fold(mix(self.trace ^ at), what.as_bytes()), detail.as_bytes());
    }
}

/// A simulated process. Cloning gives another handle to it.
#[derive(Clone)]
pub struct Node {
    world: World,
    id: usize,
}

impl Node {
    /// The world that it lives in.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.world.0.core.lock().nodes[self.id].name.clone()
    }

    /// The seam through which the code under test sees this world.
    pub fn runtime(&self) -> Handle {
        Arc::new(self.clone())
    }

    /// Runs `future` on this node; awaiting the call gives its output, or nothing if the node died first.
    pub fn call<T: Send + 'static>(
        &self,
        name: &'static str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Call<T> {
        let (sender, receiver) = oneshot::channel();
        self.world.spawn(
            self.id,
            name,
            Box::pin(async move {
                let output = future.await;
                // Nobody may care any more.
                let _ = sender.send(output);
            }),
        );
        Call(receiver)
    }

    /// Ends the process as `kill -9` does: from here on none of its code runs.
    pub fn kill(&self) {
        let mut core = self.world.0.core.lock();
        if core.nodes[self.id].alive {
            core.nodes[self.id].alive = false;
            core.doomed.push(self.id);
            let name = core.nodes[self.id].name.clone();
            core.step("kill", &name);
        }
    }

    /// Whether it was not killed.
    pub fn is_alive(&self) -> bool {
        self.world.0.core.lock().nodes[self.id].alive
    }

    /// Stops all of its tasks where they are (a suspended machine); its clocks go on.
    pub fn pause(&self) {
        let mut core = self.world.0.core.lock();
        core.nodes[self.id].paused = true;
        let name = core.nodes[self.id].name.clone();
        core.step("pause", &name);
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        let mut core = self.world.0.core.lock();
        core.nodes[self.id].paused = false;
        let held = std::mem::take(&mut core.nodes[self.id].held);
        let name = core.nodes[self.id].name.clone();
        core.step("go on", &name);
        self.world.0.ready.lock().extend(held);
    }

    /// Moves its system clock against the true time.
    pub fn set_wall_offset_ms(&self, offset_ms: i64) {
        self.world.0.core.lock().nodes[self.id].wall_offset_ms = offset_ms;
    }
}

impl Runtime for Node {
    fn now(&self) -> Instant {
        self.world.now()
    }

    fn wall_clock_ms(&self) -> i64 {
        let core = self.world.0.core.lock();
        let passed = i64::try_from(core.now.as_millis()).expect("a run is short");
        EPOCH_MS + passed + core.nodes[self.id].wall_offset_ms
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let deadline = self.world.now().saturating_add(duration);
        Box::pin(Sleep { world: self.world.clone(), deadline, node: Some(self.id), timer: None })
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.world.spawn(self.id, name, task);
    }

    fn random_u64(&self) -> u64 {
        self.world.0.core.lock().nodes[self.id].rng.bits()
    }
}

/// What a node was asked to do. Dropping it does not stop the work.
pub struct Call<T>(oneshot::Receiver<T>);

impl<T> Future for Call<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(context).map(Result::ok)
    }
}

struct Sleep {
    world: World,
    deadline: Instant,
    node: Option<usize>,
    timer: Option<TimerKey>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let world = self.world.clone();
        let mut core = world.0.core.lock();
        if core.now >= self.deadline {
            return Poll::Ready(());
        }
        if self.node.is_some_and(|node| !core.nodes[node].alive) {
            return Poll::Pending;
        }
        let key = match self.timer {
            Some(key) => key,
            None => {
                let delay = self.deadline - core.now;
                *self.timer.insert(core.timer_key(delay))
            }
        };
        core.timers.insert(key, Event::Wake(context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.timer {
            let event = self.world.0.core.lock().timers.remove(&key);
            drop(event);
        }
    }
}

fn fold(hash: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(hash ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_clock_jumps_and_a_killed_node_never_runs_again() {
        let world = World::new(7);
        let inner = world.clone();
        let (beats, killed_at) = world
            .run(SECOND * 100, async move {
                let beats = Arc::new(Mutex::new(0));
                let node = inner.node("n");
                let (runtime, counter) = (node.runtime(), Arc::clone(&beats));
                drop(node.call("beat", async move {
                    loop {
                        runtime.sleep(SECOND).await;
                        *counter.lock() += 1;
                    }
                }));
                inner.sleep(Duration::from_millis(5_500)).await;
                node.kill();
                let at = *beats.lock();
                inner.sleep(SECOND * 20).await;
                assert!(node.call("late", async {}).await.is_none());
                (*beats.lock(), at)
            })
            .expect("ends");
        assert_eq!((beats, killed_at), (5, 5));
    }

    #[test]
    fn a_paused_node_holds_still_and_goes_on_later() {
        let world = World::new(7);
        let inner = world.clone();
        let waited = world.run(SECOND * 100, async move {
            let node = inner.node("n");
            let runtime = node.runtime();
            let call = node.call("nap", async move {
                runtime.sleep(SECOND).await;
                runtime.now()
            });
            inner.sleep(SECOND / 2).await;
            node.pause();
            inner.sleep(SECOND * 9 - SECOND / 2).await;
            node.resume();
            call.await.expect("alive")
        });
        assert_eq!(waited.expect("ends").as_secs(), 9);
    }

    #[test]
    fn waiting_for_ever_and_for_too_long_are_told_apart() {
        let world = World::new(1);
        let stuck = world.run(SECOND, std::future::pending::<()>());
        assert!(matches!(stuck, Err(Halt::Stuck { .. })), "{stuck:?}");
        let world = World::new(1);
        let inner = world.clone();
        let overran = world.run(SECOND, async move { inner.sleep(SECOND * 5).await });
        assert!(matches!(overran, Err(Halt::Overran { .. })), "{overran:?}");
    }

    #[test]
    fn seeds_decide_the_order_and_only_they() {
        let order = |seed: u64| {
            let world = World::new(seed);
            let inner = world.clone();
            let order = world.run(SECOND, async move {
                let seen = Arc::new(Mutex::new(Vec::new()));
                for index in 0..6 {
                    let seen = Arc::clone(&seen);
                    drop(inner.node("n").call("t", async move { seen.lock().push(index) }));
                }
                inner.sleep(Duration::from_millis(100)).await;
                std::mem::take(&mut *seen.lock())
            });
            (order.expect("ends"), world.trace())
        };
        assert_eq!(order(3), order(3));
        assert!((0..10).any(|seed| order(seed).0 != order(seed + 1).0));
    }

    #[test]
    fn wall_clocks_differ_per_node() {
        let world = World::new(1);
        let (a, b) = (world.node("a"), world.node("b"));
        b.set_wall_offset_ms(-5_000);
        assert_eq!(a.wall_clock_ms() - b.wall_clock_ms(), 5_000);
    }
}
