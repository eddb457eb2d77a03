//! `range`: each topic by itself is shared evenly among its subscribers.

use kafscale_state::group::Partitions;

use super::{Subscriber, Topic, subscribers};

/// See [`super::Assignor::Range`].
pub(super) fn assign(members: &[Subscriber], topics: &[Topic]) -> Vec<Partitions> {
    let mut assigned = vec![Partitions::new(); members.len()];
    for (topic, subscribers) in topics.iter().zip(subscribers(members, topics.len())) {
        if !subscribers.is_empty() {
            share(topic, &subscribers, members, &mut assigned);
        }
    }
    assigned
}

/// Members keep the lowest of what they had, up to their share; the rest is given out in ranges. Topics of one size that
/// were shared alike are shared alike again, so that members can join them.
fn share(topic: &Topic, subscribers: &[usize], members: &[Subscriber], assigned: &mut [Partitions]) {
    let quota = topic.len() / subscribers.len();
    let mut extras = topic.len() % subscribers.len();
    let mut is_free = vec![true; topic.len()];
    // Who is to get more, and how many at least.
    let mut waiting = Vec::new();
    for member in subscribers {
        let had: Vec<_> = (0..topic.len()).filter(|index| members[*member].before.contains(&topic[*index])).collect();
        let keeps_extra = had.len() > quota && extras > 0;
        extras -= usize::from(keeps_extra);
        for index in had.iter().take(quota + usize::from(keeps_extra)) {
            is_free[*index] = false;
            assigned[*member].insert(topic[*index]);
        }
        if !keeps_extra {
            waiting.push((*member, quota.saturating_sub(had.len())));
        }
    }
    let mut free = (0..topic.len()).filter(|index| is_free[*index]);
    for (member, missing) in waiting {
        let extra = usize::from(extras > 0);
        extras -= extra;
        assigned[member].extend(free.by_ref().take(missing + extra).map(|index| topic[index]));
    }
}
