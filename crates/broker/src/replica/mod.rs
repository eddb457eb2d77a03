//! This broker's replica of the state, and the applier that feeds it.
//!
//! Readers take the lock for a look-up and let it go; the applier takes it for one frame at a time. Every answer to a
//! client comes from here.

mod applier;
mod view;

use kafscale_log::Position;
use kafscale_state::{Handle, State};
use parking_lot::RwLock;
use tokio::sync::watch;

pub use applier::{Applier, Own, Stopped};
pub use view::{Audience, ReplicaView};

use crate::write::Written;

/// Whoever reads what the applier applies.
pub trait Readers: Send + Sync {
    /// Our own batches of the frame at `frame` were accepted: they need not be loaded. `payload_at` is the first byte of the
    /// payload in the object. Called before anybody is answered or woken.
    fn written(&self, frame: Position, payload_at: u64, written: Written);

    /// These partitions grew.
    fn grown(&self, partitions: &[Handle]);
}

/// See the module.
pub struct Replica {
    state: RwLock<State>,
    applied: watch::Sender<Position>,
}

impl Replica {
    /// A replica that begins with a snapshot, or with nothing.
    pub fn new(state: State) -> Self {
        let (applied, _) = watch::channel(state.position());
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
        *self.applied.borrow()
    }

    /// Completes once `position` has been applied.
    pub async fn wait_applied(&self, position: Position) {
        let mut applied = self.applied.subscribe();
        applied.wait_for(|applied| *applied >= position).await.expect("the sender lives as long as this");
    }
}
