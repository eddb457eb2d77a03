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
    start: Instant,
}

impl TokioRuntime {
    /// A runtime whose clock starts now.
    pub fn handle() -> Handle {
        Arc::new(Self { start: since_boot() })
    }
}

/// A monotonic clock that goes on while the machine is suspended: what a broker slept through has passed.
#[cfg(target_os = "linux")]
fn since_boot() -> Instant {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Elsewhere the standard library's clock must do.
#[cfg(not(target_os = "linux"))]
fn since_boot() -> Instant {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

impl Runtime for TokioRuntime {
    fn now(&self) -> Instant {
        since_boot().saturating_sub(self.start)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_starts_at_zero_and_goes_on() {
        let runtime = TokioRuntime::handle();
        let first = runtime.now();
        assert!(first < Duration::from_secs(60));
        while runtime.now() == first {
            std::hint::spin_loop();
        }
        assert!(runtime.now() > first);
    }
}
