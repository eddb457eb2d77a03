//! A KIP-848 group: the coordinator assigns, and members are reconciled one by one with what they shall have.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::Handle;
use crate::topic::TopicId;

/// Partitions by handle.
pub type Partitions = BTreeSet<Handle>;

/// The epoch of a static member that has left and will be back (KIP-848).
pub const LEFT_STATIC_EPOCH: i32 = -2;

/// A group whose members heartbeat by ConsumerGroupHeartbeat; some may still speak the classic protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Consumer {
    /// Grows whenever members, subscriptions or their topics change.
    pub epoch: i32,
    /// The group epoch that the members' targets were made for.
    pub assignment_epoch: i32,
    /// The topics that members subscribe to and their numbers of partitions, as the targets know them; by ascending id.
    pub topics: Vec<(TopicId, u32)>,
    /// What the members' regular expressions matched; by ascending source.
    pub patterns: Vec<Pattern>,
    /// Its members by ascending id.
    pub members: Vec<Arc<ConsumerMember>>,
}

/// A regular expression and what it matched: replicas do not match anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pattern {
    /// As the member wrote it.
    pub source: String,
    /// Names of topics in ascending order.
    pub topics: Vec<String>,
}

/// A member of a KIP-848 group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerMember {
    /// Its id.
    pub id: String,
    /// Its `group.instance.id`, for a static member.
    pub instance_id: Option<String>,
    /// Where it says that it is.
    pub rack_id: Option<String>,
    /// As its client calls itself.
    pub client_id: String,
    /// Where its client is.
    pub client_host: String,
    /// So long it may take to revoke partitions, milliseconds.
    pub rebalance_timeout_ms: i32,
    /// The topics that it names, ascending.
    pub topics: Vec<String>,
    /// The regular expression for further topics.
    pub pattern: Option<String>,
    /// The assignor that it prefers.
    pub assignor: Option<String>,
    /// The assignment epoch that it has reached; [`LEFT_STATIC_EPOCH`] while a static member is away.
    pub epoch: i32,
    /// The epoch before: its last answer may have been lost.
    pub previous_epoch: i32,
    /// How far it is.
    pub state: MemberState,
    /// What it shall have.
    pub target: Partitions,
    /// What it was told that it has.
    pub assigned: Partitions,
    /// What it was told to give up, and still owns.
    pub revoking: Partitions,
    /// What it said when it joined, if it speaks the classic protocol.
    pub classic: Option<ClassicMetadata>,
}

/// What a member said that joined a KIP-848 group by JoinGroup: it goes on by SyncGroup and Heartbeat, and its epoch is its
/// generation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassicMetadata {
    /// After so much silence it is removed, milliseconds.
    pub session_timeout_ms: i32,
    /// What it supports, in the order of its preference, and what it said to each. The first one is used.
    pub protocols: Vec<(String, Vec<u8>)>,
}

/// How far a member is with its target; the numbers are persisted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MemberState {
    /// It has all that it can have of the target of its epoch.
    #[default]
    Stable = 0,
    /// It has yet to give up partitions before it moves on.
    UnrevokedPartitions = 1,
    /// It waits for partitions that others have not yet given up.
    UnreleasedPartitions = 2,
}

impl Consumer {
    /// A member by its id.
    pub fn member(&self, id: &str) -> Option<&Arc<ConsumerMember>> {
        let index = self.members.binary_search_by(|member| member.id.as_str().cmp(id)).ok()?;
        Some(&self.members[index])
    }

    /// A static member by its instance id.
    pub fn static_member(&self, instance_id: &str) -> Option<&Arc<ConsumerMember>> {
        self.members.iter().find(|member| member.instance_id.as_deref() == Some(instance_id))
    }

    /// What it weighs towards the bounds of groups: a little more than its bytes in memory.
    pub fn weight(&self) -> u64 {
        let names = self.patterns.iter().map(|pattern| texts(&pattern.topics) + pattern.source.len() as u64 + 64);
        let members = self.members.iter().map(|member| member.weight());
        32 * self.topics.len() as u64 + names.sum::<u64>() + members.sum::<u64>()
    }

    /// Whether some of its members speak the classic protocol.
    pub fn has_classic_members(&self) -> bool {
        self.members.iter().any(|member| member.classic.is_some())
    }

    /// Whether it agrees with itself. No partition has two owners, whatever coordinators do.
    pub(crate) fn is_sound(&self, id_bytes_max: usize) -> bool {
        let members = || self.members.iter();
        let epochs = 0 <= self.assignment_epoch && self.assignment_epoch <= self.epoch;
        let reached = members().all(|member| {
            let may_be = 0..=self.assignment_epoch;
            may_be.contains(&member.epoch) || (member.epoch == LEFT_STATIC_EPOCH && member.instance_id.is_some())
        });
        let named = members().all(|member| !member.id.is_empty() && member.id.len() <= id_bytes_max);
        let ordered = self.members.is_sorted_by(|a, b| a.id < b.id)
            && self.topics.is_sorted_by(|a, b| a.0 < b.0)
            && self.patterns.is_sorted_by(|a, b| a.source < b.source)
            && members().all(|member| member.topics.is_sorted_by(|a, b| a < b));
        let mut instances = BTreeSet::new();
        let unlike = members().filter_map(|member| member.instance_id.as_ref()).all(|id| instances.insert(id));
        let spoken =
            members().filter_map(|member| member.classic.as_ref()).all(|classic| !classic.protocols.is_empty());
        epochs && reached && named && ordered && unlike && spoken && self.has_single_owners()
    }

    fn has_single_owners(&self) -> bool {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is(crate::planted::Bug::TwoOwners) {
            return true;
        }
        let (mut owned, mut targets) = (BTreeSet::new(), BTreeSet::new());
        self.members.iter().all(|member| {
            let mut owns = member.assigned.iter().chain(&member.revoking);
            owns.all(|handle| owned.insert(*handle)) && member.target.iter().all(|handle| targets.insert(*handle))
        })
    }
}

impl ConsumerMember {
    /// Whether it has all of the target of this epoch.
    pub fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == epoch
    }

    /// What it weighs of that.
    pub fn weight(&self) -> u64 {
        let optional = [&self.instance_id, &self.rack_id, &self.pattern, &self.assignor];
        let optional: usize = optional.into_iter().flatten().map(String::len).sum();
        let fixed = self.id.len() + self.client_id.len() + self.client_host.len();
        let partitions = self.target.len() + self.assigned.len() + self.revoking.len();
        let classic = self.classic.as_ref().map_or(0, ClassicMetadata::weight);
        384 + (fixed + optional + 8 * partitions) as u64 + texts(&self.topics) + classic
    }
}

impl ClassicMetadata {
    fn weight(&self) -> u64 {
        self.protocols.iter().map(|(name, metadata)| 64 + (name.len() + metadata.len()) as u64).sum()
    }
}

fn texts(texts: &[String]) -> u64 {
    texts.iter().map(|text| text.len() as u64 + 24).sum()
}
