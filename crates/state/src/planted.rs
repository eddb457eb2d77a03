//! Bugs that tests plant to prove that they would be caught. Compiled only with the feature `planted-bugs`.
//!
//! The choice is per thread, so that tests that run side by side do not disturb each other, and nothing is planted until
//! a test does so. Cargo unites features: a build of the whole workspace with this one has the switches everywhere.

#![allow(clippy::disallowed_types, reason = "a hash map is one of the bugs")]

use std::cell::Cell;
use std::collections::HashMap;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Every run is accepted, at intake and in apply, whatever its producer wrote before.
    NoDeduplication,
    /// The digest covers verdicts in the order of a hash map with random keys.
    IteratedHashMap,
    /// A member's commit is accepted under any generation.
    NoGenerationCheck,
    /// A merged object takes the place of extents whatever they refer to by now.
    SwapsUnread,
    /// A KIP-848 group is saved although a partition has two owners.
    TwoOwners,
    /// What a merged object replaces gives its references back twice.
    SwapAppliedTwice,
    /// Retention takes an extent that is not due along with those that are.
    CutsTooMuch,
    /// The path of a deleted topic is given to its successor whatever still lies there.
    PathUsedAtOnce,
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants a bug on this thread, or takes it out.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

pub(crate) fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Visits items in an order that differs from process to process and from call to call.
#[expect(clippy::iter_over_hash_type, reason = "this is the bug")]
pub(crate) fn in_hash_order<T>(items: &[T], mut visit: impl FnMut(&T)) {
    let by_index: HashMap<usize, &T> = items.iter().enumerate().collect();
    for item in by_index.values() {
        visit(item);
    }
}
