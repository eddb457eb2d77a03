//! Members that leave, for good or for a while, and members that are removed.

use kafscale_runtime::Instant;
use kafscale_state::{
    State,
    group::{ConsumerMember, LEFT_STATIC_EPOCH, Partitions},
};

use super::{Answer, Error, Group, Heartbeat, Turn};
use crate::{groups::removed, settings::GroupSettings};

impl Group {
    /// A member leaves: for good, or as a static member that will be back within its session timeout.
    pub(super) fn leave(
        &mut self,
        beat: &Heartbeat<'_>,
        state: &State,
        now: Instant,
        settings: &GroupSettings,
    ) -> Result<Answer, Error> {
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
            false => self.remove(std::slice::from_ref(&id), state, now, settings),
        }
        Ok(Answer { member_id: id, epoch: beat.epoch, assignment: None })
    }

    /// It keeps what it has, and what it was giving up is given up.
    fn leave_for_now(&mut self, id: &str, state: &State, now: Instant) {
        let Some(index) = self.index(id) else { return };
        let member = (*self.content.members[index]).clone();
        self.replace(index, ConsumerMember { epoch: LEFT_STATIC_EPOCH, revoking: Partitions::new(), ..member });
        self.alive(id, state, now);
        self.deadlines.change(id, |deadline| deadline.revocation = None);
        self.changed(id);
    }

    /// Takes members out; the others get new targets, or rebalance by the classic protocol if they all speak that.
    pub(super) fn remove(&mut self, ids: &[String], state: &State, now: Instant, settings: &GroupSettings) {
        for id in ids {
            let Some(index) = self.index(id) else { continue };
            self.take(index);
            self.deadlines.remove(id);
            self.held.forget(id);
            self.changed(id);
        }
        if self.may_turn_classic(settings) {
            self.turn = Some(Turn::Left);
            return;
        }
        self.open_epoch();
        self.assign_if_due(state, now);
    }

    /// Whether what is left may go on as a classic group.
    pub(super) fn may_turn_classic(&self, settings: &GroupSettings) -> bool {
        let members = &self.content.members;
        let speak_classic = !members.is_empty() && members.iter().all(|member| member.classic.is_some());
        speak_classic && settings.migration.downgrades() && members.len() <= settings.max_size as usize
    }

    /// Removes members that were silent, or did not give up partitions, for too long, and makes targets that may be made now.
    pub fn tick(&mut self, state: &State, now: Instant, settings: &GroupSettings) {
        let late = self.deadlines.missed(now);
        removed::note(&self.id, &late);
        if !late.is_empty() {
            let late: Vec<String> = late.into_iter().map(|(id, _)| id).collect();
            self.remove(&late, state, now, settings);
        }
        if self.turn.is_none() {
            self.assign_if_due(state, now);
        }
    }
}
