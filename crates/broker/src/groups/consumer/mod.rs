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
//! A heartbeat that changes nothing is answered at once and never reaches the log. What assignors and expressions gave is
//! part of what is saved. The rules are those of Apache Kafka's group coordinator (KIP-848).

pub mod assignor;
mod heartbeat;
mod leave;
mod pattern;
mod rebalance;
mod reconcile;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub use heartbeat::{Answer, Heartbeat, Reply};
use kafscale_runtime::Instant;
use kafscale_state::{
    State,
    entry::GroupSaved,
    group::{Consumer, Content, MemberState},
    topic::TopicsVersion,
};
pub use pattern::Pattern;
use tokio::sync::oneshot;

use super::Error;
use crate::config::group::GroupConfig;

/// Where a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has no members.
    Empty,
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
            members if members.iter().all(|member| member.is_reconciled_to(content.assignment_epoch)) => Self::Stable,
            _ => Self::Reconciling,
        }
    }

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
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
    /// The revision in the state that this group follows.
    revision: u64,
    deadlines: BTreeMap<String, Deadlines>,
    /// The topics that were looked at last, and before when expressions are not matched anew.
    seen: Option<TopicsVersion>,
    match_again: Instant,
    /// What the next save will say, and what the one under way does.
    next: Unsaved,
    saving: Option<Unsaved>,
}

/// When a member is removed.
#[derive(Debug, Clone, Copy)]
struct Deadlines {
    /// Unless it is heard of.
    session: Instant,
    /// Unless it has given up what it must.
    revocation: Option<Instant>,
}

/// Changes that are not saved yet.
#[derive(Debug, Default)]
struct Unsaved {
    is_changed: bool,
    /// Whose state is among them: they hear nothing of it before it is saved.
    members: BTreeSet<String>,
    answers: Vec<(oneshot::Sender<Result<Answer, Error>>, Answer)>,
}

impl Group {
    /// A group that nobody has joined; what was saved of it before, if anything, is replaced.
    pub fn new(id: &str, epoch: i32, revision: u64) -> Self {
        let content = Consumer { epoch, assignment_epoch: epoch, ..Consumer::default() };
        Self::with(id, content, revision)
    }

    /// A group as it was saved: it goes on where it was, and members get fresh timeouts.
    pub fn load(id: &str, content: &Consumer, revision: u64, now: Instant, state: &State) -> Self {
        let session = now + GroupConfig::of(state, id).session_timeout();
        let mut group = Self::with(id, content.clone(), revision);
        for member in &content.members {
            let deadlines = Deadlines { session, revocation: None };
            group.deadlines.insert(member.id.clone(), deadlines);
        }
        content.members.iter().for_each(|member| group.watch_revocation(&member.id, now));
        group
    }

    fn with(id: &str, content: Consumer, revision: u64) -> Self {
        Self {
            id: id.to_owned(),
            content,
            revision,
            deadlines: BTreeMap::new(),
            seen: None,
            match_again: Instant::ZERO,
            next: Unsaved::default(),
            saving: None,
        }
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

    /// The revision in the state that it follows.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What it weighs towards the bounds.
    pub fn weight(&self) -> u64 {
        256 + self.content.weight()
    }

    /// The assignor that it uses.
    pub fn assignor(&self) -> assignor::Assignor {
        rebalance::preferred(&self.content)
    }

    /// Whether nothing would be lost if it were forgotten here: the state knows all of it.
    pub fn is_idle(&self) -> bool {
        self.content.members.is_empty() && !self.next.is_changed && self.saving.is_none()
    }

    /// Whether offsets may be committed: by a member in its epoch, or by anybody while there are none. `Ok(true)` for a
    /// member.
    pub fn may_commit(&self, id: &str, epoch: i32) -> Result<bool, Error> {
        if epoch < 0 && self.content.members.is_empty() {
            return Ok(false);
        }
        self.check_epoch_of(id, epoch).map(|()| true)
    }

    /// Whether a member is in this epoch.
    pub fn check_epoch_of(&self, id: &str, epoch: i32) -> Result<(), Error> {
        match self.content.member(id) {
            None => Err(Error::UnknownMember),
            Some(member) if member.epoch != epoch => Err(Error::StaleMemberEpoch),
            Some(_) => Ok(()),
        }
    }

    /// What is to be saved now, if anything; none while a save is under way.
    pub fn take_save(&mut self) -> Option<GroupSaved> {
        if !self.next.is_changed || self.saving.is_some() {
            return None;
        }
        self.saving = Some(std::mem::take(&mut self.next));
        let content = Content::Consumer(self.content.clone());
        Some(GroupSaved { group: self.id.clone(), expected: self.revision, content })
    }

    /// The save under way was applied.
    pub fn saved(&mut self, revision: u64) {
        self.revision = revision;
        for (waiting, answer) in self.saving.take().into_iter().flat_map(|saved| saved.answers) {
            let _ = waiting.send(Ok(answer));
        }
    }

    /// It cannot go on here: whoever waits is told.
    pub fn fail(&mut self, error: Error) {
        let saving = self.saving.take().unwrap_or_default();
        for (waiting, _) in saving.answers.into_iter().chain(std::mem::take(&mut self.next).answers) {
            let _ = waiting.send(Err(error));
        }
    }

    /// The next moment at which [`Group::tick`] has something to do.
    pub fn wake_at(&self) -> Option<Instant> {
        let deadlines = self.deadlines.values();
        deadlines.map(|member| member.revocation.map_or(member.session, |at| at.min(member.session))).min()
    }

    /// A member's state has changed: it is to be saved before anybody hears of it.
    fn changed(&mut self, id: &str) {
        self.next.is_changed = true;
        self.next.members.insert(id.to_owned());
    }

    /// Starts or ends the time that a member has to give up partitions.
    fn watch_revocation(&mut self, id: &str, now: Instant) {
        let Some(member) = self.content.member(id) else { return };
        let Some(deadlines) = self.deadlines.get_mut(id) else { return };
        deadlines.revocation = match member.state {
            MemberState::UnrevokedPartitions => {
                let timeout = Duration::from_millis(u64::try_from(member.rebalance_timeout_ms).unwrap_or(0));
                Some(now + timeout)
            }
            MemberState::Stable | MemberState::UnreleasedPartitions => None,
        };
    }
}
