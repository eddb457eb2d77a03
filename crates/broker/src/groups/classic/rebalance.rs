//! A rebalance from its begin to the moment when all members have joined.

use std::{collections::BTreeMap, time::Duration};

use kafscale_runtime::Instant;

use super::{Group, Joining, Member, Phase};
use crate::{
    groups::{Error, removed},
    settings::GroupSettings,
};

impl Group {
    /// Begins a rebalance where none is under way; ends the one that is if everybody is there.
    pub fn rebalance_or_complete(&mut self, now: Instant, settings: &GroupSettings) {
        match self.phase {
            Phase::Preparing => self.complete_join_if_all_are_there(now),
            Phase::Empty | Phase::Completing | Phase::Stable => self.prepare(now, settings),
        }
    }

    /// All members must join again.
    pub(super) fn prepare(&mut self, now: Instant, settings: &GroupSettings) {
        if self.phase == Phase::Completing {
            self.proposal = None;
            let mut silence = None;
            for member in self.members.values_mut() {
                member.assignment = Default::default();
                if let Some(sync) = member.sync.take() {
                    member.alive(now);
                    silence = silence.into_iter().chain([member.expires]).min();
                    let _ = sync.send(Err(Error::RebalanceInProgress));
                }
            }
            silence.into_iter().for_each(|expires| self.watch(expires));
            self.weight = self.members.values().map(Member::weight).sum();
        }
        self.unsynced.clear();
        let first = self.phase == Phase::Empty;
        self.phase = Phase::Preparing;
        let timeout = self.rebalance_timeout();
        let delay = settings.initial_rebalance_delay;
        self.joining = match first {
            true => Joining { until: now + delay, first: Some(timeout.saturating_sub(delay)), grew: false },
            // Whom the broker before still answers cannot hear of this from here.
            false => Joining { until: now.max(self.shared_until) + timeout, first: None, grew: false },
        };
        self.complete_join_if_all_are_there(now);
    }

    /// The longest that any member may take.
    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    /// An empty group's first rebalance waits for its time, so that members that start together are in one generation.
    pub(super) fn complete_join_if_all_are_there(&mut self, now: Instant) {
        let all = self.invited.is_empty() && self.members.values().all(|member| member.join.is_some());
        if self.phase == Phase::Preparing && all && (self.joining.first.is_none() || self.members.is_empty()) {
            self.complete_join(now);
        }
    }

    pub(super) fn complete_join_if_due(&mut self, now: Instant, settings: &GroupSettings) {
        if self.joining.until > now {
            return self.complete_join_if_all_are_there(now);
        }
        match self.joining.first {
            Some(left) if self.joining.grew && !left.is_zero() => {
                let delay = settings.initial_rebalance_delay.min(left);
                let left = left.saturating_sub(settings.initial_rebalance_delay);
                self.joining = Joining { until: now + delay, first: Some(left), grew: false };
            }
            _ => self.complete_join(now),
        }
    }

    /// Those who are there form the next generation. Static members that are not stay in it.
    fn complete_join(&mut self, now: Instant) {
        let absent = |member: &&Member| member.join.is_none() && member.instance_id.is_none();
        let absent: Vec<String> = self.members.values().filter(absent).map(|member| member.id.clone()).collect();
        for id in absent {
            self.take(&id);
        }
        if !self.elect_leader() && !self.members.is_empty() {
            // Nobody is there but static members that may yet come: their session timeouts decide.
            self.joining = Joining { until: now + self.rebalance_timeout(), first: None, grew: false };
            return;
        }
        // Clients take it for a signed number, and negative ones for none.
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.proposal = None;
        self.joining = Joining::default();
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            (self.protocol, self.leader) = (None, None);
            self.wants_save = true;
            return;
        }
        self.protocol = self.choose_protocol();
        self.phase = Phase::Completing;
        self.unsynced = self.members.keys().cloned().collect();
        self.sync_until = now + self.rebalance_timeout();
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            self.alive(&id, now);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.is_new = false;
            if let Some(join) = member.join.take() {
                let _ = join.send(Ok(joined));
            }
        }
    }

    /// The leader stays if it has joined; else the first that has leads. False if nobody has.
    fn elect_leader(&mut self) -> bool {
        let is_there = |id: &String| self.members.get(id).is_some_and(|member| member.join.is_some());
        if !self.leader.as_ref().is_some_and(is_there) {
            let Some(first) = self.members.values().find(|member| member.join.is_some()) else { return false };
            self.leader = Some(first.id.clone());
        }
        true
    }

    /// The protocol with most votes among those that all support; each member votes for the first of them on its list.
    pub fn choose_protocol(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let common = |name: &str| self.supported.by(name) == self.members.len();
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| common(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(name, _)| name.to_owned())
    }

    /// The members that never asked for their assignment are removed.
    pub(super) fn give_up_on_unsynced(&mut self, now: Instant, settings: &GroupSettings) {
        let unsynced = std::mem::take(&mut self.unsynced);
        let unsynced: Vec<_> =
            unsynced.into_iter().map(|id| (id, "the assignment was not asked for in time")).collect();
        removed::note(&self.id, &unsynced);
        for (id, _) in unsynced {
            if let Some(mut member) = self.take(&id) {
                member.refuse(Error::UnknownMember);
            }
        }
        self.prepare(now, settings);
    }
}
