//! A bug that the simulation plants to prove that it would be caught. Compiled only with the feature `planted-bugs`.
//!
//! The choice is per thread, so that tests that run side by side do not disturb each other.

use std::cell::Cell;

thread_local! {
    static ACKNOWLEDGES_EARLY: Cell<bool> = const { Cell::new(false) };
}

/// Makes brokers on this thread answer producers when their batches are handed to the log, not when they count.
pub fn acknowledge_early(planted: bool) {
    ACKNOWLEDGES_EARLY.set(planted);
}

pub(crate) fn acknowledges_early() -> bool {
    ACKNOWLEDGES_EARLY.get()
}
