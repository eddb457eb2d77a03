//! One member's next step towards its target: give up first, then take what others have given up.
//!
//! ```text
//!                       has to give up partitions
//!        Stable ◀────────────────────────────────▶ UnrevokedPartitions
//!          ▲   a newer target                            │ it owns them no longer
//!          │                                             ▼
//!          └──────────────────────────────── UnreleasedPartitions
//!                 all have been released         others still own some of its target
//! ```
//!
//! A member reaches an epoch only when it owns nothing that the epoch's target takes from it, and it is given a partition
//! only when no other member has it: that is how no partition ever has two owners.

use kafscale_state::{
    Handle,
    group::{ConsumerMember, MemberState, Partitions},
};

/// What a member is reconciled with.
pub(super) struct Aim<'a> {
    /// The epoch of the members' targets.
    pub epoch: i32,
    /// Whether a partition exists and the member subscribes to its topic.
    pub wants: &'a dyn Fn(Handle) -> bool,
    /// Whether no other member has it, or has yet to give it up.
    pub is_free: &'a dyn Fn(Handle) -> bool,
    /// What the member says that it owns; none if it does not say.
    pub owned: Option<&'a Partitions>,
}

/// The member after its next step; none if there is none to take.
pub(super) fn reconcile(member: &ConsumerMember, aim: &Aim<'_>) -> Option<ConsumerMember> {
    match member.state {
        _ if member.is_reconciled_to(aim.epoch) => return None,
        MemberState::UnrevokedPartitions if aim.may_own(&member.revoking) => return None,
        _ => {}
    }
    let next = advance(member, aim);
    (next != *member).then_some(next)
}

impl Aim<'_> {
    fn may_own(&self, partitions: &Partitions) -> bool {
        self.owned.is_none_or(|owned| !owned.is_disjoint(partitions))
    }
}

fn advance(member: &ConsumerMember, aim: &Aim<'_>) -> ConsumerMember {
    let target: Partitions = member.target.iter().copied().filter(|handle| (aim.wants)(*handle)).collect();
    let kept = &member.assigned & &target;
    let revoking = &member.assigned - &kept;
    if !revoking.is_empty() && aim.may_own(&revoking) {
        let state = MemberState::UnrevokedPartitions;
        return ConsumerMember { state, assigned: kept, revoking, ..member.clone() };
    }
    let assigned: Partitions =
        target.iter().copied().filter(|handle| kept.contains(handle) || (aim.is_free)(*handle)).collect();
    let state = match assigned.len() == target.len() {
        true => MemberState::Stable,
        false => MemberState::UnreleasedPartitions,
    };
    let previous_epoch = if member.epoch == aim.epoch { member.previous_epoch } else { member.epoch };
    let revoking = Partitions::new();
    ConsumerMember { state, assigned, revoking, epoch: aim.epoch, previous_epoch, ..member.clone() }
}
