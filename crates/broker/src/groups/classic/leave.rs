//! Members that leave, by their own word or an operator's, and those that are removed.

use kafscale_runtime::Instant;

use super::{Group, Phase};
use crate::{groups::Error, settings::GroupSettings};

/// A member that is to leave.
#[derive(Debug, Clone, Default)]
pub struct Leaving {
    /// Its id; empty if an operator names it by its instance id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
}

impl Group {
    /// Members leave; the answers are in the order of the request.
    pub fn leave(&mut self, leaving: &[Leaving], now: Instant, settings: &GroupSettings) -> Vec<Result<(), Error>> {
        let mut answers = Vec::with_capacity(leaving.len());
        let mut changed = false;
        for one in leaving {
            let left = self.leave_one(one);
            changed |= left.is_ok();
            answers.push(left);
        }
        if changed {
            self.members_changed(now, settings);
        }
        answers
    }

    fn leave_one(&mut self, leaving: &Leaving) -> Result<(), Error> {
        let instance_id = leaving.instance_id.as_deref();
        let id = match (leaving.member_id.as_str(), instance_id) {
            ("", Some(instance_id)) => self.statics.get(instance_id).cloned().ok_or(Error::UnknownMember)?,
            ("", None) => return Err(Error::UnknownMember),
            (id, _) if self.invited.remove(id) => return Ok(()),
            (id, instance_id) => {
                self.validate(id, instance_id)?;
                id.to_owned()
            }
        };
        if let Some(mut member) = self.take(&id) {
            member.refuse(Error::UnknownMember);
        }
        Ok(())
    }

    /// Members are removed, and the others rebalance.
    pub(super) fn remove(&mut self, ids: impl IntoIterator<Item = String>, now: Instant, settings: &GroupSettings) {
        let mut changed = false;
        for mut member in ids.into_iter().filter_map(|id| self.take(&id)) {
            changed = true;
            if let Some(join) = member.join.take() {
                // So that a client that still waits begins anew.
                let _ = join.send(Err((Error::UnknownMember, String::new())));
            }
            member.refuse(Error::UnknownMember);
        }
        if changed {
            self.members_changed(now, settings);
        }
    }

    fn members_changed(&mut self, now: Instant, settings: &GroupSettings) {
        match self.phase {
            Phase::Empty => {}
            Phase::Preparing => self.complete_join_if_all_are_there(now),
            Phase::Completing | Phase::Stable => self.prepare(now, settings),
        }
    }
}
