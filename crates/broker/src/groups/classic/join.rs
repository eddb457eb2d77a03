//! JoinGroup: new members, members that come back, static members that take their own place again.

use std::time::Duration;

use bytes::Bytes;
use kafscale_runtime::Instant;
use tokio::sync::oneshot;

use super::{Group, Member, Phase, Protocols, Replacement};
use crate::{
    groups::{Error, NEW_MEMBER_JOIN_TIMEOUT, WEIGHT_EACH_MAX},
    settings::GroupSettings,
};

/// What a client says when it joins.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// Its member id; empty if it has none yet.
    pub member_id: String,
    /// Its `group.instance.id`, for a static member.
    pub instance_id: Option<String>,
    /// As it calls itself.
    pub client_id: String,
    /// Where it is.
    pub client_host: String,
    /// After so much silence it is removed.
    pub session_timeout: Duration,
    /// So long it may take to join again.
    pub rebalance_timeout: Duration,
    /// Such as `consumer`.
    pub protocol_type: String,
    /// What it supports.
    pub protocols: Protocols,
    /// Whether a new member is first given an id and must join again with it (version 4, KIP-394).
    pub requires_known_id: bool,
    /// Whether it can be told not to assign although it leads (version 9, KIP-814).
    pub can_skip_assignment: bool,
}

/// A finished join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The generation.
    pub generation: i32,
    /// The group's protocol type.
    pub protocol_type: String,
    /// The chosen protocol.
    pub protocol: String,
    /// Who assigns.
    pub leader: String,
    /// Whether the leader has nothing to assign.
    pub skip_assignment: bool,
    /// The id of the member that joined.
    pub member_id: String,
    /// Everybody, for the leader.
    pub members: Vec<JoinedMember>,
}

/// A member as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// What it says to the chosen protocol.
    pub metadata: Bytes,
}

/// The answer; an error with the member id that goes with it.
pub type JoinAnswer = Result<Joined, (Error, String)>;

/// A static member that joins by taking the place of another in a KIP-848 group, which becomes this one.
#[derive(Debug)]
pub struct Takeover {
    /// Its id.
    pub member_id: String,
    /// Its join.
    pub answer: oneshot::Sender<JoinAnswer>,
    /// Whether it can be told not to assign although it leads.
    pub can_skip_assignment: bool,
    /// Whether the members must rebalance: it reads something else, or not all had what they were to have.
    pub rebalances: bool,
}

impl Group {
    /// A client joins; `new_id` is the member id that it gets if it needs one.
    pub fn join(
        &mut self,
        request: JoinRequest,
        new_id: String,
        answer: oneshot::Sender<JoinAnswer>,
        now: Instant,
        settings: &GroupSettings,
    ) {
        if !self.has_room(&request, settings) {
            if !request.member_id.is_empty() {
                self.invited.remove(&request.member_id);
                self.remove([request.member_id.clone()], now, settings);
            }
            let _ = answer.send(Err((Error::GroupFull, String::new())));
            return;
        }
        let outcome = match (request.member_id.is_empty(), &request.instance_id) {
            _ if !self.fits(&request) => Err((Error::InconsistentProtocol, request.member_id)),
            (true, Some(instance_id)) if self.statics.contains_key(instance_id) => {
                self.replace(request, new_id, answer, now, settings);
                return;
            }
            (true, None) if request.requires_known_id => {
                self.invited.insert(new_id.clone(), now + request.session_timeout);
                Err((Error::MemberIdRequired, new_id))
            }
            (true, _) => {
                self.add(JoinRequest { member_id: new_id, ..request }, answer, now, settings);
                return;
            }
            (false, instance_id) => {
                if instance_id.is_none() && self.invited.remove(&request.member_id) {
                    self.add(request, answer, now, settings);
                    return;
                }
                match self.validate(&request.member_id, instance_id.as_deref()) {
                    Ok(()) => {
                        self.rejoin(request, answer, now, settings);
                        return;
                    }
                    Err(error) => Err((error, request.member_id)),
                }
            }
        };
        let _ = answer.send(outcome);
    }

    /// Kafka's rule for `group.max.size`, and the bound on what one group weighs.
    fn has_room(&self, request: &JoinRequest, settings: &GroupSettings) -> bool {
        let bytes: usize = request.protocols.iter().map(|(name, metadata)| 32 + name.len() + metadata.len()).sum();
        let known = self.members.get(&request.member_id);
        let before = known.map_or(0, Member::weight);
        if self.weight() + 1_024 + bytes as u64 > WEIGHT_EACH_MAX + before {
            return false;
        }
        let max = settings.max_size as usize;
        match self.phase {
            Phase::Empty => true,
            Phase::Preparing if self.members.len() < max => true,
            Phase::Preparing => {
                let waits = known.is_some_and(|member| member.join.is_some());
                waits || self.members.values().filter(|member| member.join.is_some()).count() < max
            }
            Phase::Completing | Phase::Stable => known.is_some() || self.members.len() < max,
        }
    }

    /// Whether there is a protocol that all members support, this one included.
    fn fits(&self, request: &JoinRequest) -> bool {
        if self.phase == Phase::Empty {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        let common = |(name, _): &(String, Bytes)| self.supported.by(name) == self.members.len();
        self.protocol_type == request.protocol_type && request.protocols.iter().any(common)
    }

    fn add(
        &mut self,
        request: JoinRequest,
        answer: oneshot::Sender<JoinAnswer>,
        now: Instant,
        settings: &GroupSettings,
    ) {
        if self.members.is_empty() {
            self.protocol_type.clone_from(&request.protocol_type);
        }
        self.leader.get_or_insert_with(|| request.member_id.clone());
        self.joining.grew |= self.phase == Phase::Preparing;
        self.insert(Member {
            id: request.member_id,
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            protocols: request.protocols,
            assignment: Bytes::new(),
            is_new: true,
            expires: now + NEW_MEMBER_JOIN_TIMEOUT,
            join: Some(answer),
            sync: None,
        });
        self.rebalance_or_complete(now, settings);
    }

    /// A member of the group joins again.
    fn rejoin(
        &mut self,
        request: JoinRequest,
        answer: oneshot::Sender<JoinAnswer>,
        now: Instant,
        settings: &GroupSettings,
    ) {
        let id = request.member_id.clone();
        let same = self.members.get(&id).is_some_and(|member| member.protocols == request.protocols);
        match self.phase {
            Phase::Preparing => {
                self.update(request, answer);
                self.rebalance_or_complete(now, settings);
            }
            // It has missed the answer to its join, or it follows and nothing has changed.
            Phase::Completing if same => drop(answer.send(Ok(self.joined(&id)))),
            Phase::Stable if same && !self.is_leader(&id) => drop(answer.send(Ok(self.joined(&id)))),
            // The leader may have reasons of its own, such as topics that have more partitions now.
            Phase::Completing | Phase::Stable => {
                self.update(request, answer);
                self.rebalance_or_complete(now, settings);
            }
            Phase::Empty => drop(answer.send(Err((Error::UnknownMember, id)))),
        }
    }

    fn update(&mut self, request: JoinRequest, answer: oneshot::Sender<JoinAnswer>) {
        let Some(member) = self.members.get_mut(&request.member_id) else { return };
        self.weight -= member.weight();
        self.supported.remove(&member.protocols);
        self.supported.add(&request.protocols);
        member.protocols = request.protocols;
        member.session_timeout = request.session_timeout;
        member.rebalance_timeout = request.rebalance_timeout;
        self.weight += member.weight();
        // Its earlier join, if one waits, was given up by its client.
        member.join = Some(answer);
    }

    /// A static member comes back without its member id: it takes its own place under a new one (KIP-345).
    fn replace(
        &mut self,
        request: JoinRequest,
        new_id: String,
        answer: oneshot::Sender<JoinAnswer>,
        now: Instant,
        settings: &GroupSettings,
    ) {
        let leader_before = self.leader.clone();
        let instance_id = request.instance_id.clone().unwrap_or_default();
        let old_id = self.statics.get(&instance_id).cloned().unwrap_or_default();
        let led = self.is_leader(&old_id);
        let Some(mut member) = self.take(&old_id) else { return };
        member.refuse(Error::FencedInstance);
        member.id.clone_from(&new_id);
        member.alive(now);
        self.insert(member);
        if led {
            self.leader = Some(new_id.clone());
        }
        let replacement = Replacement { can_skip_assignment: request.can_skip_assignment, leader_before };
        self.update(JoinRequest { member_id: new_id.clone(), ..request }, answer);
        match self.phase {
            Phase::Stable if self.protocol == self.choose_protocol() => {
                // No rebalance: the new id is saved in the place of the old one, and answered then.
                let answer = self.members.get_mut(&new_id).and_then(|member| member.join.take());
                self.replaced.extend(answer.map(|answer| (new_id, answer, replacement)));
                self.wants_save = true;
            }
            // The leader may have been told the old id already: whatever it assigns would miss this member.
            Phase::Stable | Phase::Completing => self.prepare(now, settings),
            Phase::Preparing | Phase::Empty => self.rebalance_or_complete(now, settings),
        }
    }

    /// A static member has joined by taking the place of another in the group before this one. Its join is part of the
    /// rebalance that begins, or it is answered once its id is saved.
    pub fn take_over(&mut self, takeover: Takeover, now: Instant, settings: &GroupSettings) {
        let Takeover { member_id, answer, can_skip_assignment, rebalances } = takeover;
        if !rebalances {
            let replacement = Replacement { can_skip_assignment, leader_before: None };
            self.replaced.push((member_id, answer, replacement));
            self.wants_save = true;
        } else if let Some(member) = self.members.get_mut(&member_id) {
            member.join = Some(answer);
            self.rebalance_or_complete(now, settings);
        }
    }

    /// Its new id was saved: a static member that took its own place goes on with its assignment.
    pub(super) fn answer_replaced(&mut self, id: &str, answer: oneshot::Sender<JoinAnswer>, how: &Replacement) {
        let stable = self.phase == Phase::Stable;
        let Some(member) = self.members.get_mut(id) else {
            let _ = answer.send(Err((Error::UnknownMember, id.to_owned())));
            return;
        };
        if !stable {
            // Another rebalance has begun: this join is part of it.
            member.join.get_or_insert(answer);
            return;
        }
        let mut joined = self.joined(id);
        if how.can_skip_assignment {
            joined.skip_assignment = self.is_leader(id);
        } else {
            // An older client that leads would assign: it is told another leader.
            joined.members.clear();
            joined.leader = how.leader_before.clone().unwrap_or_default();
        }
        let _ = answer.send(Ok(joined));
    }

    /// What a member is told of the present generation.
    pub(super) fn joined(&self, id: &str) -> Joined {
        let protocol = self.protocol.clone().unwrap_or_default();
        let member = |member: &Member| JoinedMember {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(&protocol),
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: id.to_owned(),
            members: if self.is_leader(id) { self.members.values().map(member).collect() } else { Vec::new() },
            protocol,
        }
    }
}
