//! Bugs that the simulation plants to prove that they would be caught. Compiled only with the feature `planted-bugs`.
//!
//! The choice is per thread, so that tests that run side by side do not disturb each other.

use std::cell::Cell;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Producers are answered when their batches are handed to the log, not when they count.
    AcknowledgesEarly,
    /// A data object is committed before it is known to be stored.
    CommitsBeforeData,
    /// A static member whose place was taken goes on as if it still had it.
    StaticMemberNotFenced,
    /// A member that asks before the leader has assigned gets what it had in the generation before.
    OldAssignment,
    /// A member's commit is let through under any generation; apply has a switch of its own.
    NoGenerationCheck,
    /// A member of a KIP-848 group is given a partition that another has not given up yet; apply has a switch of its own.
    NotGivenUp,
    /// A look-up by time answers with the first record of the batch.
    TimeOfBatch,
    /// A batch that was sent with acks=0 and failed does not end the connection.
    SilentFailure,
    /// A request that was answered keeps its share of the memory.
    MemoryKept,
    /// Small requests have no memory of their own.
    NoReserve,
    /// A peer that owes the rest of a request is waited for without end.
    HalfFramesKept,
    /// A fetch session no longer looks at a partition that once sent records.
    SessionForgets,
    /// A snapshot is read without its last part.
    LastPartForgotten,
    /// What is dead is deleted when it is old by the system's clock, whoever may still read it.
    DeletesByWallClock,
    /// A merged object's name has nothing of its session and nothing random.
    NameWithoutId,
    /// A claimed segment says of its creation what the clock says, and is not read back.
    ClaimWithOtherBytes,
    /// Log compaction takes the last value of a key with the others.
    LastValueCleaned,
    /// Tombstones go in the first pass that sees them.
    TombstonesGoAtOnce,
    /// Reads of the store are not bounded: as many at once as are wanted.
    BackfillsUnbounded,
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants a bug in the brokers of this thread, or takes it out.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

pub(crate) fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}
