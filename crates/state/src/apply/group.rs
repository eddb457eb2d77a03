//! Groups and their offsets.

use std::sync::Arc;

use crate::entry::{Committer, GroupDeleted, GroupSaved, OffsetChange, OffsetsSaved};
use crate::group::{Classic, Committed, Content, Group};
use crate::limits::{GROUP_ID_BYTES_MAX, OFFSET_METADATA_BYTES_MAX};
use crate::verdict::{OffsetRefused, Refused, Verdict};
use crate::{Handle, SLOTS, State};

impl State {
    pub(super) fn apply_group_saved(&mut self, entry: &GroupSaved) -> Result<Verdict, Refused> {
        let before = self.groups.get(&entry.group);
        if before.map_or(0, |group| group.revision) != entry.expected {
            return Err(Refused::GroupChanged);
        }
        if entry.group.len() > GROUP_ID_BYTES_MAX || !is_sound(&entry.content) {
            return Err(Refused::InvalidGroup);
        }
        let own = Group::own_weight(&entry.group, &entry.content);
        let replaced = before.map_or(0, |group| Group::own_weight(&entry.group, &group.content));
        let weight = self.groups.weight - replaced + own;
        // What shrinks is taken even where a limit was lowered.
        if own > self.limits.group_weight_each || (weight > self.limits.group_weight && own > replaced) {
            return Err(Refused::TooManyGroups);
        }
        self.groups.weight = weight;
        let (revision, saved_ms) = (self.groups.next_revision(), self.cluster_time_ms);
        let group = self.groups.slot_mut(&entry.group).entry(entry.group.clone()).or_default();
        let group = Arc::make_mut(group);
        group.revision = revision;
        group.saved_ms = saved_ms;
        group.content = entry.content.clone();
        Ok(Verdict::GroupSaved { revision })
    }

    pub(super) fn apply_group_deleted(&mut self, entry: &GroupDeleted) -> Result<Verdict, Refused> {
        let group = self.groups.get(&entry.group).ok_or(Refused::GroupNotFound)?;
        let used = || group.offsets.keys().any(|handle| self.partition(*handle).is_some());
        if group.content.has_members() || (entry.unless_used && used()) {
            return Err(Refused::GroupNotEmpty);
        }
        self.groups.weight -= group.weight(&entry.group);
        self.groups.slot_mut(&entry.group).remove(&entry.group);
        Ok(Verdict::Done)
    }

    pub(super) fn apply_offsets_saved(&mut self, entry: &OffsetsSaved) -> Result<Verdict, Refused> {
        if entry.group.len() > GROUP_ID_BYTES_MAX {
            return Err(Refused::InvalidGroup);
        }
        let known = self.groups.get(&entry.group);
        may_commit(known.map(|group| &group.content), &entry.by)?;
        if known.is_none() {
            let own = Group::own_weight(&entry.group, &Content::default());
            let commits = entry.offsets.iter().any(|(handle, change)| {
                matches!(change, OffsetChange::Commit { .. }) && self.partition(*handle).is_some()
            });
            if !commits {
                let verdicts = entry.offsets.iter().map(|(handle, _)| self.partition_exists(*handle));
                return Ok(Verdict::OffsetsSaved(verdicts.collect()));
            }
            if self.groups.weight + own > self.limits.group_weight {
                return Err(Refused::TooManyGroups);
            }
            self.groups.weight += own;
            self.groups.slot_mut(&entry.group).insert(entry.group.clone(), Arc::default());
        }
        let changes = entry.offsets.iter().map(|(handle, change)| self.change_offset(&entry.group, *handle, change));
        Ok(Verdict::OffsetsSaved(changes.collect()))
    }

    fn partition_exists(&self, handle: Handle) -> Result<(), OffsetRefused> {
        self.partition(handle).map(drop).ok_or(OffsetRefused::UnknownTopicOrPartition)
    }

    fn change_offset(&mut self, group: &str, handle: Handle, change: &OffsetChange) -> Result<(), OffsetRefused> {
        self.partition_exists(handle)?;
        let now_ms = self.cluster_time_ms;
        let (weight, weight_max) = (self.groups.weight, self.limits.group_weight);
        let Some(group) = self.groups.slot_mut(group).get_mut(group) else { return Ok(()) };
        let freed = group.offsets.get(&handle).map_or(0, Committed::weight);
        let weight = match change {
            OffsetChange::Commit { offset, leader_epoch, metadata, expires_ms } => {
                let committed = Committed {
                    offset: *offset,
                    leader_epoch: *leader_epoch,
                    metadata: metadata.as_str().into(),
                    committed_ms: now_ms,
                    expires_ms: *expires_ms,
                };
                let weight = weight - freed + committed.weight();
                if metadata.len() > OFFSET_METADATA_BYTES_MAX || (weight > weight_max && committed.weight() > freed) {
                    return Err(OffsetRefused::TooLarge);
                }
                Arc::make_mut(group).offsets.insert(handle, committed);
                weight
            }
            OffsetChange::Delete => {
                Arc::make_mut(group).offsets.remove(&handle);
                weight - freed
            }
            OffsetChange::Expire { since_ms } if has_expired(group, handle, *since_ms, now_ms) => {
                Arc::make_mut(group).offsets.remove(&handle);
                weight - freed
            }
            OffsetChange::Expire { .. } => return Ok(()),
        };
        self.groups.weight = weight;
        Ok(())
    }

    /// A topic was deleted: its offsets are dead, and are looked for from the first slot on.
    pub(crate) fn sweep_offsets_anew(&mut self) {
        if self.groups.weight > 0 {
            self.groups.unswept = SLOTS;
        }
    }

    /// Takes dead offsets out of the next slots, until the budget is used up.
    pub(super) fn sweep_offsets(&mut self, budget: &mut usize) {
        while self.groups.unswept > 0 && *budget > 0 {
            let index = SLOTS - self.groups.unswept;
            self.groups.unswept -= 1;
            let slot = Arc::clone(&self.groups.slots[index]);
            *budget -= 1;
            for (id, group) in slot.iter() {
                *budget = budget.saturating_sub(group.offsets.len());
                let dead = |handle: &&Handle| self.partition(**handle).is_none();
                let dead: Vec<Handle> = group.offsets.keys().filter(dead).copied().collect();
                if dead.is_empty() {
                    continue;
                }
                let Some(group) = self.groups.slot_mut(id).get_mut(id) else { continue };
                let group = Arc::make_mut(group);
                let freed = dead.iter().filter_map(|handle| group.offsets.remove(handle));
                let freed: u64 = freed.map(|committed| committed.weight()).sum();
                self.groups.weight -= freed;
            }
        }
    }
}

/// By the rule of the group's type. An operator may always, and an outsider while there are no members.
///
/// A classic group is saved when a rebalance ends. Between two saves the coordinator alone knows who is in a generation that
/// was formed and gave way to the next before its assignment was saved; its members may hold partitions of an earlier one and
/// commit what they read. So a later generation than the saved one is the coordinator's to judge; an earlier one is stale.
fn may_commit(content: Option<&Content>, by: &Committer) -> Result<(), Refused> {
    match (by, content) {
        (Committer::Operator, _) => Ok(()),
        (Committer::Outsider, Some(content)) if content.has_members() => Err(Refused::UnknownMember),
        (Committer::Outsider, _) => Ok(()),
        (Committer::Member { .. }, None) => Ok(()),
        (Committer::Member { epoch, .. }, Some(Content::Classic(classic))) if *epoch > classic.generation => Ok(()),
        (Committer::Member { id, epoch }, Some(Content::Classic(classic))) => {
            if classic.member(id).is_none() {
                return Err(Refused::UnknownMember);
            }
            let is_current = classic.generation == *epoch;
            #[cfg(feature = "planted-bugs")]
            let is_current = is_current || crate::planted::is(crate::planted::Bug::NoGenerationCheck);
            if is_current { Ok(()) } else { Err(Refused::IllegalGeneration) }
        }
        (Committer::Member { id, epoch }, Some(Content::Consumer(consumer))) => {
            let member = consumer.member(id).ok_or(Refused::UnknownMember)?;
            let is_current = member.epoch == *epoch;
            #[cfg(feature = "planted-bugs")]
            let is_current = is_current || crate::planted::is(crate::planted::Bug::NoGenerationCheck);
            match member.classic {
                _ if is_current => Ok(()),
                Some(_) => Err(Refused::IllegalGeneration),
                None => Err(Refused::StaleMemberEpoch),
            }
        }
    }
}

/// Offsets of a group that had members live from when it lost them, others from their commit.
fn has_expired(group: &Group, handle: Handle, since_ms: i64, now_ms: i64) -> bool {
    let Some(committed) = group.offsets.get(&handle) else { return false };
    if let Some(expires_ms) = committed.expires_ms {
        return expires_ms <= now_ms;
    }
    // While it has members the coordinator lets only those expire that nobody reads.
    let was_joined = match &group.content {
        Content::Classic(classic) => !classic.protocol_type.is_empty(),
        Content::Consumer(_) => true,
    };
    let lived_on = was_joined && !group.content.has_members();
    let left_ms = if lived_on { committed.committed_ms.max(group.saved_ms) } else { committed.committed_ms };
    left_ms <= since_ms && since_ms <= now_ms
}

/// Whether it agrees with itself.
fn is_sound(content: &Content) -> bool {
    let classic = match content {
        Content::Classic(classic) => classic,
        Content::Consumer(consumer) => return consumer.is_sound(GROUP_ID_BYTES_MAX),
    };
    let Classic { generation, protocol, leader, members, .. } = classic;
    let ordered = members.windows(2).all(|pair| pair[0].id < pair[1].id);
    let led = leader.as_ref().is_none_or(|leader| classic.member(leader).is_some());
    let alone = !members.is_empty() || (protocol.is_none() && leader.is_none());
    let named = members.iter().all(|member| !member.id.is_empty() && member.id.len() <= GROUP_ID_BYTES_MAX);
    *generation >= 0 && ordered && led && alone && named
}
