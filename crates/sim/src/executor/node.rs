//! A process of the world, and the seam through which the code under test sees it.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use kafscale_runtime::{BoxFuture, Handle, Instant, Runtime};
use tokio::sync::oneshot;

use super::{EPOCH_MS, World, sleep::Sleep};

/// A simulated process. Cloning gives another handle to it.
#[derive(Clone)]
pub struct Node {
    world: World,
    id: usize,
}

impl Node {
    pub(super) fn new(world: &World, id: usize) -> Self {
        Self { world: world.clone(), id }
    }

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
        Box::pin(Sleep::new(&self.world, deadline, Some(self.id)))
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

impl<T> Call<T> {
    /// Its output, if it has ended.
    pub(super) fn ended(&mut self) -> Option<T> {
        self.0.try_recv().ok()
    }
}

impl<T> Future for Call<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(context).map(Result::ok)
    }
}
