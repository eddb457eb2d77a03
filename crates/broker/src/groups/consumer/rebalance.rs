//! Subscriptions, what they mean at this moment, and who shall have what.
//!
//! ```text
//!   a change ──▶ the next epoch opens ──▶ more changes ──▶ targets of that epoch, for everybody
//!                                      └─ until consumer.assignment.interval.ms after the last targets: mostly at once
//! ```
//!
//! To match, to assign and to save costs as much as the group has members. A change by itself does not: a crowd that joins
//! costs one assignment an interval, and not one a member.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use kafscale_runtime::Instant;
use kafscale_state::{
    State, Topic,
    group::{self, Consumer, ConsumerMember, Partitions},
    topic::{DEFAULT_NAMESPACE, TopicId},
};

use super::{
    Group, Pattern,
    assignor::{self, Assignor, Subscriber},
    reconcile::{Aim, reconcile},
};
use crate::config::group::GroupConfig;

/// Expressions are matched anew at most this often while topics come and go; Kafka's bound.
const MATCH_INTERVAL: Duration = Duration::from_secs(10);

impl Group {
    /// Looks at topics that came, grew or went since the last look. True if that matters to the group.
    pub(super) fn has_new_topics(&mut self, state: &State, now: Instant) -> bool {
        let version = state.topics_version();
        if self.seen == Some(version) || (!self.content.patterns.is_empty() && now < self.match_again) {
            return false;
        }
        self.resolve(state, now)
    }

    /// A member was heard of that may have changed what it subscribes to; topics may have changed as well.
    pub(super) fn keep_up(&mut self, id: &str, resubscribes: bool, state: &State, now: Instant) {
        // Targets that are yet to be made will be made for the topics of that moment.
        if resubscribes || (!self.is_assigning() && self.has_new_topics(state, now)) {
            self.open_epoch();
            self.changed(id);
        }
        self.assign_if_due(state, now);
    }

    /// Whether the epoch has no targets yet.
    pub(super) fn is_assigning(&self) -> bool {
        self.content.epoch > self.content.assignment_epoch
    }

    /// Opens the next group epoch, if the one that there is has targets.
    pub(super) fn open_epoch(&mut self) {
        if !self.is_assigning() {
            self.content.epoch = self.content.epoch.saturating_add(1);
            self.next.is_changed = true;
        }
    }

    /// Makes the targets that the epoch lacks, or notes when they may be made. Nobody waits where none were made before.
    pub(super) fn assign_if_due(&mut self, state: &State, now: Instant) {
        if !self.is_assigning() {
            self.assign_at = None;
            return;
        }
        let interval = GroupConfig::of(state, &self.id).assignment_interval();
        let may_at = self.assigned_at.filter(|_| !self.content.members.is_empty()).map(|at| at + interval);
        self.assign_at = may_at.filter(|at| *at > now);
        if self.assign_at.is_none() {
            self.resolve(state, now);
            self.assign(state);
            self.assigned_at = (!self.content.members.is_empty()).then_some(now);
        }
    }

    /// Matches the members' expressions with the topics that exist. True if the group's topics are others now.
    pub(super) fn resolve(&mut self, state: &State, now: Instant) -> bool {
        self.seen = Some(state.topics_version());
        self.match_again = now + MATCH_INTERVAL;
        let used: BTreeSet<String> = self.content.members.iter().filter_map(|member| member.pattern.clone()).collect();
        let patterns = used.into_iter().map(|source| matched(source, state)).collect::<Vec<_>>();
        let mut topics = BTreeMap::new();
        for name in self.content.members.iter().flat_map(|member| names(member, &patterns)) {
            if let Some(topic) = state.topic(name) {
                topics.insert(topic.id(), topic.partition_count());
            }
        }
        let topics: Vec<_> = topics.into_iter().collect();
        let has_changed = topics != self.content.topics || patterns != self.content.patterns;
        (self.content.topics, self.content.patterns) = (topics, patterns);
        self.weight = self.content.weight();
        has_changed
    }

    /// Gives the group epoch targets of its own.
    fn assign(&mut self, state: &State) {
        let content = &mut self.content;
        content.assignment_epoch = content.epoch;
        let targets = preferred(content).assign(&subscribers(content, state), &topics(content, state));
        for (index, target) in order(content).into_iter().zip(targets) {
            if content.members[index].target != target {
                Arc::make_mut(&mut content.members[index]).target = target;
            }
        }
        tracing::debug!(group = self.id, epoch = content.epoch, "a rebalance");
        self.weight = content.weight();
        self.next.is_changed = true;
    }

    /// Takes a member's next step. True if there was one.
    pub(super) fn step(&mut self, id: &str, owned: Option<&Partitions>, state: &State) -> bool {
        let Some(index) = self.index(id) else { return false };
        let member = &self.content.members[index];
        if member.is_reconciled_to(self.content.assignment_epoch) {
            return false;
        }
        let wanted = ids(member, &self.content, state);
        let is_unmatched = is_unmatched(member, &self.content);
        let taken = self.taken_by_others(id, &(&member.target - &member.assigned));
        #[cfg(feature = "planted-bugs")]
        let taken = if crate::planted::is(crate::planted::Bug::NotGivenUp) { Partitions::new() } else { taken };
        let aim = Aim {
            epoch: self.content.assignment_epoch,
            wants: &|handle| {
                let found = state.partition(handle);
                found.is_some_and(|found| is_unmatched || wanted.contains(&found.topic().id()))
            },
            is_free: &|handle| !taken.contains(&handle),
            owned,
        };
        let Some(next) = reconcile(member, &aim) else { return false };
        self.held.note(&next);
        self.replace(index, next);
        true
    }

    /// Those of these partitions that other members have, or have yet to give up.
    pub(super) fn taken_by_others(&self, id: &str, wanted: &Partitions) -> Partitions {
        if wanted.is_empty() {
            return Partitions::new();
        }
        let others = self.content.members.iter().filter(|other| other.id != id);
        let taken = others.flat_map(|other| other.assigned.iter().chain(&other.revoking));
        taken.filter(|handle| wanted.contains(handle)).copied().collect()
    }

    /// Where a member is in the list.
    pub(super) fn index(&self, id: &str) -> Option<usize> {
        self.content.members.binary_search_by(|member| member.id.as_str().cmp(id)).ok()
    }
}

/// What an expression matches now. It was checked when it came; should it be none here, nothing matches.
fn matched(source: String, state: &State) -> group::Pattern {
    let topics = match Pattern::new(&source) {
        Ok(pattern) => {
            let names = state.topics().filter(|topic| topic.namespace() == DEFAULT_NAMESPACE).map(Topic::name);
            names.filter(|name| pattern.matches(name)).map(str::to_owned).collect()
        }
        Err(_) => Vec::new(),
    };
    group::Pattern { source, topics }
}

/// Whether the member's expression came after the last match: what it has by its target, it keeps for so long.
fn is_unmatched(member: &ConsumerMember, content: &Consumer) -> bool {
    let is_matched = |source: &String| content.patterns.iter().any(|pattern| pattern.source == *source);
    member.pattern.as_ref().is_some_and(|source| !is_matched(source))
}

/// The assignor that most members prefer, of those that prefer one.
pub(super) fn preferred(content: &Consumer) -> Assignor {
    let votes = |assignor: Assignor| {
        content.members.iter().filter(|member| member.assignor.as_deref() == Some(assignor.name())).count()
    };
    match votes(Assignor::Range) > votes(Assignor::Uniform) {
        true => Assignor::Range,
        false => Assignor::Uniform,
    }
}

/// The names that a member subscribes to, whether such topics exist or not.
fn names<'a>(member: &'a ConsumerMember, patterns: &'a [group::Pattern]) -> impl Iterator<Item = &'a str> {
    let pattern = patterns.iter().find(|pattern| member.pattern.as_deref() == Some(&pattern.source));
    let matched = pattern.into_iter().flat_map(|pattern| &pattern.topics);
    member.topics.iter().chain(matched).map(String::as_str)
}

/// The topics of a member that exist.
fn ids(member: &ConsumerMember, content: &Consumer, state: &State) -> BTreeSet<TopicId> {
    names(member, &content.patterns).filter_map(|name| state.topic(name)).map(|topic| topic.id()).collect()
}

/// Members in the order in which assignors serve them: static ones first, whatever ids they have in this life.
fn order(content: &Consumer) -> Vec<usize> {
    let key = |index: &usize| {
        let member = &content.members[*index];
        (member.instance_id.is_none(), member.instance_id.clone(), *index)
    };
    let mut order: Vec<usize> = (0..content.members.len()).collect();
    order.sort_by_key(key);
    order
}

fn subscribers(content: &Consumer, state: &State) -> Vec<Subscriber> {
    let at = |id: TopicId| content.topics.binary_search_by_key(&id, |(id, _)| *id).ok();
    let subscriber = |index: usize| {
        let member = &content.members[index];
        let topics = ids(member, content, state).into_iter().filter_map(at).collect();
        Subscriber { topics, before: member.target.clone() }
    };
    order(content).into_iter().map(subscriber).collect()
}

fn topics(content: &Consumer, state: &State) -> Vec<assignor::Topic> {
    let partitions = |(id, count): &(TopicId, u32)| {
        let topic = state.topic_by_id(*id);
        topic.map(|topic| topic.handles().take(*count as usize).collect()).unwrap_or_default()
    };
    content.topics.iter().map(partitions).collect()
}
