//! Who waits for which partition to grow.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use kafscale_state::Handle;
use parking_lot::Mutex;

use super::mailbox::Mailbox;

/// The registry of long polls. The applier wakes, fetches wait.
#[derive(Default)]
pub struct Waiters {
    next: AtomicU64,
    by_partition: Mutex<BTreeMap<(Handle, u64), Arc<Mailbox>>>,
    is_over: AtomicBool,
}

impl Waiters {
    /// Rings `mailbox` whenever one of these partitions changes, until the registration is dropped. A caller registers
    /// before it looks, so that nothing is missed in between.
    pub fn register(
        self: &Arc<Self>,
        partitions: impl IntoIterator<Item = Handle>,
        mailbox: &Arc<Mailbox>,
    ) -> Registration {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let partitions: Vec<Handle> = partitions.into_iter().collect();
        let mut registry = self.by_partition.lock();
        for partition in &partitions {
            registry.insert((*partition, number), Arc::clone(mailbox));
        }
        Registration { waiters: Arc::clone(self), partitions, number }
    }

    /// Rings for everybody who waits for one of these partitions.
    pub fn wake(&self, partitions: &[Handle]) {
        let registry = self.by_partition.lock();
        if registry.is_empty() {
            return;
        }
        for partition in partitions {
            for (_, mailbox) in registry.range((*partition, 0)..=(*partition, u64::MAX)) {
                mailbox.ring();
            }
        }
    }

    /// Nobody shall wait any more: rings for all.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        for mailbox in self.by_partition.lock().values() {
            mailbox.ring();
        }
    }

    /// Whether nobody shall wait any more.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// How many waits there are, one per request and partition.
    pub fn len(&self) -> usize {
        self.by_partition.lock().len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Ends the wait when it is dropped.
pub struct Registration {
    waiters: Arc<Waiters>,
    partitions: Vec<Handle>,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut registry = self.waiters.by_partition.lock();
        for partition in &self.partitions {
            registry.remove(&(*partition, self.number));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn only_those_who_wait_for_the_partition_are_rung_and_only_while_they_wait() {
        let waiters = Arc::new(Waiters::default());
        let (one, two) = (Arc::new(Mailbox::default()), Arc::new(Mailbox::default()));
        let first = waiters.register([1, 2], &one);
        let second = waiters.register([2, 3], &two);
        waiters.wake(&[1]);
        assert!(one.rung().now_or_never().is_some());
        assert!(two.rung().now_or_never().is_none());
        waiters.wake(&[2, 2]);
        assert!(one.rung().now_or_never().is_some() && two.rung().now_or_never().is_some());
        assert!(one.rung().now_or_never().is_none(), "once is enough");
        drop(first);
        waiters.wake(&[1, 2]);
        assert!(one.rung().now_or_never().is_none());
        assert!(two.rung().now_or_never().is_some());
        drop(second);
        assert!(waiters.is_empty());
    }
}
