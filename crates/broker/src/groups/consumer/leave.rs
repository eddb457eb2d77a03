//! Members that leave, for good or for a while, and members that are removed.

use std::sync::Arc;

use kafscale_runtime::Instant;
use kafscale_state::{
    State,
    group::{ConsumerMember, LEFT_STATIC_EPOCH, Partitions},
};

use super::{Answer, Error, Group, Heartbeat};
use crate::config::group::GroupConfig;

impl Group {
    /// A member leaves: for good, or as a static member that will be back within its session timeout.
    pub(super) fn leave(&mut self, beat: &Heartbeat<'_>, state: &State, now: Instant) -> Result<Answer, Error> {
        let member = match beat.instance_id {
            None => self.content.member(beat.member_id).ok_or(Error::UnknownMember)?,
            Some(instance_id) => {
                let member = self.content.static_member(instance_id).ok_or(Error::UnknownMember)?;
                if member.id != beat.member_id {
                    return Err(Error::FencedInstance);
                }
                member
            }
        };
        let id = member.id.clone();
        match beat.epoch == LEFT_STATIC_EPOCH {
            true => self.leave_for_now(&id, state, now),
            false => self.remove(std::slice::from_ref(&id), state, now),
        }
        Ok(Answer { member_id: id, epoch: beat.epoch, assignment: None })
    }

    /// It keeps what it has, and what it was giving up is given up.
    fn leave_for_now(&mut self, id: &str, state: &State, now: Instant) {
        let Some(index) = self.index(id) else { return };
        let member = &mut self.content.members[index];
        let left = ConsumerMember { epoch: LEFT_STATIC_EPOCH, revoking: Partitions::new(), ..(**member).clone() };
        *member = Arc::new(left);
        if let Some(deadlines) = self.deadlines.get_mut(id) {
            deadlines.session = now + GroupConfig::of(state, &self.id).session_timeout();
            deadlines.revocation = None;
        }
        self.changed(id);
    }

    /// Takes members out; the others get new targets.
    fn remove(&mut self, ids: &[String], state: &State, now: Instant) {
        for id in ids {
            let Some(index) = self.index(id) else { continue };
            self.content.members.remove(index);
            self.deadlines.remove(id);
            self.changed(id);
        }
        self.resolve(state, now);
        self.rebalance(state);
    }

    /// Removes members that were silent, or did not give up partitions, for too long.
    pub fn tick(&mut self, state: &State, now: Instant) {
        let mut late = Vec::new();
        for (id, deadlines) in &self.deadlines {
            let why = match deadlines.revocation {
                _ if deadlines.session <= now => "it was silent for too long",
                Some(at) if at <= now => "it did not give up its partitions in time",
                _ => continue,
            };
            tracing::info!(group = self.id, member = id, "a member is removed: {why}");
            late.push(id.clone());
        }
        if !late.is_empty() {
            self.remove(&late, state, now);
        }
    }
}
