//! Bugs that tests switch on to prove that they would be caught. Compiled only with the feature `planted-bugs`; off until
//! switched on: a flag for the whole process, or a [`Bug`] for one thread.

use std::{cell::Cell, sync::atomic::AtomicBool};

/// The directory store leaves out the flush of the folder after a name was given: acknowledged objects may vanish.
pub static NO_PARENT_FLUSH: AtomicBool = AtomicBool::new(false);

/// A bug in asking again beside a slow request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// There is never another attempt.
    NeverAskedAgain,
    /// The first error ends the request, whatever other attempts are under way.
    FirstErrorCounts,
    /// Extra attempts cost nothing.
    AskedAgainUnpaid,
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants such a bug on this thread, or takes it out.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

pub(crate) fn bug() -> Option<Bug> {
    PLANTED.get()
}

pub(crate) fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}
