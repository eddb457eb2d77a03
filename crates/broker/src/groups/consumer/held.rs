//! Since which epoch members hold what they hold.
//!
//! A commit may have been sent before the answer to a heartbeat came that moved its member to another epoch. It counts if the
//! member has held all of its partitions since the epoch that the commit names: nobody else can have had them in between
//! (KIP-1251). This is not saved. A coordinator that starts knows of each member that it held everything in its epoch, which
//! is the truth or later than it, so that what it takes, the one before would have taken too.

use std::collections::BTreeMap;

use kafscale_state::{Handle, group::ConsumerMember};

/// By member and partition the epoch in which it was given.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<String, BTreeMap<Handle, i32>>);

impl Held {
    /// Takes note of a member as it is now.
    pub fn note(&mut self, member: &ConsumerMember) {
        let held = self.0.entry(member.id.clone()).or_default();
        held.retain(|handle, _| holds(member, *handle));
        for handle in member.assigned.iter().chain(&member.revoking) {
            held.entry(*handle).or_insert(member.epoch);
        }
    }

    /// A member is gone.
    pub fn forget(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// Whether a member has held a partition since this epoch, or longer.
    pub fn since(&self, member: &ConsumerMember, handle: Handle, epoch: i32) -> bool {
        let given = self.0.get(&member.id).and_then(|held| held.get(&handle));
        holds(member, handle) && given.is_some_and(|given| *given <= epoch)
    }
}

fn holds(member: &ConsumerMember, handle: Handle) -> bool {
    member.assigned.contains(&handle) || member.revoking.contains(&handle)
}
