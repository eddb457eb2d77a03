//! This broker's replica of the state, and the applier that feeds it.
//!
//! Readers take the lock for a look-up and let it go; the applier takes it for one frame at a time. Every answer to a
//! client comes from here.

mod applier;
mod view;

use kafscale_log::{BarrierError, Log, Position};
use kafscale_runtime::Watched;
use kafscale_state::{Place, State};
use parking_lot::RwLock;

pub use applier::{Applier, Own, Stopped};
pub use view::{Audience, ReplicaView, merged_id};

use crate::write::Written;

/// Whoever reads what the applier applies.
pub trait Readers: Send + Sync {
    /// Our own batches in `object` were accepted: they need not be loaded. Its records begin at byte `records_at`. Called
    /// before anybody is answered or woken.
    fn written(&self, object: Place, records_at: u64, written: Written);

    /// A frame was applied: partitions grew, or changed otherwise.
    fn applied(&self, applied: &kafscale_state::Applied);
}

/// See the module.
pub struct Replica {
    state: RwLock<State>,
    applied: Watched<Applied>,
}

/// How far the applier is.
#[derive(Debug, Clone, Copy)]
struct Applied {
    position: Position,
    /// It applies nothing more.
    over: bool,
}

impl Replica {
    /// A replica that begins with a snapshot, or with nothing.
    pub fn new(state: State) -> Self {
        let applied = Watched::new(Applied { position: state.position(), over: false });
        Self { state: RwLock::new(state), applied }
    }

    /// A look at the state. Keep it short: the applier waits.
    pub fn read<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.state.read())
    }

    /// A copy that shares its content until either changes.
    pub fn snapshot(&self) -> State {
        self.state.read().clone()
    }

    /// The last position applied.
    pub fn applied(&self) -> Position {
        self.applied.get().position
    }

    /// Completes with `true` once `position` has been applied, and with `false` if it never will be.
    pub async fn wait_applied(&self, position: Position) -> bool {
        let done = self.applied.wait_for(|applied| applied.over || applied.position >= position).await;
        done.position >= position
    }

    /// Completes once everything that `log` holds now has been applied.
    pub async fn barrier(&self, log: &dyn Log) -> Result<(), BarrierError> {
        let tail = log.barrier().await?;
        let over = || BarrierError::Unavailable("this broker applies nothing more".to_owned());
        self.wait_applied(tail).await.then_some(()).ok_or_else(over)
    }

    /// Nothing more is applied: whoever waits for it is told.
    pub fn close(&self) {
        self.applied.modify(|applied| applied.over = true);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use bytes::Bytes;
    use futures_util::FutureExt;
    use kafscale_log::memory::MemoryLog;
    use kafscale_runtime::TokioRuntime;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_hears_that_nothing_more_is_applied() {
        let replica = Replica::new(State::new());
        let (log, _frames) = MemoryLog::new(1).open(&TokioRuntime::handle(), 0, |_| Bytes::new());
        assert!(replica.wait_applied(0).await);
        let mut waiting = pin!(replica.wait_applied(1));
        let mut barrier = pin!(replica.barrier(&*log));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        assert_eq!(barrier.as_mut().now_or_never(), None);
        replica.close();
        assert!(!waiting.await);
        assert!(matches!(barrier.await, Err(BarrierError::Unavailable(_))));
        assert!(replica.wait_applied(0).await, "what was applied stays so");
    }
}
