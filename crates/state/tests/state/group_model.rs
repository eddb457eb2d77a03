//! The model of groups: plain maps, written from the rule.

use std::collections::BTreeMap;

use kafscale_state::entry::{Committer, Entry, GroupDeleted, GroupSaved, OffsetChange, OffsetsSaved};
use kafscale_state::group::{Classic, Content, Member};
use kafscale_state::verdict::{OffsetRefused, Refused, Verdict};
use kafscale_state::{Handle, State};

use crate::ops::GroupOp;

/// A partition as the model of topics knows it.
#[derive(Clone, Copy)]
pub struct Place {
    pub handle: Handle,
    pub exists: bool,
}

#[derive(Default)]
struct Group {
    revision: u64,
    saved_ms: i64,
    generation: i32,
    was_joined: bool,
    members: Vec<String>,
    /// Offset and when it was committed.
    offsets: BTreeMap<Handle, (i64, i64)>,
}

/// All groups by id.
#[derive(Default)]
pub struct Groups {
    groups: BTreeMap<String, Group>,
    revision: u64,
}

pub fn member(id: &str) -> Member {
    Member {
        id: id.into(),
        instance_id: None,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 300_000,
        metadata: id.as_bytes().to_vec(),
        assignment: vec![1, 2, 3],
    }
}

pub fn classic(generation: i32, members: &[String]) -> Content {
    let leader = members.first().cloned();
    let protocol = leader.as_ref().map(|_| "range".to_owned());
    let members = members.iter().map(|id| member(id)).collect();
    Content::Classic(Classic { protocol_type: "consumer".into(), generation, protocol, leader, members })
}

fn id(group: usize) -> String {
    ["a", "b", "größe"][group].to_owned()
}

fn commit(offset: i64) -> OffsetChange {
    OffsetChange::Commit { offset, leader_epoch: -1, metadata: "m".into(), expires_ms: None }
}

impl Groups {
    /// The entry that does this, and what apply must say of it.
    pub fn judge(&mut self, op: &GroupOp, now_ms: i64, place: impl Fn((usize, u32)) -> Place) -> (Entry, Verdict) {
        match op {
            GroupOp::Save { group, members, stale } => self.save(id(*group), members, *stale, now_ms),
            GroupOp::Commit { group, member, behind, places } => {
                let places = places.iter().map(|&(topic, partition, offset)| (place((topic, partition)), offset));
                self.commit(id(*group), *member, *behind, &places.collect::<Vec<_>>(), now_ms)
            }
            GroupOp::Forget { group, places } => {
                let places: Vec<_> = places.iter().map(|at| place(*at)).collect();
                let offsets = places.iter().map(|place| (place.handle, OffsetChange::Delete)).collect();
                if let Some(group) = self.groups.get_mut(&id(*group)) {
                    group.offsets.retain(|handle, _| places.iter().all(|place| place.handle != *handle));
                }
                let entry = OffsetsSaved { group: id(*group), by: Committer::Operator, offsets };
                (Entry::OffsetsSaved(entry), existing(&places))
            }
            GroupOp::Expire { group, age_ms } => self.expire(id(*group), now_ms - age_ms),
            GroupOp::Delete { group, unless_used } => self.delete(id(*group), *unless_used),
        }
    }

    fn save(&mut self, id: String, members: &[u8], stale: bool, now_ms: i64) -> (Entry, Verdict) {
        let known = self.groups.get(&id).map_or(0, |group| group.revision);
        let expected = if stale { known + 7 } else { known };
        let mut members: Vec<_> = members.iter().map(|member| format!("member-{member}")).collect();
        members.sort();
        members.dedup();
        let generation = self.groups.get(&id).map_or(0, |group| group.generation) + 1;
        let entry = GroupSaved { group: id.clone(), expected, content: classic(generation, &members) };
        if stale {
            return (Entry::GroupSaved(entry), Verdict::Refused(Refused::GroupChanged));
        }
        self.revision += 1;
        let group = self.groups.entry(id).or_default();
        (group.revision, group.saved_ms, group.generation) = (self.revision, now_ms, generation);
        (group.members, group.was_joined) = (members, true);
        (Entry::GroupSaved(entry), Verdict::GroupSaved { revision: self.revision })
    }

    fn commit(
        &mut self,
        id: String,
        member: Option<u8>,
        behind: i32,
        places: &[(Place, i64)],
        now_ms: i64,
    ) -> (Entry, Verdict) {
        let known = self.groups.get(&id);
        let epoch = known.map_or(1, |group| group.generation) - behind;
        let member = member.map(|member| format!("member-{member}"));
        let by = member.clone().map_or(Committer::Outsider, |id| Committer::Member { id, epoch });
        let offsets = places.iter().map(|(place, offset)| (place.handle, commit(*offset))).collect();
        let entry = Entry::OffsetsSaved(OffsetsSaved { group: id.clone(), by, offsets });
        let refused = match (&member, known) {
            (Some(_), None) => None,
            (Some(_), Some(_)) if behind < 0 => None,
            (Some(member), Some(group)) if !group.members.contains(member) => Some(Refused::UnknownMember),
            (Some(_), Some(_)) if behind != 0 => Some(Refused::IllegalGeneration),
            (None, Some(group)) if !group.members.is_empty() => Some(Refused::UnknownMember),
            _ => None,
        };
        if let Some(refused) = refused {
            return (entry, Verdict::Refused(refused));
        }
        if known.is_none() && places.iter().any(|(place, _)| place.exists) {
            self.groups.insert(id.clone(), Group::default());
        }
        for (place, offset) in places.iter().filter(|(place, _)| place.exists) {
            let group = self.groups.get_mut(&id).expect("it was made");
            group.offsets.insert(place.handle, (*offset, now_ms));
        }
        (entry, existing(&places.iter().map(|(place, _)| *place).collect::<Vec<_>>()))
    }

    fn expire(&mut self, id: String, since_ms: i64) -> (Entry, Verdict) {
        let group = self.groups.get_mut(&id);
        let handles: Vec<_> = group.iter().flat_map(|group| group.offsets.keys().copied()).collect();
        let offsets = handles.iter().map(|handle| (*handle, OffsetChange::Expire { since_ms })).collect();
        let entry = Entry::OffsetsSaved(OffsetsSaved { group: id, by: Committer::Outsider, offsets });
        let Some(group) = group else { return (entry, Verdict::OffsetsSaved(Vec::new())) };
        if !group.members.is_empty() {
            return (entry, Verdict::Refused(Refused::UnknownMember));
        }
        let from = if group.was_joined { group.saved_ms } else { 0 };
        group.offsets.retain(|_, (_, committed_ms)| from.max(*committed_ms) > since_ms);
        (entry, Verdict::OffsetsSaved(vec![Ok(()); handles.len()]))
    }

    fn delete(&mut self, id: String, unless_used: bool) -> (Entry, Verdict) {
        let entry = Entry::GroupDeleted(GroupDeleted { group: id.clone(), unless_used });
        let verdict = match self.groups.get(&id) {
            None => Verdict::Refused(Refused::GroupNotFound),
            Some(group) if !group.members.is_empty() => Verdict::Refused(Refused::GroupNotEmpty),
            Some(group) if unless_used && !group.offsets.is_empty() => Verdict::Refused(Refused::GroupNotEmpty),
            Some(_) => Verdict::Done,
        };
        if verdict == Verdict::Done {
            self.groups.remove(&id);
        }
        (entry, verdict)
    }

    /// A topic was deleted, and all that was committed for it.
    pub fn topic_gone(&mut self, first: Handle, partitions: u32) {
        for group in self.groups.values_mut() {
            group.offsets.retain(|handle, _| !(first..first + partitions).contains(handle));
        }
    }

    pub fn compare(&self, state: &State) {
        let mut ids: Vec<_> = state.groups().map(|(id, _)| id.to_owned()).collect();
        ids.sort();
        assert_eq!(ids, self.groups.keys().cloned().collect::<Vec<_>>());
        for (id, model) in &self.groups {
            let group = state.group(id).expect("listed above");
            let Content::Classic(classic) = group.content() else { panic!("{id} is classic") };
            let members: Vec<_> = classic.members.iter().map(|member| member.id.clone()).collect();
            assert_eq!((group.revision(), group.saved_ms()), (model.revision, model.saved_ms), "{id}");
            assert_eq!((classic.generation, members), (model.generation, model.members.clone()), "{id}");
            let live = group.offsets().filter(|(handle, _)| state.committed(id, *handle).is_some());
            let offsets: BTreeMap<_, _> = live.map(|(handle, c)| (handle, (c.offset, c.committed_ms))).collect();
            assert_eq!(offsets, model.offsets, "{id}");
        }
    }
}

fn existing(places: &[Place]) -> Verdict {
    let exists = |place: &Place| if place.exists { Ok(()) } else { Err(OffsetRefused::UnknownTopicOrPartition) };
    Verdict::OffsetsSaved(places.iter().map(exists).collect())
}
