//! Groups: who belongs to one, who was given what, and which offsets it has committed.
//!
//! A group is what its last [`GroupSaved`](crate::entry::GroupSaved) said, and the offsets of all
//! [`OffsetsSaved`](crate::entry::OffsetsSaved) since it exists. Groups lie in 1,024 slots by the hash of their id; a slot
//! is what a coordinator owns, and what a clone of the state shares until one side writes. Offsets are kept by handle, so
//! those of a deleted topic are dead at once; a sweep takes them out a few slots per frame.

mod consumer;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use consumer::{ClassicMetadata, Consumer, ConsumerMember, LEFT_STATIC_EPOCH, MemberState, Partitions, Pattern};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Handle, SLOTS, State};

/// The slot that a group belongs to; persisted in the order of snapshots, never changed.
pub fn slot_of(group: &str) -> usize {
    (xxh3_64(group.as_bytes()) % SLOTS as u64) as usize
}

/// A group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    pub(crate) revision: u64,
    pub(crate) saved_ms: i64,
    pub(crate) content: Content,
    pub(crate) offsets: BTreeMap<Handle, Committed>,
}

/// What a group is, by its type; the tags of the entry are persisted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Members choose one of them to assign (tag 0). A group that only holds offsets is a classic one without members.
    Classic(Classic),
    /// The coordinator assigns (tag 1, or 2 where members speak the classic protocol; KIP-848).
    Consumer(Consumer),
}

/// A classic group after a finished rebalance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classic {
    /// Kafka's protocol type, such as `consumer` or `connect`; empty where nobody ever joined.
    pub protocol_type: String,
    /// The number of the rebalance; members commit under it.
    pub generation: i32,
    /// The protocol that the members chose; none without members.
    pub protocol: Option<String>,
    /// The member that assigns; none without members.
    pub leader: Option<String>,
    /// Its members by ascending id.
    pub members: Vec<Member>,
}

/// A member of a classic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Its `group.instance.id`, for a static member (KIP-345).
    pub instance_id: Option<String>,
    /// As its client calls itself.
    pub client_id: String,
    /// Where its client is.
    pub client_host: String,
    /// After so much silence it is removed, milliseconds.
    pub session_timeout_ms: i32,
    /// So long it may take to join again, milliseconds.
    pub rebalance_timeout_ms: i32,
    /// What it said to the chosen protocol, opaque.
    pub metadata: Vec<u8>,
    /// What the leader gave it, opaque.
    pub assignment: Vec<u8>,
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next record to read.
    pub offset: i64,
    /// The leader epoch of the last record that was read; -1 if the client told none.
    pub leader_epoch: i32,
    /// Whatever the client wants to remember with it.
    pub metadata: Box<str>,
    /// Cluster time of its frame, Unix milliseconds.
    pub committed_ms: i64,
    /// When it expires, where the client chose that (OffsetCommit before version 5), Unix milliseconds.
    pub expires_ms: Option<i64>,
}

impl Default for Content {
    fn default() -> Self {
        Self::Classic(Classic::default())
    }
}

impl Content {
    /// Whether it has members.
    pub fn has_members(&self) -> bool {
        match self {
            Self::Classic(classic) => !classic.members.is_empty(),
            Self::Consumer(consumer) => !consumer.members.is_empty(),
        }
    }

    /// Whether it is a KIP-848 group that is on its way from or to a classic one: the formats say so by their version.
    pub(crate) fn is_mixed(&self) -> bool {
        matches!(self, Self::Consumer(consumer) if consumer.has_classic_members())
    }

    /// What it weighs towards the bounds of groups: a little more than its bytes in memory.
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::Classic(classic) => classic.members.iter().map(Member::weight).sum(),
            Self::Consumer(consumer) => consumer.weight(),
        }
    }
}

impl Classic {
    /// A member by its id.
    pub fn member(&self, id: &str) -> Option<&Member> {
        let index = self.members.binary_search_by(|member| member.id.as_str().cmp(id)).ok()?;
        Some(&self.members[index])
    }
}

impl Member {
    fn weight(&self) -> u64 {
        let texts = self.id.len() + self.instance_id.as_ref().map_or(0, String::len);
        let client = self.client_id.len() + self.client_host.len();
        256 + (texts + client + self.metadata.len() + self.assignment.len()) as u64
    }
}

impl Committed {
    pub(crate) fn weight(&self) -> u64 {
        64 + self.metadata.len() as u64
    }
}

impl Group {
    /// Changes with every save and is never used twice: who saves next names it. 0 before the first: such a group only
    /// holds offsets.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Cluster time of the last save, Unix milliseconds; 0 before the first.
    pub fn saved_ms(&self) -> i64 {
        self.saved_ms
    }

    /// What it is.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Its offsets by handle. Those of partitions that are gone may be among them until they are swept.
    pub fn offsets(&self) -> impl Iterator<Item = (Handle, &Committed)> {
        self.offsets.iter().map(|(handle, committed)| (*handle, committed))
    }

    /// The offset committed for a partition.
    pub fn offset(&self, handle: Handle) -> Option<&Committed> {
        self.offsets.get(&handle)
    }

    /// What the group itself weighs with its id.
    pub(crate) fn own_weight(id: &str, content: &Content) -> u64 {
        256 + id.len() as u64 + content.weight()
    }

    pub(crate) fn weight(&self, id: &str) -> u64 {
        Self::own_weight(id, &self.content) + self.offsets.values().map(Committed::weight).sum::<u64>()
    }
}

/// The groups of one slot by id.
pub(crate) type Slot = BTreeMap<String, Arc<Group>>;

/// All groups.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    pub(crate) slots: Vec<Arc<Slot>>,
    /// The greatest revision that was given.
    pub(crate) revision: u64,
    /// What all groups weigh.
    pub(crate) weight: u64,
    /// Slots, the last ones, in which offsets of deleted topics may still be.
    pub(crate) unswept: usize,
}

impl Default for Groups {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| Arc::default()).collect(), revision: 0, weight: 0, unswept: 0 }
    }
}

impl Groups {
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<Group>> {
        self.slots[slot_of(id)].get(id)
    }

    pub(crate) fn slot_mut(&mut self, id: &str) -> &mut Slot {
        Arc::make_mut(&mut self.slots[slot_of(id)])
    }

    pub(crate) fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }
}

impl State {
    /// A group by id.
    pub fn group(&self, id: &str) -> Option<&Arc<Group>> {
        self.groups.get(id)
    }

    /// All groups in the order of their slots.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &Arc<Group>)> {
        self.groups.slots.iter().flat_map(|slot| slot.iter().map(|(id, group)| (id.as_str(), group)))
    }

    /// What a group has committed for a partition, if that still exists.
    pub fn committed(&self, group: &str, handle: Handle) -> Option<&Committed> {
        self.partition(handle)?;
        self.group(group)?.offset(handle)
    }

    /// What all groups weigh, and what they may.
    pub fn group_weight(&self) -> (u64, u64) {
        (self.groups.weight, self.limits.group_weight)
    }
}
