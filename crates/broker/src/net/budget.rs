//! The memory that requests may take, over all connections.
//!
//! Bytes are reserved as they arrive and given back when the request has been answered.
//!
//! ```text
//!   common ............................ every request
//!   one frame's worth ................. the oldest incomplete frame alone
//!   reserve ........................... small requests that are not Produce
//! ```
//!
//! When the common part is used up, only the connection with the *oldest incomplete frame* is read on, so that half frames
//! can never block each other for ever; and while anybody waits, half frames must get on faster (see `connection`). Large
//! frames have half of the common part, so that a few of them that hardly arrive leave room for everybody's usual requests.
//! And since Produce requests wait for the store, for 25 s when it is away, they would then keep everybody else from being
//! read: so the control path (Metadata, ApiVersions, Fetch of an established session) has a reserve that no Produce can
//! touch.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Bytes that are kept for small requests that are not Produce: a few hundred of the largest, tens of thousands of the
/// usual ones.
pub const RESERVE: u64 = 16 << 20;

/// A shared budget of bytes.
#[derive(Debug, Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// What all but the oldest incomplete frame may take together.
    common_limit: u64,
    /// What the oldest incomplete frame may take beyond that.
    frame_max: u64,
    /// What requests that are not Produce may take when there is nothing else, see [`Class`].
    reserve_limit: u64,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    used: u64,
    /// As much of `used` as is [`Class::LargeData`].
    large_used: u64,
    reserve_used: u64,
    /// How many wait for room.
    waiting: usize,
    next_ticket: u64,
    incomplete: BTreeSet<u64>,
}

/// Which parts of the budget a request may draw on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A small request that is not Produce: the reserve too.
    Control,
    /// A larger one that is not Produce, such as a Fetch that names thousands of partitions: half of the reserve, so that
    /// these never keep the small ones out.
    LargeControl,
    /// Any other of a usual length.
    Data,
    /// A long one: half of the common part.
    LargeData,
}

impl Budget {
    /// A budget of `limit` bytes for frames of at most `frame_max` bytes; at least two frames and [`RESERVE`] must fit.
    pub fn new(limit: u64, frame_max: u64) -> Self {
        Self::with_reserve(limit, frame_max, RESERVE)
    }

    pub(super) fn with_reserve(limit: u64, frame_max: u64, reserve_limit: u64) -> Self {
        let common_limit = limit.saturating_sub(frame_max + reserve_limit).max(frame_max);
        let shared = Shared { common_limit, frame_max, reserve_limit, state: Mutex::default(), changed: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// A new frame begins to arrive.
    pub fn begin(&self, class: Class) -> Reservation {
        let mut state = self.shared.state.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.incomplete.insert(ticket);
        Reservation { shared: Arc::clone(&self.shared), class, ticket, common: 0, reserve: 0 }
    }

    /// Whether somebody waits for room.
    pub fn is_short(&self) -> bool {
        self.shared.state.lock().waiting > 0
    }

    /// Bytes reserved now.
    pub fn used(&self) -> u64 {
        let state = self.shared.state.lock();
        state.used + state.reserve_used
    }

    /// The most that can be reserved.
    pub fn limit(&self) -> u64 {
        self.shared.common_limit + self.shared.frame_max + self.shared.reserve_limit
    }
}

/// The bytes that one request holds; given back on drop.
#[derive(Debug)]
pub struct Reservation {
    shared: Arc<Shared>,
    class: Class,
    ticket: u64,
    /// Bytes of the common part, or of the oldest frame's.
    common: u64,
    /// Bytes of the reserve.
    reserve: u64,
}

impl Reservation {
    /// Reserves `more` bytes, waiting until there is room. Cancelling takes nothing.
    pub async fn grow(&mut self, more: u64) {
        let shared = Arc::clone(&self.shared);
        let _waits = Waits::begin(&shared);
        loop {
            let mut changed = std::pin::pin!(shared.changed.notified());
            changed.as_mut().enable();
            if self.try_grow(more) {
                return;
            }
            changed.await;
        }
    }

    /// Reserves `more` bytes if there is room.
    pub fn try_grow(&mut self, more: u64) -> bool {
        let mut state = self.shared.state.lock();
        let is_oldest = state.incomplete.first() == Some(&self.ticket);
        let limit = self.shared.common_limit + if is_oldest { self.shared.frame_max } else { 0 };
        let is_large = self.class == Class::LargeData;
        let is_large_beyond = is_large && !is_oldest && state.large_used + more > self.shared.common_limit / 2;
        if state.used + more <= limit && !is_large_beyond {
            state.used += more;
            state.large_used += if is_large { more } else { 0 };
            self.common += more;
            return true;
        }
        let reserve = match self.class {
            Class::Control => self.shared.reserve_limit,
            Class::LargeControl => self.shared.reserve_limit / 2,
            Class::Data | Class::LargeData => 0,
        };
        let fits_reserve = state.reserve_used + more <= reserve;
        if fits_reserve {
            state.reserve_used += more;
            self.reserve += more;
        }
        fits_reserve
    }

    /// The frame has arrived whole: from now on another one may be the oldest.
    pub fn complete(&mut self) {
        self.shared.state.lock().incomplete.remove(&self.ticket);
        self.shared.changed.notify_waiters();
    }

    /// Bytes reserved by this one.
    pub fn bytes(&self) -> u64 {
        self.common + self.reserve
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.used -= self.common;
        state.large_used -= if self.class == Class::LargeData { self.common } else { 0 };
        state.reserve_used -= self.reserve;
        state.incomplete.remove(&self.ticket);
        drop(state);
        self.shared.changed.notify_waiters();
    }
}

/// Somebody waits for room.
struct Waits<'a>(&'a Shared);

impl<'a> Waits<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.state.lock().waiting += 1;
        Self(shared)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.state.lock().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn only_the_oldest_incomplete_frame_may_use_the_last_frame_of_memory() {
        let budget = Budget::with_reserve(300, 100, 0);
        let mut oldest = budget.begin(Class::Data);
        let mut other = budget.begin(Class::Data);
        assert!(other.grow(200).now_or_never().is_some(), "the common part is free");
        assert!(other.grow(1).now_or_never().is_none(), "the rest is kept for the oldest");
        assert!(oldest.grow(100).now_or_never().is_some());
        assert!(oldest.grow(1).now_or_never().is_none(), "nobody exceeds the limit");
        assert_eq!(budget.used(), 300);
    }

    #[test]
    fn a_completed_frame_makes_the_next_the_oldest_and_its_answer_frees_the_bytes() {
        let budget = Budget::with_reserve(300, 100, 0);
        let mut first = budget.begin(Class::Data);
        first.grow(200).now_or_never().expect("free");
        let mut second = budget.begin(Class::Data);
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
        let budget = Budget::with_reserve(200, 100, 0);
        let mut first = budget.begin(Class::Data);
        first.grow(150).now_or_never().expect("free");
        let mut second = budget.begin(Class::Data);
        {
            let mut waiting = std::pin::pin!(second.grow(80));
            assert!(waiting.as_mut().now_or_never().is_none());
            drop(first);
            assert!(waiting.now_or_never().is_some());
        }
        assert_eq!(second.bytes(), 80);
    }
    #[test]
    fn small_requests_have_a_reserve_that_no_other_touches() {
        let budget = Budget::with_reserve(300, 100, 50);
        let mut first = budget.begin(Class::Data);
        let mut produce = budget.begin(Class::Data);
        assert!(
            first.grow(250).now_or_never().is_some(),
            "the oldest may take its frame's worth beyond the common part"
        );
        assert!(produce.grow(1).now_or_never().is_none());
        let mut metadata = budget.begin(Class::Control);
        assert!(metadata.grow(50).now_or_never().is_some());
        assert!(metadata.grow(1).now_or_never().is_none());
        assert!(budget.begin(Class::Control).grow(1).now_or_never().is_none());
        assert!(produce.grow(1).now_or_never().is_none());
        assert_eq!((budget.used(), budget.limit(), metadata.bytes()), (300, 300, 50));
        drop(metadata);
        assert!(budget.begin(Class::Control).grow(50).now_or_never().is_some());
        drop(first);
        let mut metadata = budget.begin(Class::Control);
        assert!(metadata.grow(60).now_or_never().is_some(), "there is room in the common part again");
        drop(metadata);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn larger_requests_have_half_of_the_reserve() {
        let budget = Budget::with_reserve(300, 100, 50);
        let mut first = budget.begin(Class::Data);
        first.grow(250).now_or_never().expect("free");
        let mut large = budget.begin(Class::LargeControl);
        assert!(large.grow(25).now_or_never().is_some());
        assert!(large.grow(1).now_or_never().is_none());
        let mut small = budget.begin(Class::Control);
        assert!(small.grow(25).now_or_never().is_some());
        drop((large, small));
        let mut produce = budget.begin(Class::Data);
        assert!(produce.grow(1).now_or_never().is_none());
    }

    #[test]
    fn large_frames_leave_half_of_the_common_part_to_the_others() {
        let budget = Budget::with_reserve(300, 100, 0);
        let (mut oldest, mut large) = (budget.begin(Class::LargeData), budget.begin(Class::LargeData));
        assert!(oldest.grow(60).now_or_never().is_some());
        assert!(large.grow(40).now_or_never().is_some(), "the other half of 200");
        assert!(large.grow(1).now_or_never().is_none());
        assert!(budget.begin(Class::Data).grow(100).now_or_never().is_some());
        assert!(oldest.grow(140).now_or_never().is_some(), "the oldest has a frame's worth all the same");
        drop(oldest);
        assert!(large.grow(60).now_or_never().is_some());
        drop(large);
        assert_eq!((budget.used(), budget.shared.state.lock().large_used), (0, 0));
    }

    #[test]
    fn memory_is_short_while_somebody_waits() {
        let budget = Budget::with_reserve(200, 100, 0);
        let mut first = budget.begin(Class::Data);
        first.grow(150).now_or_never().expect("free");
        assert!(!budget.is_short());
        let mut second = budget.begin(Class::Data);
        {
            let mut waiting = std::pin::pin!(second.grow(80));
            assert!(waiting.as_mut().now_or_never().is_none());
            assert!(budget.is_short());
        }
        assert!(!budget.is_short(), "it has given up");
    }

    #[test]
    fn two_frames_and_the_reserve_always_fit() {
        let budget = Budget::with_reserve(10, 100, 50);
        assert_eq!(budget.limit(), 250);
        assert_eq!(Budget::new(256 << 20, 100 << 20).limit(), 256 << 20);
    }
}
