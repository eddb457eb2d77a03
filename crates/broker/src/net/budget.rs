//! The memory that requests may take, over all connections.
//!
//! Bytes are reserved as they arrive and given back when the request has been answered. One frame's worth of the budget is
//! kept for the *oldest incomplete frame* alone: when memory is short, only that connection is read, so that half frames
//! can never block each other for ever.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A shared budget of bytes.
#[derive(Debug, Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// What all together may take.
    limit: u64,
    /// What all but the oldest incomplete frame may take.
    common_limit: u64,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    used: u64,
    next_ticket: u64,
    incomplete: BTreeSet<u64>,
}

impl Budget {
    /// A budget of `limit` bytes for frames of at most `frame_max` bytes; at least two frames must fit.
    pub fn new(limit: u64, frame_max: u64) -> Self {
        let limit = limit.max(2 * frame_max);
        let shared = Shared { limit, common_limit: limit - frame_max, state: Mutex::default(), changed: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// A new frame begins to arrive.
    pub fn begin(&self) -> Reservation {
        let mut state = self.shared.state.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.incomplete.insert(ticket);
        Reservation { shared: Arc::clone(&self.shared), ticket, bytes: 0 }
    }

    /// Bytes reserved now.
    pub fn used(&self) -> u64 {
        self.shared.state.lock().used
    }

    /// The most that can be reserved.
    pub fn limit(&self) -> u64 {
        self.shared.limit
    }
}

/// The bytes that one request holds; given back on drop.
#[derive(Debug)]
pub struct Reservation {
    shared: Arc<Shared>,
    ticket: u64,
    bytes: u64,
}

impl Reservation {
    /// Reserves `more` bytes, waiting until there is room. Cancelling takes nothing.
    pub async fn grow(&mut self, more: u64) {
        let shared = Arc::clone(&self.shared);
        loop {
            let mut changed = std::pin::pin!(shared.changed.notified());
            changed.as_mut().enable();
            if self.try_grow(more) {
                return;
            }
            changed.await;
        }
    }

    fn try_grow(&mut self, more: u64) -> bool {
        let mut state = self.shared.state.lock();
        let is_oldest = state.incomplete.first() == Some(&self.ticket);
        let limit = if is_oldest { self.shared.limit } else { self.shared.common_limit };
        let fits = state.used + more <= limit;
        if fits {
            state.used += more;
            self.bytes += more;
        }
        fits
    }

    /// The frame has arrived whole: from now on another one may be the oldest.
    pub fn complete(&mut self) {
        self.shared.state.lock().incomplete.remove(&self.ticket);
        self.shared.changed.notify_waiters();
    }

    /// Bytes reserved by this one.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.used -= self.bytes;
        state.incomplete.remove(&self.ticket);
        drop(state);
        self.shared.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn only_the_oldest_incomplete_frame_may_use_the_last_frame_of_memory() {
        let budget = Budget::new(300, 100);
        let mut oldest = budget.begin();
        let mut other = budget.begin();
        assert!(other.grow(200).now_or_never().is_some(), "the common part is free");
        assert!(other.grow(1).now_or_never().is_none(), "the rest is kept for the oldest");
        assert!(oldest.grow(100).now_or_never().is_some());
        assert!(oldest.grow(1).now_or_never().is_none(), "nobody exceeds the limit");
        assert_eq!(budget.used(), 300);
    }

    #[test]
    fn a_completed_frame_makes_the_next_the_oldest_and_its_answer_frees_the_bytes() {
        let budget = Budget::new(300, 100);
        let mut first = budget.begin();
        first.grow(200).now_or_never().expect("free");
        let mut second = budget.begin();
        assert!(second.grow(50).now_or_never().is_none());
        first.complete();
        assert!(second.grow(50).now_or_never().is_some());
        drop(first);
        assert_eq!(budget.used(), 50);
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_waiting_reservation_wakes_when_bytes_come_back() {
        let budget = Budget::new(200, 100);
        let mut first = budget.begin();
        first.grow(150).now_or_never().expect("free");
        let mut second = budget.begin();
        {
            let mut waiting = std::pin::pin!(second.grow(80));
            assert!(waiting.as_mut().now_or_never().is_none());
            drop(first);
            assert!(waiting.now_or_never().is_some());
        }
        assert_eq!(second.bytes(), 80);
    }
}
