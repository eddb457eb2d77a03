//! A bound on the bytes that jobs read and write per second, so that they leave the store to the clients.

use std::{sync::Arc, time::Duration};

use kafscale_runtime::{Handle, Instant};
use parking_lot::Mutex;

/// See the module. Clones share the bound.
#[derive(Clone)]
pub struct Pace {
    runtime: Handle,
    bytes_per_second: u64,
    /// When what was taken so far has been paid for.
    free_at: Arc<Mutex<Instant>>,
}

impl Pace {
    /// A pace; 0 for none.
    pub fn new(runtime: Handle, bytes_per_second: u64) -> Self {
        Self { runtime, bytes_per_second, free_at: Arc::new(Mutex::new(Duration::ZERO)) }
    }

    /// Waits until so many bytes may be moved.
    pub async fn take(&mut self, bytes: u64) {
        let Some(nanos) = (bytes.saturating_mul(1_000_000_000)).checked_div(self.bytes_per_second) else { return };
        let now = self.runtime.now();
        let from = {
            let mut free_at = self.free_at.lock();
            let from = (*free_at).max(now);
            *free_at = from + Duration::from_nanos(nanos);
            from
        };
        if from > now {
            self.runtime.sleep(from - now).await;
        }
    }
}
