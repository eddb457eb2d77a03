//! Members that speak the classic protocol in a KIP-848 group.
//!
//! A member's epoch is its generation, and each goes to the next one by itself, as all others do: JoinGroup says what it
//! owns and takes a step, SyncGroup tells what it has then, and Heartbeat answers REBALANCE_IN_PROGRESS whenever there is
//! another step to take. Nobody leads: the answer to a join names no leader, so no client assigns.
//!
//! ```text
//!   Heartbeat ──REBALANCE_IN_PROGRESS──▶ JoinGroup (what it owns) ──▶ SyncGroup (what it shall own) ──▶ Heartbeat
//!             within its rebalance timeout                 within its rebalance timeout
//! ```

use std::{collections::BTreeSet, sync::Arc};

use kafscale_runtime::Instant;
use kafscale_state::{
    State,
    group::{ConsumerMember, MemberState, Partitions},
};
use tokio::sync::oneshot;

use super::{Deadline, Error, Group, Owed, Turn};
use crate::{
    groups::{
        WEIGHT_EACH_MAX,
        classic::{JoinAnswer, JoinRequest, Joined, Leaving, SyncAnswer, SyncRequest, Synced, Takeover},
        migration,
        subscription::{self, CONSUMER, Subscription},
    },
    settings::{GroupSettings, MigrationPolicy},
};

impl Group {
    /// A client joins by the classic protocol; `new_id` is the member id that it gets if it needs one.
    pub fn join_classic(
        &mut self,
        request: &JoinRequest,
        new_id: String,
        answer: oneshot::Sender<JoinAnswer>,
        state: &State,
        now: Instant,
        settings: &GroupSettings,
    ) {
        let is_new = request.member_id.is_empty();
        let entered = match self.may_join(request, settings) {
            Ok(_) if is_new && request.requires_known_id && request.instance_id.is_none() => {
                let _ = answer.send(Err((Error::MemberIdRequired, new_id)));
                return;
            }
            Ok(subscription) => self.place_of(request).map(|before| (subscription, before)),
            Err(error) => Err(error),
        };
        let (subscription, before) = match entered {
            Ok(entered) => entered,
            Err(error) => return drop(answer.send(Err((error, request.member_id.clone())))),
        };
        let id = if is_new { new_id } else { request.member_id.clone() };
        let member = joined(before.as_deref(), &id, request, &subscription);
        let resubscribes =
            before.as_ref().is_none_or(|before| before.topics != member.topics || before.pattern != member.pattern);
        self.put(before.as_deref(), member);
        let takes_last_place = before.is_some_and(|before| before.instance_id.is_some() && before.classic.is_none());
        if takes_last_place && self.may_turn_classic(settings) {
            let rebalances = resubscribes || self.is_assigning() || !self.others_are_reconciled(&id);
            let can_skip_assignment = request.can_skip_assignment;
            self.turn = Some(Turn::Replaced(Takeover { member_id: id, answer, can_skip_assignment, rebalances }));
            return;
        }
        self.advance(&id, resubscribes, &subscription, state, now);
        let deadline = Deadline::new(now + request.session_timeout);
        self.deadlines.insert(&id, Deadline { sync: Some(now + request.rebalance_timeout), ..deadline });
        let Some(member) = self.content.member(&id) else { return };
        let joined = Joined {
            generation: member.epoch,
            protocol_type: CONSUMER.to_owned(),
            protocol: protocol(member).to_owned(),
            leader: String::new(),
            skip_assignment: false,
            member_id: id.clone(),
            members: Vec::new(),
        };
        self.owe(&id, Owed::Join(answer, joined));
    }

    fn advance(&mut self, id: &str, resubscribes: bool, subscription: &Subscription<'_>, state: &State, now: Instant) {
        self.keep_up(id, resubscribes, state, now);
        let owned = subscription::existing(&subscription.owned, state);
        if self.step(id, Some(&owned), state) {
            self.changed(id);
        }
    }

    fn others_are_reconciled(&self, id: &str) -> bool {
        let mut others = self.content.members.iter().filter(|other| other.id != id);
        others.all(|other| other.is_reconciled_to(self.content.assignment_epoch))
    }

    /// Kafka's checks before a member is looked for, and our bound.
    fn may_join<'a>(&self, request: &'a JoinRequest, settings: &GroupSettings) -> Result<Subscription<'a>, Error> {
        if settings.migration == MigrationPolicy::Disabled {
            return Err(Error::InconsistentProtocol);
        }
        let bytes: usize = request.protocols.iter().map(|(name, said)| 64 + name.len() + said.len()).sum();
        let is_large = self.weight() + 1_024 + bytes as u64 > WEIGHT_EACH_MAX;
        let is_full = self.content.members.len() >= settings.consumer_max_size as usize || is_large;
        if is_full && self.content.member(&request.member_id).is_none() {
            return Err(Error::GroupFull);
        }
        let is_spoken_by_all = |name: &String| {
            let mut spoken = self.content.members.iter().filter_map(|member| member.classic.as_ref());
            spoken.all(|classic| classic.protocols.iter().any(|(other, _)| other == name))
        };
        if request.protocol_type != CONSUMER || !request.protocols.iter().any(|(name, _)| is_spoken_by_all(name)) {
            return Err(Error::InconsistentProtocol);
        }
        let said = request.protocols.first().and_then(|(_, said)| Subscription::read(said));
        said.ok_or(Error::InconsistentProtocol)
    }

    /// The member that joins, or whose place it takes; none if it is new.
    fn place_of(&self, request: &JoinRequest) -> Result<Option<Arc<ConsumerMember>>, Error> {
        let Some(instance_id) = &request.instance_id else {
            return Ok(self.content.member(&request.member_id).cloned());
        };
        match self.content.static_member(instance_id) {
            known if request.member_id.is_empty() => Ok(known.cloned()),
            None => Err(Error::UnknownMember),
            Some(other) if other.id != request.member_id => Err(Error::FencedInstance),
            known => Ok(known.cloned()),
        }
    }

    /// A member asks for its assignment.
    pub fn sync_classic(
        &mut self,
        request: &SyncRequest,
        answer: oneshot::Sender<SyncAnswer>,
        state: &State,
        now: Instant,
    ) {
        match self.may_sync(request, now) {
            Err(error) => drop(answer.send(Err(error))),
            Ok(member) => {
                let version = member.classic.as_ref().and_then(|classic| classic.protocols.first());
                let version = version.and_then(|(_, said)| Subscription::read(said)).map_or(0, |read| read.version);
                let synced = Synced {
                    protocol_type: CONSUMER.to_owned(),
                    protocol: protocol(&member).to_owned(),
                    assignment: subscription::write_assignment(version, &member.assigned, state).into(),
                };
                self.alive(&member.id, state, now);
                self.deadlines.change(&member.id, |deadline| deadline.sync = None);
                self.owe(&member.id, Owed::Sync(answer, synced));
            }
        }
    }

    fn may_sync(&mut self, request: &SyncRequest, now: Instant) -> Result<Arc<ConsumerMember>, Error> {
        let member = self.speaker(&request.member_id, request.instance_id.as_deref(), request.generation)?;
        let other_type = request.protocol_type.as_ref().is_some_and(|theirs| theirs != CONSUMER);
        if other_type || request.protocol.as_ref().is_some_and(|theirs| theirs != protocol(&member)) {
            return Err(Error::InconsistentProtocol);
        }
        // Who has to give up partitions has joined for this epoch already, and must hear which.
        if member.epoch < self.content.assignment_epoch && member.state != MemberState::UnrevokedPartitions {
            return Err(self.must_join(&member, now));
        }
        Ok(member)
    }

    /// A member says that it lives, and hears whether there is a step to take.
    pub fn heartbeat_classic(
        &mut self,
        id: &str,
        instance_id: Option<&str>,
        generation: i32,
        state: &State,
        now: Instant,
    ) -> Result<(), Error> {
        let member = self.speaker(id, instance_id, generation)?;
        self.alive(id, state, now);
        self.keep_up(id, false, state, now);
        let has_a_step = match member.state {
            _ if member.epoch < self.content.assignment_epoch => true,
            MemberState::Stable => false,
            MemberState::UnrevokedPartitions => true,
            MemberState::UnreleasedPartitions => {
                let missing: Partitions = &member.target - &member.assigned;
                self.taken_by_others(id, &missing).is_empty()
            }
        };
        if has_a_step { Err(self.must_join(&member, now)) } else { Ok(()) }
    }

    /// A member is told to join again, and has its rebalance timeout to do so.
    fn must_join(&mut self, member: &ConsumerMember, now: Instant) -> Error {
        let until = now + migration::duration(member.rebalance_timeout_ms);
        self.deadlines.change(&member.id, |deadline| deadline.join = deadline.join.or(Some(until)));
        Error::RebalanceInProgress
    }

    /// The member that speaks, in its generation.
    fn speaker(&self, id: &str, instance_id: Option<&str>, generation: i32) -> Result<Arc<ConsumerMember>, Error> {
        let member = match instance_id {
            None => self.content.member(id),
            Some(instance_id) => self.content.static_member(instance_id),
        };
        match member.ok_or(Error::UnknownMember)? {
            other if other.id != id => Err(Error::FencedInstance),
            member if member.classic.is_none() => Err(Error::UnknownMember),
            member if member.epoch != generation => Err(Error::IllegalGeneration),
            member => Ok(Arc::clone(member)),
        }
    }

    /// Members leave by LeaveGroup, by their own word or an operator's, whatever they speak; the answers are in the order
    /// of the request.
    pub fn leave_classic(
        &mut self,
        leaving: &[Leaving],
        state: &State,
        now: Instant,
        settings: &GroupSettings,
    ) -> Vec<Result<(), Error>> {
        let found: Vec<Result<String, Error>> = leaving.iter().map(|one| self.leaver(one)).collect();
        let gone: BTreeSet<String> = found.iter().flatten().cloned().collect();
        if !gone.is_empty() {
            self.remove(&gone.into_iter().collect::<Vec<_>>(), state, now, settings);
        }
        found.into_iter().map(|found| found.map(drop)).collect()
    }

    fn leaver(&self, leaving: &Leaving) -> Result<String, Error> {
        let member = match &leaving.instance_id {
            None => self.content.member(&leaving.member_id),
            Some(instance_id) => self.content.static_member(instance_id),
        };
        let member = member.ok_or(Error::UnknownMember)?;
        match leaving.member_id.is_empty() || leaving.member_id == member.id {
            true => Ok(member.id.clone()),
            false => Err(Error::FencedInstance),
        }
    }
}

/// The member with what it says now. Who takes a place takes what was kept for it.
fn joined(
    before: Option<&ConsumerMember>,
    id: &str,
    request: &JoinRequest,
    subscription: &Subscription<'_>,
) -> ConsumerMember {
    let mut member = before.cloned().unwrap_or_default();
    if member.id != id {
        (member.epoch, member.previous_epoch, member.state) = (0, 0, MemberState::Stable);
        member.revoking.clear();
    }
    id.clone_into(&mut member.id);
    if request.instance_id.is_some() {
        member.instance_id.clone_from(&request.instance_id);
    }
    if let Some(rack_id) = subscription.rack_id {
        member.rack_id = Some(rack_id.to_owned());
    }
    member.client_id.clone_from(&request.client_id);
    member.client_host.clone_from(&request.client_host);
    member.rebalance_timeout_ms = migration::millis(request.rebalance_timeout);
    member.topics = subscription.topics.iter().map(|topic| (*topic).to_owned()).collect();
    member.pattern = None;
    member.classic = Some(migration::spoken(request.session_timeout, &request.protocols));
    member
}

/// The protocol that a member is told to use: the first of its own.
fn protocol(member: &ConsumerMember) -> &str {
    let first = member.classic.as_ref().and_then(|classic| classic.protocols.first());
    first.map_or("", |(name, _)| name.as_str())
}
