//! Where a waiting request hears of what it waits for: extents that were loaded, partitions that grew.

use std::{mem, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Content, Key, LoadError};

/// What became of an extent that was asked for.
pub type Loaded = Result<Arc<Content>, LoadError>;

/// See the module. One task waits on it; anybody may deliver.
#[derive(Default)]
pub struct Mailbox {
    bell: Notify,
    loaded: Mutex<Vec<(Key, Loaded)>>,
}

impl Mailbox {
    /// Wakes the waiting task, now or when it next waits.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// Hands over an extent.
    pub fn deliver(&self, key: Key, loaded: Loaded) {
        self.loaded.lock().push((key, loaded));
        self.ring();
    }

    /// Completes after the next ring, at once if there was one since the last wait.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Everything that was handed over since the last call.
    pub fn take(&self) -> Vec<(Key, Loaded)> {
        mem::take(&mut self.loaded.lock())
    }
}
