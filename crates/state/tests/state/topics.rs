//! Topics: names, handles, deletion, settings.

use kafscale_state::entry::{
    Change, ConfigSet, Entry, NamedConfigSet, PartitionsAdded, RecordsDeleted, Resource, TopicDeleted,
};
use kafscale_state::topic::Handles;
use kafscale_state::topic::Named;
use kafscale_state::verdict::{Refused, RunRefused, StartRefused, Verdict};
use kafscale_state::{Limits, State};

use crate::common::{World, accepted, extent, plain, producer, run, topic};

fn delete(id: u128) -> Entry {
    Entry::TopicDeleted(TopicDeleted { id })
}

fn names(state: &State) -> Vec<&str> {
    state.topics().map(|topic| topic.name()).collect()
}

#[test]
fn handles_are_dense_and_never_reused() {
    let mut world = World::new();
    assert_eq!(world.topic("b", 1, 3), 0);
    assert_eq!(world.topic("a", 2, 2), 3);
    assert_eq!(names(&world.state), ["a", "b"]);
    assert_eq!(world.say(delete(2)), Verdict::Done);
    assert_eq!(world.topic("a", 3, 2), 5);
    let added = world.say(Entry::PartitionsAdded(PartitionsAdded { id: 1, before: 3, after: 5 }));
    assert_eq!(added, Verdict::PartitionsAdded { handles: Handles { first: 7, count: 2 } });
    let b = world.state.topic("b").expect("it exists");
    assert_eq!(b.handles().collect::<Vec<_>>(), [0, 1, 2, 7, 8]);
    assert_eq!((b.handle(2), b.handle(3), b.handle(5)), (Some(2), Some(7), None));
    assert_eq!(world.state.partition(8).map(|p| (p.index(), p.topic().name().to_owned())), Some((4, "b".into())));
    assert!(world.state.partition(3).is_none() && world.state.partition(9).is_none());
    assert_eq!(world.state.partition_count(), 7);
}

#[test]
fn what_cannot_be_created_is_refused_with_its_reason() {
    let limits = Limits { partitions_per_topic: 10, partitions: 15, ..Limits::default() };
    let mut world = World::with_limits(limits);
    world.topic("t", 1, 10);
    let long = "x".repeat(250);
    let refused = [
        (topic("t", 2, 1), Refused::TopicAlreadyExists { id: 1 }),
        (topic("u", 1, 1), Refused::InvalidTopicId),
        (topic("u", 0, 1), Refused::InvalidTopicId),
        (topic("u", 2, 0), Refused::InvalidPartitions),
        (topic("u", 2, 11), Refused::InvalidPartitions),
        (topic("u", 2, 6), Refused::TooManyPartitions),
        (topic("", 2, 1), Refused::InvalidName),
        (topic("..", 2, 1), Refused::InvalidName),
        (topic("a b", 2, 1), Refused::InvalidName),
        (topic(&long, 2, 1), Refused::InvalidName),
        (delete(9), Refused::UnknownTopic),
        (Entry::PartitionsAdded(PartitionsAdded { id: 9, before: 0, after: 1 }), Refused::UnknownTopic),
        (Entry::PartitionsAdded(PartitionsAdded { id: 1, before: 9, after: 10 }), Refused::InvalidPartitions),
        (Entry::PartitionsAdded(PartitionsAdded { id: 1, before: 10, after: 10 }), Refused::InvalidPartitions),
        (Entry::PartitionsAdded(PartitionsAdded { id: 1, before: 10, after: 11 }), Refused::InvalidPartitions),
    ];
    for (entry, why) in refused {
        assert_eq!(world.say(entry.clone()), Verdict::Refused(why), "{entry:?}");
    }
    assert_eq!((names(&world.state), world.state.partition_count()), (vec!["t"], 10));
    assert_eq!(world.topic(&"y".repeat(249), 2, 5), 10);
}

#[test]
fn a_namespace_has_names_of_its_own() {
    let mut world = World::new();
    world.topic("t", 1, 1);
    let Entry::TopicCreated(mut created) = topic("t", 2, 1) else { unreachable!() };
    created.namespace = "tenant".into();
    assert!(matches!(world.say(Entry::TopicCreated(created)), Verdict::TopicCreated { .. }));
    assert_eq!(world.state.topic("t").map(|topic| topic.id()), Some(1));
    assert_eq!(world.state.topic_in("tenant", "t").map(|topic| topic.id()), Some(2));
    assert_eq!(world.state.topic_by_id(2).map(|topic| topic.namespace()), Some("tenant"));
}

#[test]
fn deleting_takes_effect_at_once_and_is_freed_little_by_little() {
    let mut world = World::with_limits(Limits { garbage_per_frame: 2, ..Limits::default() });
    let dead = world.topic("dead", 1, 2);
    let live = world.topic("live", 2, 1);
    for _ in 0..5 {
        world.commit(vec![], vec![extent(dead, vec![plain(1)]), extent(live, vec![plain(1)])]);
    }
    let committed = 3..=7;
    assert_eq!(world.state.backlog().used, 10);
    world.say(delete(1));
    let refused = world.commit(vec![], vec![extent(dead, vec![plain(1)])]).remove(0);
    assert_eq!(refused.runs, [kafscale_state::verdict::RunVerdict::Refused(RunRefused::UnknownTopicOrPartition)]);
    assert_eq!(refused.log_start_offset, -1);
    assert!(world.state.partition(dead).is_none());
    assert!(world.state.backlog().used > 5, "not all at once");
    for _ in 0..4 {
        world.frame(&[]);
    }
    assert_eq!(world.state.backlog().used, 5);
    assert!(committed.clone().all(|position| world.state.is_live(position)), "the other topic refers to them");
    world.say(delete(2));
    for _ in 0..4 {
        world.frame(&[]);
    }
    assert_eq!((world.state.backlog().used, world.state.object_count()), (0, 0));
}

#[test]
fn partitions_count_until_they_are_freed() {
    let mut world = World::with_limits(Limits { partitions: 10, garbage_per_frame: 3, ..Limits::default() });
    world.topic("t", 1, 10);
    world.say(delete(1));
    assert_eq!(world.say(topic("t", 2, 4)), Verdict::Refused(Refused::TooManyPartitions));
    assert_eq!(world.topic("t", 3, 4), 10, "six were freed");
    assert_eq!(world.state.partition_count(), 4);
}

#[test]
fn a_name_that_is_deleted_again_and_again_is_remembered_once() {
    let mut world = World::new();
    let before = producer(world.pids(1), 0);
    for id in 1..5 {
        world.topic("t", id, 1);
        world.say(delete(id));
    }
    let between = producer(world.pids(1), 0);
    world.topic("t", 5, 1);
    world.say(delete(5));
    let handle = world.topic("t", 6, 1);
    assert_eq!(world.write(handle, between, run(3, &[1])), accepted(0));
    assert_eq!(world.write(handle, before, run(3, &[1])), accepted(1));
    // A day later nobody remembers, but then the ids are old as well.
    world.now_ms += 86_400_001;
    world.say(delete(6));
    let handle = world.topic("t", 7, 1);
    assert_eq!(world.write(handle, before, run(9, &[1])), accepted(0));
}

#[test]
fn a_log_start_only_grows_and_frees_what_lies_below() {
    let mut world = World::new();
    let handle = world.topic("t", 1, 1);
    for _ in 0..4 {
        world.commit(vec![], vec![extent(handle, vec![plain(10)])]);
    }
    let mut start = |start| match world.say(Entry::RecordsDeleted(RecordsDeleted { starts: vec![(handle, start)] })) {
        Verdict::RecordsDeleted(starts) => (starts[0], (2..6).filter(|p| world.state.is_live(*p)).count()),
        other => panic!("{other:?}"),
    };
    assert_eq!(start(5), (Ok(5), 4));
    assert_eq!(start(20), (Ok(20), 2));
    assert_eq!(start(5), (Ok(20), 2));
    assert_eq!(start(41), (Err(StartRefused::OffsetOutOfRange), 2));
    assert_eq!(start(-2), (Err(StartRefused::OffsetOutOfRange), 2));
    assert_eq!(start(-1), (Ok(40), 0));
    let view = world.state.partition(handle).expect("it exists");
    assert_eq!((view.log_start_offset(), view.high_watermark(), view.bytes(), view.extent_count()), (40, 40, 0, 0));
    let gone = world.say(Entry::RecordsDeleted(RecordsDeleted { starts: vec![(9, 0)] }));
    assert_eq!(gone, Verdict::RecordsDeleted(vec![Err(StartRefused::UnknownTopicOrPartition)]));
    let verdict = world.commit(vec![], vec![extent(handle, vec![plain(1)])]).remove(0);
    assert_eq!((verdict.runs, verdict.log_start_offset), (vec![accepted(40)], 40));
}

#[test]
fn a_producer_goes_on_under_the_name_of_a_topic_that_was_re_created() {
    let mut world = World::new();
    let before = producer(world.pids(1), 0);
    let handle = world.topic("t", 1, 1);
    assert_eq!(world.write(handle, before, run(0, &[3])), accepted(0));
    world.say(delete(1));
    let after = producer(world.pids(1), 0);
    let handle = world.topic("t", 2, 1);
    assert_eq!(world.write(handle, before, run(3, &[1])), accepted(0));
    let out_of_order = kafscale_state::verdict::RunVerdict::Refused(RunRefused::OutOfOrderSequenceNumber);
    assert_eq!(world.write(handle, after, run(3, &[1])), out_of_order);
    // Another topic that is new: nothing can have been written to it before.
    let other = world.topic("u", 3, 1);
    assert_eq!(world.write(other, before, run(3, &[1])), out_of_order);
}

#[test]
fn what_is_known_by_name_has_settings_until_the_last_is_gone() {
    let mut world = World::new();
    let mut set = |kind, name: &str, value: Option<&str>| {
        let changes = vec![Change { name: "a".into(), value: value.map(Into::into) }];
        world.say(Entry::NamedConfigSet(NamedConfigSet { kind, name: name.into(), changes }))
    };
    assert_eq!(set(Named::Group, "g", Some("1")), Verdict::Done);
    assert_eq!(set(Named::ClientMetrics, "g", Some("2")), Verdict::Done);
    assert_eq!(set(Named::Group, "h", Some("3")), Verdict::Done);
    assert_eq!(set(Named::Group, "h", None), Verdict::Done);
    assert_eq!(set(Named::Group, "", Some("1")), Verdict::Refused(Refused::InvalidName));
    let names = |kind| world.state.named(kind).map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!((names(Named::Group), names(Named::ClientMetrics)), (vec!["g"], vec!["g"]));
    let value = world.state.named_settings(Named::ClientMetrics, "g").and_then(|settings| settings.get("a"));
    assert_eq!(value.map(String::as_str), Some("2"));
}

#[test]
fn settings_change_one_by_one_or_not_at_all() {
    let mut world = World::new();
    world.topic("t", 1, 1);
    let mut set = |resource, changes: &[(&str, Option<&str>)]| {
        let change =
            |(name, value): &(&str, Option<&str>)| Change { name: (*name).into(), value: value.map(Into::into) };
        let verdict =
            world.say(Entry::ConfigSet(ConfigSet { resource, changes: changes.iter().map(change).collect() }));
        let of_topic = world.state.topic("t").map(|topic| topic.settings().len());
        (verdict, of_topic, world.state.producer_id_expiration_ms())
    };
    let day = 86_400_000;
    let t = Resource::Topic(1);
    assert_eq!(set(t, &[("a", Some("1")), ("b", Some("2"))]), (Verdict::Done, Some(2), day));
    assert_eq!(set(t, &[("a", None), ("c", None)]), (Verdict::Done, Some(1), day));
    let refused = Verdict::Refused(Refused::InvalidSettings);
    assert_eq!(set(t, &[("x", Some("1")), ("", Some("2"))]), (refused, Some(1), day));
    assert_eq!(set(Resource::Topic(2), &[]), (Verdict::Refused(Refused::UnknownTopic), Some(1), day));
    let expiration = "producer.id.expiration.ms";
    assert_eq!(set(Resource::Brokers, &[(expiration, Some("5000"))]), (Verdict::Done, Some(1), 5_000));
    assert_eq!(set(Resource::Brokers, &[(expiration, Some("never"))]), (Verdict::Done, Some(1), day));
    assert_eq!(set(Resource::Broker(3), &[("x", Some("y"))]), (Verdict::Done, Some(1), day));
    assert_eq!(world.state.broker_settings(3).map(|settings| settings.len()), Some(1));
}
