//! The few things of the outside world that the core may touch: time, randomness and tasks.
//!
//! Everything between the sockets and the store (log engines, write path, read path, snapshots) reaches them through
//! [`Runtime`] alone, so that the same code runs under tokio in `kafscale serve` and under a deterministic executor with
//! a virtual clock in the simulation. No correctness decision may rest on local time: it is for pacing only.

mod timeout;
mod tokio_runtime;
mod watched;

use std::{sync::Arc, time::Duration};

pub use futures_util::future::BoxFuture;
pub use timeout::{Elapsed, timeout};
pub use tokio_runtime::TokioRuntime;
pub use watched::Watched;

/// A point on this process's monotonic clock, as the time since an arbitrary start.
pub type Instant = Duration;

/// A shared runtime.
pub type Handle = Arc<dyn Runtime>;

/// Time, randomness and tasks for one broker process.
///
/// Implementations are [`TokioRuntime`] and the simulation's executor.
pub trait Runtime: Send + Sync + 'static {
    /// The monotonic clock. It never goes back and it counts the time that the machine was suspended.
    fn now(&self) -> Instant;

    /// The system clock in milliseconds since the Unix epoch. It may jump in either direction.
    fn wall_clock_ms(&self) -> i64;

    /// Completes once `duration` has passed on the monotonic clock.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// Runs `task` beside the caller until it completes or the process ends. `name` is for logs.
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>);

    /// Uniform random bits: object nonces, jitter, topic ids. Not for cryptographic keys.
    fn random_u64(&self) -> u64;
}

impl dyn Runtime {
    /// 128 uniform random bits.
    pub fn random_u128(&self) -> u128 {
        (u128::from(self.random_u64()) << 64) | u128::from(self.random_u64())
    }

    /// Completes at `deadline`, at once if it has passed.
    pub fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        self.sleep(deadline.saturating_sub(self.now()))
    }
}
