//! The handle of the write path, and the task that flushes it.

use std::sync::Arc;

use kafscale_log::AppendError;
use kafscale_runtime::{Handle as Runtime, Instant};
use kafscale_state::{Verdict, entry::Entry};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};

use super::{
    Append,
    buffer::{Sealed, Submitted},
    core::{Core, Judge, STALL, Step},
    flight::Flight,
    flush::Reason,
    objects::ObjectFigures,
    outlet::Outlet,
};
use crate::{ConnectionId, Latency, metrics::Metrics};

/// Why an entry got no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The store has not confirmed it in time; it may still be appended.
    #[error("outcome unknown: the store has not confirmed in time")]
    TimedOut,
    /// Refused before it was buffered: the store has not confirmed anything for too long.
    #[error("the store is not confirming writes")]
    StoreStalled,
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
    /// A flight landed, or nothing is left to wait for.
    landed: Notify,
    /// The log refused a frame: our own mistake, after which nothing may be acknowledged.
    refused: watch::Sender<Option<String>>,
    runtime: Runtime,
    outlet: Outlet,
    judge: Arc<dyn Judge + Send + Sync>,
    is_away: IsAway,
    metrics: Arc<Metrics>,
}

/// Whether the store is known not to answer.
pub type IsAway = Box<dyn Fn() -> bool + Send + Sync>;

impl Writer {
    #[expect(clippy::too_many_arguments, reason = "each is a part of its own")]
    /// A write path into `outlet`; its flush task runs until the log is fenced or [`Writer::stop`].
    pub fn start(
        runtime: Runtime,
        outlet: Outlet,
        judge: Arc<dyn Judge + Send + Sync>,
        latency: Latency,
        facts: kafscale_store::Facts,
        bytes_max: u64,
        is_away: IsAway,
        metrics: Arc<Metrics>,
    ) -> Self {
        let core = Core::new(latency, facts, &outlet, bytes_max, runtime.now());
        let shared = Arc::new(Shared {
            core: Mutex::new(core),
            changed: Notify::new(),
            landed: Notify::new(),
            refused: watch::Sender::new(None),
            runtime: Arc::clone(&runtime),
            outlet,
            judge,
            is_away,
            metrics,
        });
        runtime.spawn("flush", Box::pin(run(Arc::clone(&shared))));
        Self { shared }
    }

    /// Takes the batches of one Produce request. Their order is that of the calls.
    pub fn produce(&self, connection: ConnectionId, appends: Vec<Append>) {
        let (now, away) = (self.shared.runtime.now(), (self.shared.is_away)());
        let mut core = self.shared.core.lock();
        core.set_away(away);
        core.produce(connection, appends, &*self.shared.judge, now);
        drop(core);
        self.shared.changed.notify_one();
    }

    /// Appends one entry and returns what apply said of it. It has taken its place when this returns; the future is the
    /// verdict, or says that there was none in time. One that `may_wait` causes no flush before the timer.
    pub fn submit(
        &self,
        connection: Option<ConnectionId>,
        entry: Entry,
        may_wait: bool,
    ) -> impl Future<Output = Result<Verdict, EntryError>> + Send + use<> {
        let taken = self.take(connection, entry, may_wait);
        let writer = self.clone();
        async move {
            let outcome = kafscale_runtime::timeout(&*writer.shared.runtime, STALL, taken?).await;
            if let Some(connection) = connection {
                writer.answered(connection);
            }
            outcome.map_err(|_| EntryError::TimedOut)?.map_err(|_| EntryError::Stopped)
        }
    }

    /// The same for who must know whether it was appended, however long that takes.
    pub fn submit_until_decided(
        &self,
        entry: Entry,
        may_wait: bool,
    ) -> impl Future<Output = Result<Verdict, EntryError>> + Send + use<> {
        let taken = self.take(None, entry, may_wait);
        async move { taken?.await.map_err(|_| EntryError::Stopped) }
    }

    fn take(
        &self,
        connection: Option<ConnectionId>,
        entry: Entry,
        may_wait: bool,
    ) -> Result<oneshot::Receiver<Verdict>, EntryError> {
        let (sender, verdict) = oneshot::channel();
        let (now, away) = (self.shared.runtime.now(), (self.shared.is_away)());
        let mut core = self.shared.core.lock();
        core.set_away(away);
        let taken = core.submit(connection, Submitted { entry, verdict: sender }, may_wait, now);
        drop(core);
        self.shared.changed.notify_one();
        taken.map(|()| verdict)
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

    /// Every data object of this session with a number below this is committed, or never will be; none where records lie in
    /// the log's frames.
    pub fn objects_settled(&self) -> Option<u64> {
        self.shared.core.lock().objects_settled()
    }

    /// What was counted of data objects.
    pub fn object_figures(&self) -> ObjectFigures {
        self.shared.outlet.figures()
    }

    /// Flushes until nothing is buffered or in flight.
    pub async fn drain(&self) {
        loop {
            let mut landed = std::pin::pin!(self.shared.landed.notified());
            landed.as_mut().enable();
            let sealed = {
                let mut core = self.shared.core.lock();
                if core.is_idle() {
                    return;
                }
                core.close_now(self.shared.runtime.now()).map(|sealed| self.shared.append(sealed, Reason::Timer))
            };
            if sealed.is_none() {
                landed.await;
            }
        }
    }

    /// Ends the write path: whoever waits is told that the broker is stopping.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Whether it has ended.
    pub fn is_stopped(&self) -> bool {
        self.shared.core.lock().is_stopped()
    }

    /// Completes with the reason if the log refuses a frame. The write path has ended then.
    pub async fn refused(&self) -> String {
        let mut refused = self.shared.refused.subscribe();
        let reason = refused.wait_for(Option::is_some).await.expect("the sender lives as long as this");
        reason.clone().expect("waited for")
    }
}

impl Shared {
    /// Hands a closed buffer on. Called under the lock of the core, so that the order of flights is that of
    /// positions. Of a fence the applier hears by the end of the frames. A refused frame leaves a flight that never lands,
    /// and the next frame would answer it: so nothing is answered any more.
    fn append(self: &Arc<Self>, sealed: Sealed, reason: Reason) {
        self.metrics.flushed(reason, sealed.records.len());
        let appended = self.outlet.append(sealed);
        let shared = Arc::clone(self);
        self.runtime.spawn(
            "append",
            Box::pin(async move {
                match appended.await {
                    Ok(_) => {}
                    Err(AppendError::Fenced(reason)) => tracing::debug!(reason, "append ended without a position"),
                    Err(error @ AppendError::Refused(_)) => {
                        shared.stop();
                        shared.refused.send_replace(Some(error.to_string()));
                    }
                }
            }),
        );
    }

    fn stop(&self) {
        self.core.lock().stop();
        self.outlet.stop();
        self.changed.notify_one();
        self.landed.notify_waiters();
    }
}

async fn run(shared: Arc<Shared>) {
    loop {
        let mut changed = std::pin::pin!(shared.changed.notified());
        changed.as_mut().enable();
        let until = {
            let mut core = shared.core.lock();
            match core.step(&*shared.judge, shared.runtime.now()) {
                Step::Flush(sealed, reason) => {
                    shared.append(sealed, reason);
                    continue;
                }
                Step::Wait(until) => {
                    // The last batch that was held may have been let go.
                    if core.is_idle() {
                        shared.landed.notify_waiters();
                    }
                    until
                }
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
