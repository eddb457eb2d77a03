//! One classic group: a state machine without tasks. Time is an argument; answers leave through channels.
//!
//! ```text
//!                 first join                 all joined, or time is up
//!        Empty ───────────────▶ Preparing ─────────────────────────────▶ Completing
//!          ▲                     ▲   │ nobody left                          │ the leader's assignment was saved
//!          └─────────────────────┼───┘                                      ▼
//!                                └── a member joins, leaves, changes ──── Stable
//! ```

mod invited;
mod join;
mod leave;
mod member;
mod rebalance;
mod supported;
mod sync;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use kafscale_runtime::Instant;
use kafscale_state::{
    entry::GroupSaved,
    group::{self, Content},
};
use tokio::sync::oneshot;

use invited::Invited;
pub use join::{JoinAnswer, JoinRequest, Joined, JoinedMember, Takeover};
pub use leave::Leaving;
pub use member::{Member, Protocols};
use supported::Supported;
pub use sync::{SyncAnswer, SyncRequest, Synced};

use super::{Error, STALE, migration::Succession, removed};
use crate::settings::GroupSettings;

/// Where a group is between two rebalances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No members; it may hold offsets.
    Empty,
    /// Members are asked to join.
    Preparing,
    /// All have joined; the leader assigns.
    Completing,
    /// Everybody has an assignment.
    Stable,
}

impl Phase {
    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Preparing => "PreparingRebalance",
            Self::Completing => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// How long members are waited for in Preparing.
#[derive(Debug, Default)]
struct Joining {
    until: Instant,
    /// The first rebalance of an empty group waits a while for more members; so long may it still be put off.
    first: Option<Duration>,
    /// A member came since the time was set.
    grew: bool,
}

/// The leader's assignments, until they are saved.
#[derive(Debug)]
struct Proposal {
    generation: i32,
    assignments: BTreeMap<String, Bytes>,
}

/// See the module.
#[derive(Debug)]
pub struct Group {
    id: String,
    phase: Phase,
    generation: i32,
    protocol_type: String,
    protocol: Option<String>,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    supported: Supported,
    /// Members by `group.instance.id`.
    statics: BTreeMap<String, String>,
    /// Ids that were given to clients that have not joined with them yet.
    invited: Invited,
    joining: Joining,
    /// The broker before this one may have told members until then that they live.
    shared_until: Instant,
    /// Members that have not asked for their assignment yet, and until when they may.
    unsynced: BTreeSet<String>,
    sync_until: Instant,
    /// Nobody is removed for silence before this. Not every step asks every member: it is found anew when it has come.
    silence: Option<Instant>,
    proposal: Option<Proposal>,
    /// Joins of static members that took another's place and are answered once that is saved; with the leader that is
    /// told to a client that cannot be told to skip the assignment.
    replaced: Vec<(String, oneshot::Sender<JoinAnswer>, Replacement)>,
    /// The revision in the state that this group follows.
    revision: u64,
    wants_save: bool,
    /// A save is under way; with the generation of the proposal in it.
    saving: Option<Option<i32>>,
    weight: u64,
}

/// How a static member that took another's place is answered.
#[derive(Debug)]
struct Replacement {
    can_skip_assignment: bool,
    leader_before: Option<String>,
}

impl Group {
    /// A group that nobody has heard of.
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            phase: Phase::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            supported: Supported::default(),
            statics: BTreeMap::new(),
            invited: Invited::default(),
            joining: Joining::default(),
            shared_until: Instant::ZERO,
            unsynced: BTreeSet::new(),
            sync_until: Instant::ZERO,
            silence: None,
            proposal: None,
            replaced: Vec::new(),
            revision: 0,
            wants_save: false,
            saving: None,
            weight: 0,
        }
    }

    /// A group whose members were in another one, which had the other protocol; they have what they had there.
    pub fn succeed(id: &str, generation: i32, members: Vec<Member>, succession: Succession) -> Self {
        let Succession { revision, is_saving } = succession;
        let mut group = Self { generation, revision, saving: is_saving.then_some(None), ..Self::new(id) };
        if !members.is_empty() {
            group.phase = Phase::Stable;
            super::subscription::CONSUMER.clone_into(&mut group.protocol_type);
            group.leader = members.first().map(|member| member.id.clone());
        }
        members.into_iter().for_each(|member| group.insert(member));
        group.protocol = group.choose_protocol();
        group
    }

    /// What it hands on to a group that takes its place.
    pub fn succession(&self) -> Succession {
        Succession { revision: self.revision, is_saving: self.saving.is_some() }
    }

    /// A group as it was saved: it goes on without a rebalance.
    pub fn load(id: &str, classic: &group::Classic, revision: u64, now: Instant) -> Self {
        let protocol = classic.protocol.clone().unwrap_or_default();
        let members = classic.members.iter().map(|member| Member::load(member, &protocol, now));
        let mut group = Self {
            phase: if classic.members.is_empty() { Phase::Empty } else { Phase::Stable },
            generation: classic.generation,
            protocol_type: classic.protocol_type.clone(),
            protocol: classic.protocol.clone(),
            leader: classic.leader.clone(),
            shared_until: now + STALE,
            revision,
            ..Self::new(id)
        };
        members.for_each(|member| group.insert(member));
        group
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The number of its last rebalance.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// Kafka's protocol type; empty where nobody ever joined.
    pub fn protocol_type(&self) -> &str {
        &self.protocol_type
    }

    /// The chosen protocol.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Its members.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    /// What it weighs towards the bounds.
    pub fn weight(&self) -> u64 {
        self.weight + 256 + self.invited.weight()
    }

    /// Whether nothing would be lost if it were forgotten here: the state knows all of it.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Empty
            && self.members.is_empty()
            && self.invited.is_empty()
            && !self.wants_save
            && self.saving.is_none()
    }

    fn insert(&mut self, member: Member) {
        self.weight += member.weight();
        self.supported.add(&member.protocols);
        if let Some(instance_id) = &member.instance_id {
            self.statics.insert(instance_id.clone(), member.id.clone());
        }
        self.watch(member.expires);
        self.members.insert(member.id.clone(), member);
    }

    /// A member has shown that it lives.
    fn alive(&mut self, id: &str, now: Instant) {
        if let Some(member) = self.members.get_mut(id) {
            member.alive(now);
            let expires = member.expires;
            self.watch(expires);
        }
    }

    /// Somebody may be silent for too long then.
    fn watch(&mut self, expires: Instant) {
        self.silence = Some(self.silence.map_or(expires, |silence| silence.min(expires)));
    }

    /// Takes a member out; the next one leads if it did.
    fn take(&mut self, id: &str) -> Option<Member> {
        let member = self.members.remove(id)?;
        self.weight -= member.weight();
        self.supported.remove(&member.protocols);
        if let Some(instance_id) = &member.instance_id
            && self.statics.get(instance_id).is_some_and(|current| current == id)
        {
            self.statics.remove(instance_id);
        }
        self.unsynced.remove(id);
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    /// Kafka's check of who speaks: known, and the holder of its instance id.
    fn validate(&self, id: &str, instance_id: Option<&str>) -> Result<(), Error> {
        if let Some(instance_id) = instance_id {
            let holder = self.statics.get(instance_id).ok_or(Error::UnknownMember)?;
            let fenced = holder != id;
            #[cfg(feature = "planted-bugs")]
            let fenced = fenced && !crate::planted::is(crate::planted::Bug::StaticMemberNotFenced);
            if fenced {
                return Err(Error::FencedInstance);
            }
        }
        match self.members.contains_key(id) {
            true => Ok(()),
            #[cfg(feature = "planted-bugs")]
            false if crate::planted::is(crate::planted::Bug::StaticMemberNotFenced) && instance_id.is_some() => Ok(()),
            false => Err(Error::UnknownMember),
        }
    }

    /// A member says that it lives.
    pub fn heartbeat(
        &mut self,
        id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Instant,
    ) -> Result<(), Error> {
        self.validate(id, instance_id)?;
        if generation != self.generation {
            return Err(Error::IllegalGeneration);
        }
        self.alive(id, now);
        match self.phase {
            Phase::Empty => Err(Error::UnknownMember),
            Phase::Preparing => Err(Error::RebalanceInProgress),
            Phase::Completing | Phase::Stable => Ok(()),
        }
    }

    /// Whether offsets may be committed; a commit of a member is a sign of life. For a member with its generation.
    pub fn may_commit(
        &mut self,
        id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Instant,
    ) -> Result<Option<i32>, Error> {
        if generation < 0 && self.phase == Phase::Empty {
            return Ok(None);
        }
        if generation < 0 && id.is_empty() && instance_id.is_none() {
            return Err(Error::UnknownMember);
        }
        self.validate(id, instance_id)?;
        let is_current = generation == self.generation;
        #[cfg(feature = "planted-bugs")]
        let is_current = is_current || crate::planted::is(crate::planted::Bug::NoGenerationCheck);
        if !is_current {
            return Err(Error::IllegalGeneration);
        }
        if self.phase == Phase::Completing {
            return Err(Error::RebalanceInProgress);
        }
        self.alive(id, now);
        Ok(Some(generation))
    }

    /// The next moment at which [`Group::tick`] has something to do.
    pub fn wake_at(&self) -> Option<Instant> {
        let joining = (self.phase == Phase::Preparing).then_some(self.joining.until);
        let syncing = (!self.unsynced.is_empty()).then_some(self.sync_until);
        joining.into_iter().chain(syncing).chain(self.silence).chain(self.invited.first()).min()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, settings: &GroupSettings) {
        self.invited.expire(now);
        if self.silence.is_some_and(|silence| silence <= now) {
            self.remove_silent(now, settings);
        }
        if !self.unsynced.is_empty() && self.sync_until <= now {
            self.give_up_on_unsynced(now, settings);
        }
        if self.phase == Phase::Preparing {
            self.complete_join_if_due(now, settings);
        }
    }

    fn remove_silent(&mut self, now: Instant, settings: &GroupSettings) {
        let due = |member: &&Member| member.removed_at().is_some_and(|at| at <= now);
        let silent = self.members.values().filter(due);
        let silent: Vec<_> = silent.map(|member| (member.id.clone(), "silent for too long")).collect();
        removed::note(&self.id, &silent);
        self.remove(silent.into_iter().map(|(id, _)| id), now, settings);
        self.silence = self.members.values().filter_map(Member::removed_at).min();
    }

    /// What is to be saved now, if anything; none while a save is under way.
    pub fn take_save(&mut self) -> Option<GroupSaved> {
        if !self.wants_save || self.saving.is_some() {
            return None;
        }
        self.wants_save = false;
        let none = BTreeMap::new();
        let assignments = match (&self.phase, &self.proposal) {
            (Phase::Completing, Some(proposal)) => Some(&proposal.assignments),
            (Phase::Empty, _) => Some(&none),
            (Phase::Stable, _) => None,
            // Another rebalance began: its end will be saved.
            _ => return None,
        };
        let protocol = self.protocol.clone().unwrap_or_default();
        let save = |member: &Member| {
            let given = assignments.map_or(Some(&member.assignment), |given| given.get(&member.id));
            member.save(&protocol, given.map_or(&[], |given| given))
        };
        let content = Content::Classic(group::Classic {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: self.members.values().map(save).collect(),
        });
        self.saving = Some(self.proposal.as_ref().map(|proposal| proposal.generation));
        Some(GroupSaved { group: self.id.clone(), expected: self.revision, content })
    }

    /// The save under way was applied.
    pub fn saved(&mut self, revision: u64, now: Instant) {
        self.revision = revision;
        let proposed = self.saving.take().flatten();
        if self.phase == Phase::Completing && proposed == Some(self.generation) {
            self.hand_out(now);
        }
        if self.wants_save && self.phase == Phase::Stable {
            // They may be part of the next save, not of this one.
            return;
        }
        for (id, answer, how) in std::mem::take(&mut self.replaced) {
            self.answer_replaced(&id, answer, &how);
        }
    }

    /// It cannot go on here: whoever waits is told why.
    pub fn fail(&mut self, error: Error) {
        self.members.values_mut().for_each(|member| member.refuse(error));
        for (id, answer, _) in self.replaced.drain(..) {
            let _ = answer.send(Err((error, id)));
        }
    }
}
