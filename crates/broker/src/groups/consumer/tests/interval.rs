//! How often targets are made, and how often a crowd is saved.

use tokio::sync::oneshot;

use super::*;
use crate::groups::consumer::pace;

#[test]
fn between_two_assignments_lies_the_interval() {
    let mut world = World::with_interval();
    let (second, tenth) = (Duration::from_secs(1), Duration::from_millis(100));
    let epochs = |world: &World| (world.group.content().epoch, world.group.content().assignment_epoch);
    world.join("m1", names(&["a"]));
    assert_eq!((epochs(&world), world.owned("m1")), ((1, 1), 5), "the first one waits for nothing");
    let first = world.now;
    for id in ["m2", "m3", "m4"] {
        world.pass(tenth);
        world.join(id, names(&["a"]));
        assert_eq!((world.clients[id].epoch, world.owned(id)), (1, 0), "it joins what there is");
    }
    assert_eq!((epochs(&world), world.group.phase()), ((2, 1), Phase::Assigning));
    assert_eq!(world.group.wake_at(), Some(first + second));
    world.live("m1", false);
    assert_eq!(world.owned("m1"), 5, "until then it keeps what it has");
    world.pass(second - 3 * tenth);
    assert_eq!((epochs(&world), world.group.phase()), ((2, 2), Phase::Reconciling), "one for all");
    let targets: Vec<_> = world.group.content().members.iter().map(|member| member.target.len()).collect();
    assert_eq!(targets, [2, 1, 1, 1]);
    world.settle();
    world.join("m5", names(&["a"]));
    assert_eq!(epochs(&world), (3, 3), "the last one is long ago");
    world.settle();
    world.leave("m1");
    world.leave("m2");
    assert_eq!((epochs(&world), world.group.phase()), ((5, 4), Phase::Assigning), "who leaves is no other case");
    world.restart();
    assert_eq!(world.group.wake_at(), Some(world.now), "who starts makes what is missing");
    world.pass(Duration::ZERO);
    assert_eq!(epochs(&world), (5, 5));
    ["m3", "m4", "m5"].into_iter().for_each(|id| world.leave(id));
    assert_eq!((world.group.phase(), world.group.is_idle()), (Phase::Empty, true));
    world.join("m6", names(&["a"]));
    assert_eq!(world.owned("m6"), 5, "nobody waits in an empty group");
}

#[test]
fn the_interval_is_that_of_the_group() {
    let mut world = World::with_interval();
    world.set("consumer.assignment.interval.ms", "60000");
    world.join("m1", names(&["a"]));
    world.join("m2", names(&["a"]));
    world.pass(Duration::from_secs(30));
    world.live("m1", false);
    assert_eq!(world.group.phase(), Phase::Assigning);
    world.set("consumer.assignment.interval.ms", "20000");
    world.live("m1", false);
    assert_eq!(world.group.content().assignment_epoch, 2, "a change is in force with the next heartbeat");
}

#[test]
fn a_member_keeps_what_it_has_until_its_new_expression_is_matched() {
    let mut world = World::with_interval();
    world.join("m1", Client { pattern: Some("a"), ..Client::default() });
    world.join("m2", names(&["b"]));
    world.pass(Duration::from_secs(1));
    world.clients.get_mut("m1").expect("it lives").pattern = Some("[a]");
    world.live("m1", false);
    assert_eq!((world.owned("m1"), world.group.content().epoch), (5, 3));
    world.settle();
    assert_eq!((world.owned("m1"), world.owned("m2")), (5, 3));
}

/// Each of many members that come one after the other would cost an assignment and a save of them all.
#[test]
fn a_crowd_that_joins_is_assigned_once_an_interval_and_saved_as_fast_as_a_group_may_be() {
    const MEMBERS: u32 = 3_000;
    let mut world = World::with_interval();
    let begin = world.now;
    let (mut waiting, mut bytes) = (Vec::new(), 0);
    let mut step = |world: &mut World, waiting: &mut Vec<_>| {
        if world.group.wake_at().is_some_and(|at| at <= world.now) {
            world.group.tick(&world.state, world.now, &GroupSettings::default());
        }
        if let Some(entry) = world.group.take_save(world.now) {
            let entry = Entry::GroupSaved(entry);
            bytes += entry::encode(std::slice::from_ref(&entry)).len();
            let Verdict::GroupSaved { revision } = world.say(entry) else { panic!("it is saved") };
            world.group.saved(revision);
            waiting.retain_mut(|answer: &mut oneshot::Receiver<_>| answer.try_recv().is_err());
        }
        world.now += Duration::from_millis(1);
    };
    for index in 0..MEMBERS {
        let (id, topics) = (format!("member-{index}"), Some(vec!["a"]));
        let beat = Heartbeat { member_id: &id, topics, owned: Some(Partitions::new()), ..Heartbeat::default() };
        match world.group.heartbeat(&beat, &world.state, world.now, &GroupSettings::default()) {
            Ok(Reply::Later(answer)) => waiting.push(answer),
            other => panic!("{other:?}"),
        }
        step(&mut world, &mut waiting);
    }
    while !waiting.is_empty() || world.group.phase() == Phase::Assigning {
        step(&mut world, &mut waiting);
    }
    let seconds = (world.now - begin).as_secs() as usize + 1;
    let assignments = world.group.content().assignment_epoch as usize;
    assert!((2..=1 + seconds).contains(&assignments), "{assignments} assignments in {seconds} s");
    let most = seconds * pace::A_SECOND as usize;
    assert!((1..=most).contains(&bytes), "{bytes} bytes in {seconds} s");
    assert!(seconds < 8, "they are in after {seconds} s");
    assert_eq!(world.group.content().members.len(), MEMBERS as usize);
    world.check();
}
