//! How often a group is saved.
//!
//! A save writes the whole group, however little of it has changed. A thousand members that come one after the other would
//! write it a thousand times, each time a little larger, and the lock that all groups share would be held for each. So what
//! a group writes is bounded in bytes a second: after a save the next one waits for as long as that save was heavy, and what
//! changes meanwhile goes together, to be answered together. Nothing is answered before it is saved, so that a restart loses
//! nothing that a member was told. Small groups do not wait at all, and nobody waits longer than [`WAIT_MAX`], which is far
//! from any timeout.

use std::time::Duration;

/// Groups that weigh less are saved whenever they change.
const SMALL: u64 = 64 << 10;
/// What a group may save each second, by weight.
pub(super) const A_SECOND: u64 = 4 << 20;
/// The longest time between two saves that have something to say.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// How long after the save of a group with this weight the next one waits.
pub(super) fn after(weight: u64) -> Duration {
    match weight < SMALL {
        true => Duration::ZERO,
        false => Duration::from_micros(weight.saturating_mul(1_000_000) / A_SECOND).min(WAIT_MAX),
    }
}
