//! SyncGroup: the leader hands in the assignments, and everybody gets their own once they are saved.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafscale_runtime::Instant;
use tokio::sync::oneshot;

use super::{Group, Phase, Proposal};
use crate::groups::{Error, WEIGHT_EACH_MAX};

/// What a member says when it asks for its assignment.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`, for a static member.
    pub instance_id: Option<String>,
    /// The generation that it joined.
    pub generation: i32,
    /// What it takes for the group's protocol type, from version 5.
    pub protocol_type: Option<String>,
    /// What it takes for the chosen protocol, from version 5.
    pub protocol: Option<String>,
    /// Of the leader: who gets what.
    pub assignments: Vec<(String, Bytes)>,
}

/// An assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// The group's protocol type.
    pub protocol_type: String,
    /// The chosen protocol.
    pub protocol: String,
    /// The member's part.
    pub assignment: Bytes,
}

/// The answer.
pub type SyncAnswer = Result<Synced, Error>;

impl Group {
    /// A member asks for its assignment.
    pub fn sync(&mut self, request: SyncRequest, answer: oneshot::Sender<SyncAnswer>, now: Instant) {
        if let Err(error) = self.may_sync(&request) {
            let _ = answer.send(Err(error));
            return;
        }
        let id = request.member_id;
        match self.phase {
            Phase::Empty => drop(answer.send(Err(Error::UnknownMember))),
            Phase::Preparing => drop(answer.send(Err(Error::RebalanceInProgress))),
            #[cfg(feature = "planted-bugs")]
            Phase::Completing
                if crate::planted::is(crate::planted::Bug::OldAssignment)
                    && self.members.get(&id).is_some_and(|member| !member.assignment.is_empty()) =>
            {
                self.unsynced.remove(&id);
                let _ = answer.send(Ok(self.synced(&id)));
            }
            Phase::Completing => {
                self.unsynced.remove(&id);
                let leads = self.is_leader(&id);
                if let Some(member) = self.members.get_mut(&id) {
                    member.sync = Some(answer);
                }
                if leads {
                    self.propose(request.assignments);
                }
            }
            Phase::Stable => {
                self.unsynced.remove(&id);
                self.alive(&id, now);
                let _ = answer.send(Ok(self.synced(&id)));
            }
        }
    }

    fn may_sync(&self, request: &SyncRequest) -> Result<(), Error> {
        self.validate(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(Error::IllegalGeneration);
        }
        let other_type = request.protocol_type.as_ref().is_some_and(|theirs| *theirs != self.protocol_type);
        let other = matches!((&request.protocol, &self.protocol), (Some(theirs), Some(ours)) if theirs != ours);
        if other_type || other { Err(Error::InconsistentProtocol) } else { Ok(()) }
    }

    /// The leader's word: saved first, handed out then. A repeated one changes nothing while the first is on its way.
    fn propose(&mut self, assignments: Vec<(String, Bytes)>) {
        if self.proposal.is_some() {
            return;
        }
        let assignments: BTreeMap<_, _> =
            assignments.into_iter().filter(|(id, _)| self.members.contains_key(id)).collect();
        let bytes: usize = assignments.values().map(Bytes::len).sum();
        if self.weight + bytes as u64 > WEIGHT_EACH_MAX {
            let leader = self.leader.clone().unwrap_or_default();
            let Some(leader) = self.members.get_mut(&leader) else { return };
            if let Some(sync) = leader.sync.take() {
                let _ = sync.send(Err(Error::Unsaveable));
            }
            let expires = leader.expires;
            self.watch(expires);
            return;
        }
        self.proposal = Some(Proposal { generation: self.generation, assignments });
        self.wants_save = true;
    }

    /// The assignments were saved.
    pub(super) fn hand_out(&mut self, now: Instant) {
        let Some(mut proposal) = self.proposal.take() else { return };
        self.phase = Phase::Stable;
        for member in self.members.values_mut() {
            self.weight -= member.weight();
            member.assignment = proposal.assignments.remove(&member.id).unwrap_or_default();
            self.weight += member.weight();
        }
        let waiting = self.members.values().filter(|member| member.sync.is_some());
        let waiting: Vec<String> = waiting.map(|member| member.id.clone()).collect();
        for id in waiting {
            let synced = self.synced(&id);
            self.alive(&id, now);
            if let Some(sync) = self.members.get_mut(&id).and_then(|member| member.sync.take()) {
                let _ = sync.send(Ok(synced));
            }
        }
    }

    fn synced(&self, id: &str) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone().unwrap_or_default(),
            assignment: self.members.get(id).map(|member| member.assignment.clone()).unwrap_or_default(),
        }
    }
}
