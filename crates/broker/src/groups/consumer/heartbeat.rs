//! ConsumerGroupHeartbeat: a member joins, says how far it is, and hears what it shall own.

use std::sync::Arc;

use kafscale_runtime::Instant;
use kafscale_state::{
    State,
    group::{ConsumerMember, LEFT_STATIC_EPOCH, MemberState, Partitions},
};
use tokio::sync::oneshot;

use super::{Error, Group, Owed, Pattern, assignor::Assignor};
use crate::{groups::WEIGHT_EACH_MAX, settings::GroupSettings};

/// The epoch with which members join.
const JOIN: i32 = 0;
/// The epoch with which members leave.
const LEAVE: i32 = -1;

/// A request whose form was checked: epochs and fields fit each other. What is none did not change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heartbeat<'a> {
    /// The member's id; not empty.
    pub member_id: &'a str,
    /// The epoch that it knows to be in: 0 joins, -1 leaves, -2 leaves for a while.
    pub epoch: i32,
    /// Its `group.instance.id`.
    pub instance_id: Option<&'a str>,
    /// Its rack.
    pub rack_id: Option<&'a str>,
    /// So long it may take to give up partitions, milliseconds.
    pub rebalance_timeout_ms: Option<i32>,
    /// The topics that it subscribes to by name.
    pub topics: Option<Vec<&'a str>>,
    /// Its regular expression; empty for none any more.
    pub pattern: Option<&'a str>,
    /// The assignor that it prefers.
    pub assignor: Option<&'a str>,
    /// What it owns.
    pub owned: Option<Partitions>,
    /// As its client calls itself.
    pub client_id: &'a str,
    /// Where its client is.
    pub client_host: &'a str,
}

/// What a member hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its id.
    pub member_id: String,
    /// The epoch that it is in from now on.
    pub epoch: i32,
    /// What it shall own; none if that is as it was.
    pub assignment: Option<Partitions>,
}

/// When a member hears it.
#[derive(Debug)]
pub enum Reply {
    /// Nothing has changed.
    Now(Answer),
    /// Once the change is saved.
    Later(oneshot::Receiver<Result<Answer, Error>>),
}

impl Heartbeat<'_> {
    /// Whether the member joins, perhaps anew.
    pub fn joins(&self) -> bool {
        self.epoch == JOIN
    }

    /// A member that says everything wants to hear everything.
    fn is_full(&self) -> bool {
        let subscribes = self.topics.is_some() || self.pattern.is_some();
        self.epoch == JOIN || (self.rebalance_timeout_ms.is_some() && subscribes && self.owned.is_some())
    }
}

impl Group {
    /// Handles a heartbeat. Nothing changes if it is refused.
    pub fn heartbeat(
        &mut self,
        beat: &Heartbeat<'_>,
        state: &State,
        now: Instant,
        settings: &GroupSettings,
    ) -> Result<Reply, Error> {
        let answer = match beat.epoch {
            LEAVE | LEFT_STATIC_EPOCH => self.leave(beat, state, now, settings)?,
            _ => self.live(beat, state, now, settings)?,
        };
        let Some(unsaved) = self.unsaved(beat.member_id) else { return Ok(Reply::Now(answer)) };
        let (sender, receiver) = oneshot::channel();
        unsaved.answers.push(Owed::Beat(sender, answer));
        Ok(Reply::Later(receiver))
    }

    fn live(
        &mut self,
        beat: &Heartbeat<'_>,
        state: &State,
        now: Instant,
        settings: &GroupSettings,
    ) -> Result<Answer, Error> {
        check_words(beat)?;
        let before = self.enter(beat, settings)?;
        let member = said(before.as_deref(), beat);
        let grows = member.weight().saturating_sub(before.as_ref().map_or(0, |before| before.weight()));
        if grows > 0 && self.weight() + grows > WEIGHT_EACH_MAX {
            return Err(Error::GroupFull);
        }
        let subscription = |member: &ConsumerMember| (member.topics.clone(), member.pattern.clone());
        let resubscribes = before.as_deref().map(subscription) != Some(subscription(&member));
        self.put(before.as_deref(), member);
        self.alive(beat.member_id, state, now);
        self.keep_up(beat.member_id, resubscribes, state, now);
        if self.step(beat.member_id, beat.owned.as_ref(), state) {
            self.changed(beat.member_id);
            self.watch_revocation(beat.member_id, now);
        }
        let member = self.content.member(beat.member_id).ok_or(Error::UnknownMember)?;
        let is_as_before = |before: &Arc<ConsumerMember>| before.id == member.id && before.assigned == member.assigned;
        // Who says that it owns something else has not heard, or has not done, what it was told.
        let differs = beat.owned.as_ref().is_some_and(|owned| *owned != member.assigned);
        let tells = beat.is_full() || differs || !before.as_ref().is_some_and(is_as_before);
        let assignment = tells.then(|| member.assigned.clone());
        Ok(Answer { member_id: member.id.clone(), epoch: member.epoch, assignment })
    }

    /// The member that speaks, or that it takes the place of; none if it is new.
    fn enter(&self, beat: &Heartbeat<'_>, settings: &GroupSettings) -> Result<Option<Arc<ConsumerMember>>, Error> {
        let by_id = self.content.member(beat.member_id);
        let known = match beat.instance_id {
            None => by_id,
            Some(instance_id) => match self.content.static_member(instance_id) {
                None if beat.epoch == JOIN => by_id,
                Some(other) if other.id != beat.member_id => {
                    return match beat.epoch {
                        JOIN if by_id.is_none() && may_be_replaced(other) => Ok(Some(Arc::clone(other))),
                        JOIN => Err(Error::UnreleasedInstance),
                        _ => Err(Error::FencedInstance),
                    };
                }
                known => known,
            },
        };
        match known {
            Some(member) => check_epoch(member, beat).map(|()| Some(Arc::clone(member))),
            None if beat.epoch != JOIN => Err(Error::UnknownMember),
            None if self.content.members.len() >= settings.consumer_max_size as usize => Err(Error::GroupFull),
            None => Ok(None),
        }
    }

    /// Puts a member in its place, if it is not as it was.
    pub(super) fn put(&mut self, before: Option<&ConsumerMember>, member: ConsumerMember) {
        if before == Some(&member) {
            return;
        }
        self.changed(&member.id);
        if let Some(before) = before
            && let Some(index) = self.index(&before.id)
        {
            self.take(index);
            if before.id != member.id {
                self.deadlines.remove(&before.id);
                self.held.forget(&before.id);
            }
        }
        self.held.note(&member);
        self.insert(member);
    }
}

/// Whether its `group.instance.id` is free for another life of it: one that speaks the classic protocol never says that it
/// leaves for a while.
fn may_be_replaced(member: &ConsumerMember) -> bool {
    member.epoch == LEFT_STATIC_EPOCH || member.classic.is_some()
}

fn check_words(beat: &Heartbeat<'_>) -> Result<(), Error> {
    if beat.assignor.is_some_and(|name| Assignor::named(name).is_none()) {
        return Err(Error::UnsupportedAssignor);
    }
    match beat.pattern.filter(|source| !source.is_empty()).map(Pattern::new) {
        Some(Err(_)) => Err(Error::InvalidPattern),
        _ => Ok(()),
    }
}

/// A member that lost an answer may still be in the epoch before, if it owns nothing that the new one takes from it. One
/// that joins again owns nothing at all.
fn check_epoch(member: &ConsumerMember, beat: &Heartbeat<'_>) -> Result<(), Error> {
    let is_behind = || {
        let fits = beat.owned.as_ref().is_some_and(|owned| owned.is_subset(&member.assigned));
        beat.epoch == member.previous_epoch && fits
    };
    match beat.epoch == JOIN || beat.epoch == member.epoch || (beat.epoch < member.epoch && is_behind()) {
        true => Ok(()),
        false => Err(Error::FencedMemberEpoch),
    }
}

/// The member with what it says now.
fn said(before: Option<&ConsumerMember>, beat: &Heartbeat<'_>) -> ConsumerMember {
    let mut member = before.cloned().unwrap_or_default();
    member.classic = None;
    if beat.epoch == JOIN {
        let takes_place = member.id != beat.member_id;
        (member.epoch, member.previous_epoch, member.state) = (JOIN, JOIN, MemberState::Stable);
        member.revoking.clear();
        // Who joins says everything: what a former life subscribed to is not its wish any more.
        member.topics.clear();
        (member.pattern, member.assignor, member.rack_id) = (None, None, None);
        // Who takes a place takes what was kept for it.
        if !takes_place {
            member.assigned.clear();
        }
    }
    beat.member_id.clone_into(&mut member.id);
    beat.client_id.clone_into(&mut member.client_id);
    beat.client_host.clone_into(&mut member.client_host);
    let set = |field: &mut Option<String>, said: Option<&str>| {
        if let Some(said) = said {
            *field = Some(said.to_owned());
        }
    };
    set(&mut member.instance_id, beat.instance_id);
    set(&mut member.rack_id, beat.rack_id);
    set(&mut member.assignor, beat.assignor);
    set(&mut member.pattern, beat.pattern);
    member.pattern.take_if(|pattern| pattern.is_empty());
    if let Some(timeout_ms) = beat.rebalance_timeout_ms {
        member.rebalance_timeout_ms = timeout_ms;
    }
    if let Some(topics) = &beat.topics {
        member.topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        member.topics.sort();
        member.topics.dedup();
    }
    member
}
