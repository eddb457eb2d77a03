//! What every assignment must be, whatever members and topics there are.

use proptest::{
    collection::{btree_set, vec},
    prelude::*,
};

use super::*;

/// Topics of these sizes, with handles that interleave as little as real ones do.
fn topics(sizes: &[usize]) -> Vec<Topic> {
    let mut next = 0;
    let mut topic = |size: &usize| {
        let handles = (next..next + *size as Handle).collect();
        next += *size as Handle + 3;
        handles
    };
    sizes.iter().map(&mut topic).collect()
}

fn subscribed(topics: &[&[usize]]) -> Vec<Subscriber> {
    topics.iter().map(|topics| Subscriber { topics: topics.to_vec(), before: Partitions::new() }).collect()
}

/// The same members with what they were given.
fn after(members: &[Subscriber], given: &[Partitions]) -> Vec<Subscriber> {
    let pairs = members.iter().zip(given);
    pairs.map(|(member, given)| Subscriber { topics: member.topics.clone(), before: given.clone() }).collect()
}

fn sizes(given: &[Partitions]) -> Vec<usize> {
    given.iter().map(Partitions::len).collect()
}

fn moved(before: &[Subscriber], given: &[Partitions]) -> usize {
    before.iter().zip(given).map(|(member, given)| (&member.before - given).len()).sum()
}

/// Everything is given once, to somebody who wants it.
fn check(members: &[Subscriber], topics: &[Topic], given: &[Partitions]) -> Result<(), TestCaseError> {
    prop_assert_eq!(members.len(), given.len());
    let mut owners = std::collections::BTreeMap::new();
    for (index, given) in given.iter().enumerate() {
        for handle in given {
            let other = owners.insert(*handle, index);
            prop_assert_eq!(other, None, "{} has two owners", handle);
        }
    }
    for (number, topic) in topics.iter().enumerate() {
        let wanted = members.iter().any(|member| member.topics.contains(&number));
        for handle in topic {
            let owner = owners.remove(handle);
            prop_assert_eq!(owner.is_some(), wanted, "{} of topic {}", handle, number);
            prop_assert!(owner.is_none_or(|owner| members[owner].topics.contains(&number)));
        }
    }
    prop_assert!(owners.is_empty(), "there are no {:?}", owners);
    Ok(())
}

/// No partition could move to make loads more even.
fn check_balance(members: &[Subscriber], topics: &[Topic], given: &[Partitions]) -> Result<(), TestCaseError> {
    for (number, topic) in topics.iter().enumerate() {
        let owners = given.iter().filter(|given| topic.iter().any(|handle| given.contains(handle)));
        let most = owners.map(Partitions::len).max().unwrap_or(0);
        let subscribers = members.iter().zip(given).filter(|(member, _)| member.topics.contains(&number));
        let least = subscribers.map(|(_, given)| given.len()).min().unwrap_or(0);
        prop_assert!(most <= least + 1, "topic {}: {} and {}", number, most, least);
    }
    Ok(())
}

/// Each topic is shared evenly among its subscribers.
fn check_ranges(members: &[Subscriber], topics: &[Topic], given: &[Partitions]) -> Result<(), TestCaseError> {
    for (number, topic) in topics.iter().enumerate() {
        let subscribers = members.iter().zip(given).filter(|(member, _)| member.topics.contains(&number));
        let shares = subscribers.map(|(_, given)| topic.iter().filter(|handle| given.contains(handle)).count());
        let shares: Vec<_> = shares.collect();
        if let (Some(most), Some(least)) = (shares.iter().max(), shares.iter().min()) {
            prop_assert!(most - least <= 1, "topic {}: {:?}", number, shares);
        }
    }
    Ok(())
}

#[derive(Debug, Clone)]
struct Case {
    sizes: Vec<usize>,
    /// The members' topics at each step; members are the same ones by index.
    steps: Vec<Vec<Vec<usize>>>,
}

fn case(alike: bool) -> impl Strategy<Value = Case> {
    (1..5usize).prop_flat_map(move |topics| {
        let choice = move || btree_set(0..topics, 0..=topics).prop_map(|set| set.into_iter().collect::<Vec<_>>());
        let step = (choice(), vec(choice(), 1..7));
        let step = step.prop_map(move |(one, each)| if alike { vec![one; each.len()] } else { each });
        (vec(0..9usize, topics), vec(step, 1..6)).prop_map(|(sizes, steps)| Case { sizes, steps })
    })
}

/// Walks through the steps and shows each assignment with what it was made from.
fn walk(
    case: &Case,
    assignor: Assignor,
    mut see: impl FnMut(&[Subscriber], &[Topic], &[Partitions]) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let topics = topics(&case.sizes);
    let mut before: Vec<Partitions> = Vec::new();
    for step in &case.steps {
        let member = |(index, topics): (usize, &Vec<usize>)| Subscriber {
            topics: topics.clone(),
            before: before.get(index).cloned().unwrap_or_default(),
        };
        let members: Vec<_> = step.iter().enumerate().map(member).collect();
        let given = assignor.assign(&members, &topics);
        check(&members, &topics, &given)?;
        see(&members, &topics, &given)?;
        // Asked again nothing moves.
        prop_assert_eq!(&assignor.assign(&after(&members, &given), &topics), &given);
        before = given;
    }
    Ok(())
}

proptest! {
    #[test]
    fn uniform_is_balanced_and_settles(case in prop_oneof![case(true), case(false)]) {
        walk(&case, Assignor::Uniform, check_balance)?;
    }

    #[test]
    fn uniform_moves_no_more_than_it_must_where_all_subscribe_alike(case in case(true)) {
        walk(&case, Assignor::Uniform, |members, _, given| {
            let all: Partitions = given.iter().flatten().copied().collect();
            // Each member can keep at most its share; the greater shares go to those that had most.
            let (quota, extras) = (all.len() / members.len(), all.len() % members.len());
            let had: Vec<_> = members.iter().map(|member| (&member.before & &all).len()).collect();
            let greedy = had.iter().filter(|had| **had > quota).count().min(extras);
            let keep = had.iter().map(|had| (*had).min(quota)).sum::<usize>() + greedy;
            let kept: usize = members.iter().zip(given).map(|(member, given)| (&member.before & given).len()).sum();
            prop_assert_eq!(kept, keep);
            Ok(())
        })?;
    }

    #[test]
    fn range_shares_every_topic_evenly_and_settles(case in prop_oneof![case(true), case(false)]) {
        walk(&case, Assignor::Range, check_ranges)?;
    }
}

#[test]
fn a_member_that_joins_takes_only_its_share() {
    let topics = topics(&[6]);
    let members = subscribed(&[&[0], &[0], &[0]]);
    for assignor in Assignor::ALL {
        let two = assignor.assign(&members[..2], &topics);
        assert_eq!(sizes(&two), [3, 3]);
        let mut three = after(&members[..2], &two);
        three.push(members[2].clone());
        let given = assignor.assign(&three, &topics);
        assert_eq!(sizes(&given), [2, 2, 2]);
        assert_eq!(moved(&three, &given), 2);
    }
}

#[test]
fn a_member_that_leaves_moves_only_what_it_had() {
    let topics = topics(&[3, 4]);
    let members = subscribed(&[&[0, 1], &[0, 1], &[0, 1]]);
    let given = Assignor::Uniform.assign(&members, &topics);
    assert_eq!(sizes(&given), [3, 2, 2]);
    let rest = &after(&members, &given)[1..];
    let given = Assignor::Uniform.assign(rest, &topics);
    assert_eq!((sizes(&given), moved(rest, &given)), (vec![4, 3], 0));
}

#[test]
fn range_gives_the_same_indexes_of_topics_of_one_size() {
    let topics = topics(&[5, 5]);
    let mut members = subscribed(&[&[0, 1], &[0, 1]]);
    for joins in 0..3 {
        let given = Assignor::Range.assign(&members, &topics);
        for given in &given {
            let indexes = |topic: &Topic| (0..5).filter(|index| given.contains(&topic[*index])).collect::<Vec<_>>();
            assert_eq!(indexes(&topics[0]), indexes(&topics[1]), "after {joins} joins");
        }
        members = after(&members, &given);
        members.push(Subscriber { topics: vec![0, 1], before: Partitions::new() });
    }
}

#[test]
fn assignors_have_kafkas_names() {
    assert_eq!(Assignor::named("uniform"), Some(Assignor::Uniform));
    assert_eq!(Assignor::named("range"), Some(Assignor::Range));
    assert_eq!(Assignor::named("cooperative-sticky"), None);
}
