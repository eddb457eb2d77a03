//! One thread, tasks in the order in which they woke, and a clock that jumps to the next timer when nothing can run.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use kafscale_runtime::{BoxFuture, Handle, Instant, Runtime};

pub const EPOCH_MS: i64 = 1_700_000_000_000;

#[derive(Clone)]
pub struct World(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    now: Duration,
    next: u64,
    random: u64,
    timers: BTreeMap<(Duration, u64), Waker>,
    ready: VecDeque<u64>,
    tasks: BTreeMap<u64, Option<BoxFuture<'static, ()>>>,
}

struct TaskWaker(u64, World);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut inner = self.1.lock();
        if !inner.ready.contains(&self.0) {
            inner.ready.push_back(self.0);
        }
    }
}

impl World {
    pub fn new() -> Self {
        Self(Arc::default())
    }

    pub fn runtime(&self) -> Handle {
        Arc::new(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Runs the world until `story` ends; panics if nothing can happen any more.
    pub fn run<T: Send + 'static>(&self, story: impl Future<Output = T> + Send + 'static) -> T {
        let result = Arc::new(Mutex::new(None));
        let into = Arc::clone(&result);
        self.spawn("story", Box::pin(async move { *into.lock().unwrap() = Some(story.await) }));
        loop {
            if let Some(result) = result.lock().unwrap().take() {
                return result;
            }
            let next = self.lock().ready.pop_front();
            match next {
                Some(task) => self.poll(task),
                None => self.advance(),
            }
        }
    }

    fn poll(&self, id: u64) {
        let Some(mut task) = self.lock().tasks.get_mut(&id).and_then(Option::take) else { return };
        let waker = Waker::from(Arc::new(TaskWaker(id, self.clone())));
        match task.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(()) => drop(self.lock().tasks.remove(&id)),
            Poll::Pending => *self.lock().tasks.get_mut(&id).unwrap() = Some(task),
        }
    }

    fn advance(&self) {
        let mut inner = self.lock();
        let ((at, _), waker) = inner.timers.pop_first().expect("stuck: nothing can run and no timer is set");
        inner.now = inner.now.max(at);
        drop(inner);
        waker.wake();
    }
}

struct Sleep {
    world: World,
    at: Duration,
    key: Option<(Duration, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let world = self.world.clone();
        let mut inner = world.lock();
        if let Some(key) = self.key.take() {
            inner.timers.remove(&key);
        }
        if inner.now >= self.at {
            return Poll::Ready(());
        }
        inner.next += 1;
        let key = (self.at, inner.next);
        inner.timers.insert(key, context.waker().clone());
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.world.lock().timers.remove(&key);
            drop(waker);
        }
    }
}

impl Runtime for World {
    fn now(&self) -> Instant {
        self.lock().now
    }

    fn wall_clock_ms(&self) -> i64 {
        EPOCH_MS + i64::try_from(self.now().as_millis()).unwrap()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Sleep { world: self.clone(), at: self.now() + duration, key: None })
    }

    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        let mut inner = self.lock();
        inner.next += 1;
        let id = inner.next;
        inner.tasks.insert(id, Some(task));
        inner.ready.push_back(id);
    }

    fn random_u64(&self) -> u64 {
        let mut inner = self.lock();
        inner.random = inner.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (inner.random ^ (inner.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 31)
    }
}
