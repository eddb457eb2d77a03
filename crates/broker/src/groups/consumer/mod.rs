//! One KIP-848 group: a state machine without tasks. Time is an argument.
//!
//! Members heartbeat and say what they own; the group answers with what they shall own. When members, subscriptions or
//! topics change, the group epoch grows and every member gets a new target; each then goes from its epoch to the group's
//! by itself ([`reconcile`]), so nobody waits for anybody but for the partitions they are to take over.
//!
//! ```text
//!  heartbeat ──▶ checks ──▶ member and subscription ──▶ epoch, targets ──▶ the member's next step ──▶ answer
//!                                 any change of these is saved first, many heartbeats by one entry     ▲
//!                                                └──────────── GroupSaved ──▶ state ───────────────────┘
//! ```
//!
//! Targets are made for everybody at once, so not for each change: `consumer.assignment.interval.ms` lies between two times
//! ([`rebalance`]). What changes in between opens one epoch, and is saved and answered as ever: who joins is in the epoch of
//! the targets that there are, with none of its own, until a later heartbeat tells more. A save writes the whole group, so
//! that large groups are saved less often ([`pace`]).
//!
//! Members of a group that was a classic one, or becomes one, speak the classic protocol ([`classic`]); they take the same
//! steps. A heartbeat that changes nothing is answered at once and never reaches the log. What assignors and expressions gave is
//! part of what is saved. The rules are those of Apache Kafka's group coordinator (KIP-848).

pub mod assignor;
mod classic;
mod deadlines;
mod heartbeat;
mod held;
mod leave;
mod owed;
mod pace;
mod pattern;
mod rebalance;
mod reconcile;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use deadlines::{Deadline, Deadlines};
pub use heartbeat::{Answer, Heartbeat, Reply};
use held::Held;
use kafscale_runtime::Instant;
use kafscale_state::{
    State,
    entry::GroupSaved,
    group::{Consumer, ConsumerMember, Content, MemberState},
    topic::TopicsVersion,
};
use owed::Owed;
pub use pattern::Pattern;

use super::{
    Error, STALE,
    classic::Takeover,
    commits::Commit,
    migration::{Succession, duration},
};
use crate::config::group::GroupConfig;

/// Where a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has no members.
    Empty,
    /// Members, subscriptions or topics have changed, and new targets are yet to be made.
    Assigning,
    /// Some members have yet to reach their targets.
    Reconciling,
    /// All members have what they shall have.
    Stable,
}

impl Phase {
    /// Where a group with this content is.
    pub fn of(content: &Consumer) -> Self {
        match content.members.as_slice() {
            [] => Self::Empty,
            _ if content.epoch > content.assignment_epoch => Self::Assigning,
            members if members.iter().all(|member| member.is_reconciled_to(content.assignment_epoch)) => Self::Stable,
            _ => Self::Reconciling,
        }
    }

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Group {
    id: String,
    /// As it is meant to be: what was saved, and what is yet to be.
    content: Consumer,
    /// What that weighs, kept along.
    weight: u64,
    /// The revision in the state that this group follows.
    revision: u64,
    deadlines: Deadlines,
    held: Held,
    /// The topics that were looked at last, and before when expressions are not matched anew.
    seen: Option<TopicsVersion>,
    match_again: Instant,
    /// When targets were last made here for members, and when those that are wanted may be.
    assigned_at: Option<Instant>,
    assign_at: Option<Instant>,
    /// No save begins before.
    save_after: Instant,
    /// What the next save will say, and what the one under way does.
    next: Unsaved,
    saving: Option<Unsaved>,
    /// It is to become a classic group, as soon as the step that is being taken ends.
    turn: Option<Turn>,
}

/// Why a group becomes a classic one.
#[derive(Debug)]
pub enum Turn {
    /// The last members that speak the protocol of KIP-848 are gone.
    Left,
    /// A static member that speaks the classic protocol has the place of the last one.
    Replaced(Takeover),
}

/// Changes that are not saved yet.
#[derive(Debug, Default)]
struct Unsaved {
    is_changed: bool,
    /// Whose state is among them: they hear nothing of it before it is saved.
    members: BTreeSet<String>,
    answers: Vec<Owed>,
}

impl Group {
    /// A group that nobody has joined; what was saved of it before, if anything, is replaced.
    pub fn new(id: &str, epoch: i32, succession: Succession) -> Self {
        let content = Consumer { epoch, assignment_epoch: epoch, ..Consumer::default() };
        Self::with(id, content, succession)
    }

    /// A group as it was saved: it goes on where it was, and members get fresh timeouts from the last moment at which the
    /// broker before may have heard them.
    pub fn load(id: &str, content: &Consumer, succession: Succession, now: Instant, state: &State) -> Self {
        let mut group = Self::with(id, content.clone(), succession);
        for member in &content.members {
            group.deadlines.alive(&member.id, now + STALE + group.session_timeout(member, state));
            group.held.note(member);
        }
        // The one before ended before it made them.
        group.assign_at = group.is_assigning().then_some(now);
        content.members.iter().for_each(|member| group.watch_revocation(&member.id, now + STALE));
        group
    }

    /// A group whose members were in a classic one. If they had agreed on all that there is, nothing must change.
    pub fn succeed(
        id: &str,
        content: &Consumer,
        succession: Succession,
        is_settled: bool,
        now: Instant,
        state: &State,
    ) -> Self {
        let mut group = Self::load(id, content, succession, now, state);
        group.resolve(state, now);
        let targets: usize = group.content.members.iter().map(|member| member.target.len()).sum();
        let partitions: usize = group.content.topics.iter().map(|(_, partitions)| *partitions as usize).sum();
        if !is_settled || targets != partitions {
            // The first heartbeat finds topics that nobody has assigned.
            group.content.topics.clear();
            group.weight = group.content.weight();
            (group.seen, group.match_again) = (None, Instant::ZERO);
        }
        group
    }

    fn with(id: &str, content: Consumer, succession: Succession) -> Self {
        let Succession { revision, is_saving } = succession;
        Self {
            id: id.to_owned(),
            weight: content.weight(),
            content,
            revision,
            deadlines: Deadlines::default(),
            held: Held::default(),
            seen: None,
            match_again: Instant::ZERO,
            assigned_at: None,
            assign_at: None,
            save_after: Instant::ZERO,
            next: Unsaved::default(),
            saving: is_saving.then(Unsaved::default),
            turn: None,
        }
    }

    /// Whoever waits hears what it can hear of a group that another takes the place of.
    pub fn give_way(&mut self) -> Succession {
        let succession = Succession { revision: self.revision, is_saving: self.saving.is_some() };
        self.drain().for_each(Owed::give_way);
        succession
    }

    /// Why it is to become a classic group, if it is.
    pub fn take_turn(&mut self) -> Option<Turn> {
        self.turn.take()
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it is, changes that are not saved yet included.
    pub fn content(&self) -> &Consumer {
        &self.content
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        Phase::of(&self.content)
    }

    /// What it weighs towards the bounds.
    pub fn weight(&self) -> u64 {
        256 + self.weight
    }

    /// The assignor that it uses.
    pub fn assignor(&self) -> assignor::Assignor {
        rebalance::preferred(&self.content)
    }

    /// Whether nothing would be lost if it were forgotten here: the state knows all of it.
    pub fn is_idle(&self) -> bool {
        self.content.members.is_empty() && !self.next.is_changed && self.saving.is_none()
    }

    /// Whether offsets may be committed: by anybody while there are no members, by a member in its epoch, or in an older one if
    /// it has held all of these partitions since then. For a member with the epoch that it has now.
    pub fn may_commit(&self, commit: &Commit) -> Result<Option<i32>, Error> {
        let epoch = commit.generation;
        if epoch < 0 && self.content.members.is_empty() {
            return Ok(None);
        }
        let member = self.content.member(&commit.member_id).ok_or(Error::UnknownMember)?;
        let refused = match member.classic {
            Some(_) => Error::IllegalGeneration,
            None if commit.knows_epochs => Error::StaleMemberEpoch,
            None => return Err(Error::UnsupportedVersion),
        };
        let held = || commit.offsets.iter().all(|(handle, _)| self.held.since(member, *handle, epoch));
        // Its epoch must be on its way to the log before the offsets are, which apply compares with it.
        let is_on_its_way = !self.next.members.contains(&member.id);
        let may = epoch == member.epoch || (epoch < member.epoch && is_on_its_way && held());
        #[cfg(feature = "planted-bugs")]
        let may = may || crate::planted::is(crate::planted::Bug::NoGenerationCheck);
        if may { Ok(Some(member.epoch)) } else { Err(refused) }
    }

    /// Whether a member is in this epoch, or generation.
    pub fn check_epoch_of(&self, id: &str, epoch: i32) -> Result<(), Error> {
        let member = self.content.member(id).ok_or(Error::UnknownMember)?;
        match member.classic {
            _ if member.epoch == epoch => Ok(()),
            Some(_) => Err(Error::IllegalGeneration),
            None => Err(Error::StaleMemberEpoch),
        }
    }

    /// What is to be saved now, if anything; none while a save is under way, or too soon after one.
    pub fn take_save(&mut self, now: Instant) -> Option<GroupSaved> {
        if self.save_at().is_none_or(|at| at > now) {
            return None;
        }
        self.save_after = now + pace::after(self.weight);
        self.saving = Some(std::mem::take(&mut self.next));
        let content = Content::Consumer(self.content.clone());
        Some(GroupSaved { group: self.id.clone(), expected: self.revision, content })
    }

    /// When the next save begins, if it waits for nothing but time.
    fn save_at(&self) -> Option<Instant> {
        (self.next.is_changed && self.saving.is_none()).then_some(self.save_after)
    }

    /// The save under way was applied.
    pub fn saved(&mut self, revision: u64) {
        self.revision = revision;
        let saved = self.saving.take().unwrap_or_default();
        saved.answers.into_iter().for_each(Owed::pay);
    }

    /// It cannot go on here: whoever waits is told.
    pub fn fail(&mut self, error: Error) {
        self.drain().for_each(|owed| owed.refuse(error));
    }

    /// All answers that wait.
    fn drain(&mut self) -> impl Iterator<Item = Owed> + use<> {
        let saving = self.saving.take().unwrap_or_default();
        saving.answers.into_iter().chain(std::mem::take(&mut self.next).answers)
    }

    /// Tells a member something, once what has changed of it is saved.
    fn owe(&mut self, id: &str, owed: Owed) {
        match self.unsaved(id) {
            Some(unsaved) => unsaved.answers.push(owed),
            None => owed.pay(),
        }
    }

    /// Where changes of this member wait to be saved, if there are any.
    fn unsaved(&mut self, id: &str) -> Option<&mut Unsaved> {
        let changes = |unsaved: &&mut Unsaved| unsaved.members.contains(id);
        Some(&mut self.next).filter(changes).or_else(|| self.saving.as_mut().filter(changes))
    }

    /// The next moment at which [`Group::tick`] has something to do.
    pub fn wake_at(&self) -> Option<Instant> {
        [self.deadlines.first(), self.assign_at, self.save_at()].into_iter().flatten().min()
    }

    /// After so much silence a member is removed.
    fn session_timeout(&self, member: &ConsumerMember, state: &State) -> Duration {
        match &member.classic {
            Some(classic) => duration(classic.session_timeout_ms),
            None => GroupConfig::of(state, &self.id).session_timeout(),
        }
    }

    /// A member has shown that it lives.
    fn alive(&mut self, id: &str, state: &State, now: Instant) {
        let Some(member) = self.content.member(id) else { return };
        let session = now + self.session_timeout(member, state);
        self.deadlines.alive(id, session);
    }

    /// A member's state has changed: it is to be saved before anybody hears of it.
    fn changed(&mut self, id: &str) {
        self.next.is_changed = true;
        self.next.members.insert(id.to_owned());
    }

    /// Starts or ends the time that a member has to give up partitions; it has it from `now` on.
    fn watch_revocation(&mut self, id: &str, now: Instant) {
        let Some(member) = self.content.member(id) else { return };
        let revocation = match member.state {
            // One that speaks the classic protocol has until it must have joined again.
            MemberState::UnrevokedPartitions if member.classic.is_none() => {
                Some(now + duration(member.rebalance_timeout_ms))
            }
            _ => None,
        };
        self.deadlines.change(id, |deadline| deadline.revocation = revocation);
    }

    /// A member joins the list; what it weighs is kept along, here and below.
    fn insert(&mut self, member: ConsumerMember) {
        self.weight += member.weight();
        let at = self.content.members.partition_point(|other| other.id < member.id);
        self.content.members.insert(at, Arc::new(member));
    }

    /// The member at this place of the list is another now, with the same id.
    fn replace(&mut self, index: usize, member: ConsumerMember) {
        let place = &mut self.content.members[index];
        self.weight = self.weight - place.weight() + member.weight();
        *place = Arc::new(member);
    }

    /// The member at this place leaves the list.
    fn take(&mut self, index: usize) {
        self.weight -= self.content.members.remove(index).weight();
    }
}
