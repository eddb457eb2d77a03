//! Catching up before a listing.
//!
//! A list of all topics, or of the brokers, is a picture of one moment: it claims nothing of what it leaves out, and clients
//! that list (consoles, pattern subscriptions, monitoring) ask again. So it does not wait for a store that is away, as
//! an answer about *one* missing name must: it tries the barrier for a moment, and is then made from what this replica knows.
//! While barriers are known to fail it does not wait at all, but sees to it that one is under way, so that the broker
//! finds out when the store is back, or that it was taken over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use kafscale_log::BarrierError;
use kafscale_runtime::timeout;

use crate::Broker;

/// How long a listing waits for its barrier.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a broker knows of its barriers.
#[derive(Debug, Default)]
pub struct Barriers {
    /// The last one got no answer, or none in time.
    failing: AtomicBool,
    /// One is under way that nobody waits for.
    probing: AtomicBool,
}

impl Barriers {
    /// Notes how a barrier ended.
    pub fn ended(&self, reached: &Result<(), BarrierError>) {
        self.failing.store(matches!(reached, Err(BarrierError::Unavailable(_))), Relaxed);
    }
}

impl Broker {
    /// Catches up before a listing as far as that is possible at the moment. An error only if another broker has taken over:
    /// what this one knows is history then.
    pub async fn catch_up_to_list(self: &Arc<Self>) -> Result<(), BarrierError> {
        let barriers = self.barriers();
        if !barriers.failing.load(Relaxed) {
            match timeout(&**self.runtime(), PATIENCE, self.barrier()).await {
                Ok(Err(BarrierError::Unavailable(_))) => return Ok(()),
                Ok(reached) => return reached,
                Err(_) => barriers.failing.store(true, Relaxed),
            }
        }
        if let Some(reason) = self.fenced() {
            return Err(BarrierError::Fenced(reason));
        }
        if !barriers.probing.swap(true, Relaxed) {
            let broker = Arc::clone(self);
            let probe = async move {
                // Its end is noted; that is all it is for.
                let _ = broker.barrier().await;
                broker.barriers().probing.store(false, Relaxed);
            };
            self.runtime().spawn("barrier-probe", Box::pin(probe));
        }
        Ok(())
    }
}
