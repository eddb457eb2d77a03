//! The one-way switch that ends a session: set once, with a reason, and seen by every task of the engine.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Whether this session is over, and why.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    reason: Mutex<Option<String>>,
    raised: Notify,
}

impl Fence {
    /// Ends the session. Only the first reason is kept.
    pub fn raise(&self, reason: String) {
        let mut kept = self.reason.lock();
        if kept.is_none() {
            tracing::debug!(reason, "this session of the log is over");
            *kept = Some(reason);
        }
        drop(kept);
        self.raised.notify_waiters();
    }

    /// Why the session is over, if it is.
    pub fn reason(&self) -> Option<String> {
        self.reason.lock().clone()
    }

    /// Completes once the session is over.
    pub async fn wait(&self) {
        let raised = self.raised.notified();
        tokio::pin!(raised);
        raised.as_mut().enable();
        if self.reason.lock().is_none() {
            raised.await;
        }
    }
}
