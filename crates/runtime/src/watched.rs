//! A value that tasks wait on: whoever waits is woken in the order of waiting.
//!
//! `tokio::sync::watch` spreads its waiters by chance, so that two runs of one seed would wake them in two orders.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// See the module.
#[derive(Debug, Default)]
pub struct Watched<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T: Copy> Watched<T> {
    /// Begins with this value.
    pub fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Notify::new() }
    }

    /// The value now.
    pub fn get(&self) -> T {
        // A copy cannot be left half written.
        *self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the value and wakes all who wait.
    pub fn modify(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.value.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
    }

    /// The first value seen from now on that will do.
    pub async fn wait_for(&self, will_do: impl Fn(&T) -> bool) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let value = self.get();
            if will_do(&value) {
                return value;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_waits_is_told_the_first_value_that_will_do() {
        let watched = Watched::new(1);
        let mut waiting = pin!(watched.wait_for(|value| *value >= 3));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        watched.modify(|value| *value += 1);
        assert_eq!(waiting.as_mut().now_or_never(), None);
        watched.modify(|value| *value += 5);
        assert_eq!(waiting.now_or_never(), Some(7));
        assert_eq!(watched.wait_for(|value| *value == 7).now_or_never(), Some(7));
    }
}
