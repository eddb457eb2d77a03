//! `uniform`: all partitions together are shared evenly among the members that subscribe to their topics.

use std::collections::BTreeMap;

use kafscale_state::{Handle, group::Partitions};

use super::{Subscriber, Topic, subscribers};

/// See [`super::Assignor::Uniform`].
pub(super) fn assign(members: &[Subscriber], topics: &[Topic]) -> Vec<Partitions> {
    let Some((first, others)) = members.split_first() else { return Vec::new() };
    match others.iter().all(|other| other.topics == first.topics) {
        true => alike(members, topics),
        false => Unlike::new(members, topics).assign(),
    }
}

/// All members subscribe to the same topics: everybody gets the quota, and some one more.
fn alike(members: &[Subscriber], topics: &[Topic]) -> Vec<Partitions> {
    let all: Partitions = members[0].topics.iter().flat_map(|topic| &topics[*topic]).copied().collect();
    let (quota, mut extras) = (all.len() / members.len(), all.len() % members.len());
    let mut shares = vec![quota; members.len()];
    let had: Vec<Partitions> = members.iter().map(|member| &member.before & &all).collect();
    // One more goes first to those that have it already.
    let greedy_first = (0..members.len()).filter(|member| had[*member].len() > quota);
    let others = (0..members.len()).filter(|member| had[*member].len() <= quota);
    for member in greedy_first.chain(others) {
        shares[member] += usize::from(extras > 0);
        extras = extras.saturating_sub(1);
    }
    let mut assigned: Vec<Partitions> =
        had.iter().zip(&shares).map(|(had, share)| had.iter().take(*share).copied().collect()).collect();
    let kept: Partitions = assigned.iter().flatten().copied().collect();
    let mut free = members[0].topics.iter().flat_map(|topic| &topics[*topic]).filter(|handle| !kept.contains(handle));
    for (assigned, share) in assigned.iter_mut().zip(shares) {
        let missing = share - assigned.len();
        assigned.extend(free.by_ref().take(missing));
    }
    assigned
}

/// Members subscribe to different topics.
struct Unlike<'a> {
    /// Members of each topic.
    subscribers: Vec<Vec<usize>>,
    /// Partitions with their topics; first those of topics with the fewest members for their size.
    partitions: Vec<(Handle, usize)>,
    members: &'a [Subscriber],
    owners: BTreeMap<Handle, usize>,
    loads: Vec<usize>,
}

impl<'a> Unlike<'a> {
    fn new(members: &'a [Subscriber], topics: &[Topic]) -> Self {
        let subscribers = subscribers(members, topics.len());
        let mut order: Vec<usize> = (0..topics.len()).filter(|topic| !subscribers[*topic].is_empty()).collect();
        // a/b > c/d where a*d > c*b: no floats.
        let weight = |topic: usize, by: usize| topics[topic].len() * subscribers[by].len();
        order.sort_by(|a, b| {
            let denser = weight(*b, *a).cmp(&weight(*a, *b));
            denser.then(subscribers[*a].len().cmp(&subscribers[*b].len())).then(a.cmp(b))
        });
        let partitions = order.iter().flat_map(|topic| topics[*topic].iter().map(|handle| (*handle, *topic))).collect();
        Self { subscribers, partitions, members, owners: BTreeMap::new(), loads: vec![0; members.len()] }
    }

    fn assign(mut self) -> Vec<Partitions> {
        self.keep();
        self.give_out();
        while self.even_out() {}
        let mut assigned = vec![Partitions::new(); self.members.len()];
        for (handle, member) in self.owners {
            assigned[member].insert(handle);
        }
        assigned
    }

    /// Everybody keeps what they still subscribe to.
    fn keep(&mut self) {
        let topics: BTreeMap<Handle, usize> = self.partitions.iter().copied().collect();
        for (index, member) in self.members.iter().enumerate() {
            let subscribes =
                |handle: &Handle| topics.get(handle).is_some_and(|topic| member.topics.binary_search(topic).is_ok());
            for handle in member.before.iter().filter(|handle| subscribes(handle)) {
                self.owners.insert(*handle, index);
                self.loads[index] += 1;
            }
        }
    }

    /// What nobody has goes to the member that has the least.
    fn give_out(&mut self) {
        for (handle, topic) in &self.partitions {
            if !self.owners.contains_key(handle) {
                let member = self.idlest(*topic);
                self.owners.insert(*handle, member);
                self.loads[member] += 1;
            }
        }
    }

    /// Moves each partition whose owner has at least two more than another of its subscribers. Every move lowers the sum
    /// of squares of the loads, so this ends.
    fn even_out(&mut self) -> bool {
        let mut has_moved = false;
        for (handle, topic) in &self.partitions {
            let (owner, idlest) = (self.owners[handle], self.idlest(*topic));
            if self.loads[owner] > self.loads[idlest] + 1 {
                self.owners.insert(*handle, idlest);
                self.loads[owner] -= 1;
                self.loads[idlest] += 1;
                has_moved = true;
            }
        }
        has_moved
    }

    fn idlest(&self, topic: usize) -> usize {
        let members = self.subscribers[topic].iter().copied();
        members.min_by_key(|member| self.loads[*member]).expect("only topics with subscribers have partitions here")
    }
}
