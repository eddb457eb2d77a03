//! A timer of the world, as a future.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use kafscale_runtime::Instant;

use super::{Event, TimerKey, World};

/// Ends at `deadline`; never, once its node was killed.
pub(super) struct Sleep {
    world: World,
    deadline: Instant,
    node: Option<usize>,
    timer: Option<TimerKey>,
}

impl Sleep {
    /// Of a node, or of the world itself.
    pub fn new(world: &World, deadline: Instant, node: Option<usize>) -> Self {
        Self { world: world.clone(), deadline, node, timer: None }
    }
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
