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

mod node;
mod sleep;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use kafscale_runtime::{BoxFuture, Instant};
use parking_lot::Mutex;

use crate::rng::{Rng, mix};
pub use node::{Call, Node};
use sleep::Sleep;

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
        Node::new(self, id)
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
        Box::pin(Sleep::new(self, deadline, None))
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
            if let Some(output) = end.ended() {
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

fn fold(hash: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(hash ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests;
