//! Subscriptions, what they mean at this moment, and who shall have what.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use kafscale_runtime::Instant;
use kafscale_state::{
    Handle, State, Topic,
    group::{self, Consumer, ConsumerMember, Partitions},
    topic::{DEFAULT_NAMESPACE, TopicId},
};

use super::{
    Group, Pattern,
    assignor::{self, Assignor, Subscriber},
    reconcile::{Aim, reconcile},
};
/// Expressions are matched anew at most this often while topics come and go; Kafka's bound.
const MATCH_INTERVAL: Duration = Duration::from_secs(10);

impl Group {
    /// Looks at topics that came, grew or went since the last look. True if that matters to the group.
    pub(super) fn has_new_topics(&mut self, state: &State, now: Instant) -> bool {
        let version = state.topics_version();
        let has_patterns = self.content.members.iter().any(|member| member.pattern.is_some());
        if self.seen == Some(version) || (has_patterns && now < self.match_again) {
            return false;
        }
        self.resolve(state, now)
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
        has_changed
    }

    /// Opens the next group epoch with targets of its own.
    pub(super) fn rebalance(&mut self, state: &State) {
        let content = &mut self.content;
        content.epoch = content.epoch.saturating_add(1);
        content.assignment_epoch = content.epoch;
        let targets = preferred(content).assign(&subscribers(content, state), &topics(content, state));
        for (index, target) in order(content).into_iter().zip(targets) {
            if content.members[index].target != target {
                Arc::make_mut(&mut content.members[index]).target = target;
            }
        }
        tracing::debug!(group = self.id, epoch = content.epoch, "a rebalance");
    }

    /// Takes a member's next step. True if there was one.
    pub(super) fn step(&mut self, id: &str, owned: Option<&Partitions>, state: &State) -> bool {
        let Some(index) = self.index(id) else { return false };
        let member = &self.content.members[index];
        if member.is_reconciled_to(self.content.assignment_epoch) {
            return false;
        }
        let wanted = ids(member, &self.content, state);
        let taken = self.taken_by_others(id);
        #[cfg(feature = "planted-bugs")]
        let taken = if crate::planted::is(crate::planted::Bug::NotGivenUp) { BTreeSet::new() } else { taken };
        let aim = Aim {
            epoch: self.content.assignment_epoch,
            wants: &|handle| state.partition(handle).is_some_and(|found| wanted.contains(&found.topic().id())),
            is_free: &|handle| !taken.contains(&handle),
            owned,
        };
        let Some(next) = reconcile(member, &aim) else { return false };
        self.held.note(&next);
        self.content.members[index] = Arc::new(next);
        true
    }

    /// What other members have, or have yet to give up.
    pub(super) fn taken_by_others(&self, id: &str) -> BTreeSet<Handle> {
        let others = self.content.members.iter().filter(|other| other.id != id);
        others.flat_map(|other| other.assigned.iter().chain(&other.revoking)).copied().collect()
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
