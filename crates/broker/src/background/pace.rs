//! A bound on the bytes that jobs read and write per second, so that they leave the store to the clients.

use std::time::Duration;

use kafscale_runtime::{Handle, Instant};

/// See the module.
pub struct Pace {
    runtime: Handle,
    bytes_per_second: u64,
    /// When what was taken so far has been paid for.
    free_at: Instant,
}

impl Pace {
    /// A pace; 0 for none.
    pub fn new(runtime: Handle, bytes_per_second: u64) -> Self {
        Self { runtime, bytes_per_second, free_at: Duration::ZERO }
    }

    /// Waits until so many bytes may be moved.
    pub async fn take(&mut self, bytes: u64) {
        let Some(nanos) = (bytes.saturating_mul(1_000_000_000)).checked_div(self.bytes_per_second) else { return };
        let now = self.runtime.now();
        let from = self.free_at.max(now);
        self.free_at = from + Duration::from_nanos(nanos);
        if from > now {
            self.runtime.sleep(from - now).await;
        }
    }
}
