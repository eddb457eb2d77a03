//! The real thing: tokio's timers and tasks, the operating system's clocks and entropy.

#![allow(clippy::disallowed_methods, reason = "this is the one place that hands them out")]

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::future::BoxFuture;
use rand::Rng;

use crate::{Handle, Instant, Runtime};

/// [`Runtime`] on tokio. Must be used from within a tokio runtime.
#[derive(Debug)]
pub struct TokioRuntime {
    start: std::time::Instant,
}

impl TokioRuntime {
    /// A runtime whose clock starts now.
    pub fn handle() -> Handle {
        Arc::new(Self { start: std::time::Instant::now() })
    }
}

impl Runtime for TokioRuntime {
    fn now(&self) -> Instant {
        self.start.elapsed()
    }

    fn wall_clock_ms(&self) -> i64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn random_u64(&self) -> u64 {
        rand::rng().next_u64()
    }
}
