//! The handle of the write path, and the task that flushes it.

use std::sync::Arc;

use kafscale_log::{Draft, Log};
use kafscale_runtime::{Handle as Runtime, Instant};
use kafscale_state::{Verdict, entry::Entry};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::{
    Append,
    buffer::Submitted,
    core::{Core, Judge, STALL, Step},
    flight::Flight,
    flush::Reason,
};
use crate::{ConnectionId, Latency, metrics::Metrics};

/// Why an entry got no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The store has not confirmed it in time; it may still be appended.
    #[error("outcome unknown: the store has not confirmed in time")]
    TimedOut,
    /// This broker was fenced or is stopping.
    #[error("the broker is stopping")]
    Stopped,
}

/// The write path. Clones share it.
#[derive(Clone)]
pub struct Writer {
    shared: Arc<Shared>,
}

struct Shared {
    core: Mutex<Core>,
    /// Something arrived or ended that may change when to flush.
    changed: Notify,
    /// A flight landed.
    landed: Notify,
    runtime: Runtime,
    log: Arc<dyn Log>,
    judge: Arc<dyn Judge + Send + Sync>,
    metrics: Arc<Metrics>,
}

impl Writer {
    /// A write path over `log`; its flush task runs until the log is fenced or [`Writer::stop`].
    pub fn start(
        runtime: Runtime,
        log: Arc<dyn Log>,
        judge: Arc<dyn Judge + Send + Sync>,
        latency: Latency,
        facts: kafscale_store::Facts,
        bytes_max: u64,
        metrics: Arc<Metrics>,
    ) -> Self {
        let core = Core::new(latency, facts, log.window(), bytes_max, runtime.now());
        let shared = Arc::new(Shared {
            core: Mutex::new(core),
            changed: Notify::new(),
            landed: Notify::new(),
            runtime: Arc::clone(&runtime),
            log,
            judge,
            metrics,
        });
        runtime.spawn("flush", Box::pin(run(Arc::clone(&shared))));
        Self { shared }
    }

    /// Takes the batches of one Produce request. Their order is that of the calls.
    pub fn produce(&self, connection: ConnectionId, appends: Vec<Append>) {
        let now = self.shared.runtime.now();
        self.shared.core.lock().produce(connection, appends, &*self.shared.judge, now);
        self.shared.changed.notify_one();
    }

    /// Appends one entry and returns what apply said of it. One that `may_wait` causes no flush before the timer.
    pub async fn submit(
        &self,
        connection: Option<ConnectionId>,
        entry: Entry,
        may_wait: bool,
    ) -> Result<Verdict, EntryError> {
        let (sender, verdict) = oneshot::channel();
        let now = self.shared.runtime.now();
        self.shared.core.lock().submit(connection, Submitted { entry, verdict: sender }, may_wait, now);
        self.shared.changed.notify_one();
        let outcome = kafscale_runtime::timeout(&*self.shared.runtime, STALL, verdict).await;
        if let Some(connection) = connection {
            self.answered(connection);
        }
        outcome.map_err(|_| EntryError::TimedOut)?.map_err(|_| EntryError::Stopped)
    }

    /// A request of this connection that went through here was answered.
    pub fn answered(&self, connection: ConnectionId) {
        let now: Instant = self.shared.runtime.now();
        self.shared.core.lock().answered(connection, now);
    }

    /// A connection was closed.
    pub fn closed(&self, connection: ConnectionId) {
        self.shared.core.lock().closed(connection);
        self.shared.changed.notify_one();
    }

    /// The oldest frame in flight was applied. Called by the applier alone, once per frame of this writer, in order.
    pub fn landed(&self) -> Option<Flight> {
        let now = self.shared.runtime.now();
        let flight = self.shared.core.lock().landed(&*self.shared.judge, now);
        if let Some(flight) = &flight {
            self.shared.metrics.stage("buffer", flight.started.saturating_sub(flight.since));
            self.shared.metrics.stage("log", now.saturating_sub(flight.started));
        }
        self.shared.changed.notify_one();
        self.shared.landed.notify_waiters();
        flight
    }

    /// Whether the store has confirmed nothing for so long that intake refuses.
    pub fn is_stalled(&self) -> bool {
        self.shared.core.lock().is_stalled(self.shared.runtime.now())
    }

    /// Flushes until nothing is buffered or in flight.
    pub async fn drain(&self) {
        loop {
            let mut landed = std::pin::pin!(self.shared.landed.notified());
            landed.as_mut().enable();
            let draft = {
                let mut core = self.shared.core.lock();
                if core.is_idle() {
                    return;
                }
                core.close_now(self.shared.runtime.now()).map(|draft| self.shared.append(draft, Reason::Timer))
            };
            if draft.is_none() {
                landed.await;
            }
        }
    }

    /// Ends the write path: whoever waits is told that the broker is stopping.
    pub fn stop(&self) {
        self.shared.core.lock().stop();
        self.shared.changed.notify_one();
        self.shared.landed.notify_waiters();
    }
}

impl Shared {
    /// Hands a closed buffer to the log. Called under the lock of the core, so that the order of flights is that of
    /// positions. A log that refuses has been fenced: the applier hears of it by the end of the frames.
    fn append(&self, draft: Draft, reason: Reason) {
        self.metrics.flushed(reason, &draft);
        let appended = self.log.append(draft);
        self.runtime.spawn(
            "append",
            Box::pin(async move {
                if let Err(error) = appended.await {
                    tracing::debug!(%error, "append ended without a position");
                }
            }),
        );
    }
}

async fn run(shared: Arc<Shared>) {
    loop {
        let mut changed = std::pin::pin!(shared.changed.notified());
        changed.as_mut().enable();
        let until = {
            let mut core = shared.core.lock();
            match core.step(&*shared.judge, shared.runtime.now()) {
                Step::Flush(draft, reason) => {
                    shared.append(draft, reason);
                    continue;
                }
                Step::Wait(until) => until,
            }
        };
        match until {
            None => changed.await,
            Some(until) => tokio::select! {
                biased;
                () = changed => {}
                () = shared.runtime.sleep_until(until) => {}
            },
        }
    }
}
