//! Retention: what goes, by age and by bytes, and what stays.

use kafscale_state::entry::{Change, ConfigSet, Cut, Entry, Extent, ObjectsDeleted, Resource, Retained};
use kafscale_state::verdict::{CutRefused, Verdict};
use kafscale_state::{Handle, Keep};

use crate::common::{World, extent, plain};

const NODE: i32 = 3;
const DAY_MS: i64 = 86_400_000;

fn settings(world: &World, partition: Handle) -> u64 {
    let view = world.state.partition(partition).expect("it exists");
    world.state.settings_hash(view.topic(), NODE)
}

fn cut(world: &mut World, partition: Handle, keep: Keep) -> Result<i64, CutRefused> {
    let settings = settings(world, partition);
    say(world, Cut { partition, settings, keep })
}

fn say(world: &mut World, cut: Cut) -> Result<i64, CutRefused> {
    match world.say(Entry::Retained(Retained { node_id: NODE, cuts: vec![cut] })) {
        Verdict::Retained(mut starts) => starts.remove(0),
        other => panic!("{other:?}"),
    }
}

fn older_than(age_ms: u64) -> Keep {
    Keep { age_ms: Some(age_ms), bytes: None }
}

fn beyond(bytes: u64) -> Keep {
    Keep { age_ms: None, bytes: Some(bytes) }
}

/// A partition with an extent of ten records of ten bytes for each of these times.
fn partition(world: &mut World, times: &[i64]) -> Handle {
    let partition = world.topic("a", 1, 1);
    for max_timestamp in times {
        world.commit(vec![], vec![Extent { max_timestamp: *max_timestamp, ..extent(partition, vec![plain(10)]) }]);
    }
    partition
}

#[test]
fn what_is_older_goes_to_the_millisecond_and_by_the_time_of_the_frame() {
    let mut world = World::new();
    let a = partition(&mut world, &[1_000, 2_000, 3_000]);
    world.now_ms = 1_000_000;
    assert_eq!(cut(&mut world, a, older_than(998_000)), Ok(10));
    world.now_ms += 1;
    assert_eq!(cut(&mut world, a, older_than(998_000)), Ok(20));
    // A frame of an older time does not turn the clock back.
    world.now_ms = 5;
    assert_eq!(cut(&mut world, a, older_than(997_000)), Ok(30));
    let view = world.state.partition(a).expect("it exists");
    assert_eq!((view.log_start_offset(), view.high_watermark(), view.bytes()), (30, 30, 0));
}

#[test]
fn a_record_from_the_future_keeps_what_is_behind_it() {
    let mut world = World::new();
    let a = partition(&mut world, &[1_000, 1_000_000 + DAY_MS, 1_000]);
    assert_eq!(cut(&mut world, a, older_than(1)), Ok(10));
    world.now_ms += DAY_MS + 1;
    assert_eq!(cut(&mut world, a, older_than(1)), Ok(10));
    world.now_ms += 1;
    assert_eq!(cut(&mut world, a, older_than(1)), Ok(30));
}

#[test]
fn records_without_a_time_go_with_the_next_that_has_one() {
    let mut world = World::new();
    let a = partition(&mut world, &[-1, -1, 1_000, -1]);
    assert_eq!(cut(&mut world, a, older_than(DAY_MS as u64)), Ok(0));
    assert_eq!(cut(&mut world, a, older_than(1)), Ok(30));
    // By bytes nobody asks for the time.
    assert_eq!(cut(&mut world, a, Keep { age_ms: Some(1), bytes: Some(0) }), Ok(40));
}

#[test]
fn bytes_are_cut_down_to_the_limit_and_never_below_it() {
    let mut world = World::new();
    let a = partition(&mut world, &[1_000; 5]);
    for (bytes, start) in [(501, 0), (500, 0), (401, 0), (400, 10), (399, 10), (250, 20), (100, 40), (1, 40), (0, 50)] {
        assert_eq!(cut(&mut world, a, beyond(bytes)), Ok(start), "{bytes}");
    }
}

#[test]
fn nothing_goes_by_a_rule_that_is_no_longer_in_force() {
    let mut world = World::new();
    let a = partition(&mut world, &[1_000]);
    let rule = Cut { partition: a, settings: settings(&world, a), keep: older_than(1) };
    let set = |resource, value: Option<&str>| {
        let change = Change { name: "retention.ms".into(), value: value.map(Into::into) };
        Entry::ConfigSet(ConfigSet { resource, changes: vec![change] })
    };
    for resource in [Resource::Topic(1), Resource::Broker(NODE), Resource::Brokers] {
        assert_eq!(world.say(set(resource, Some("-1"))), Verdict::Done);
        assert_eq!(say(&mut world, rule), Err(CutRefused::SettingsChanged), "{resource:?}");
        assert_eq!(world.say(set(resource, None)), Verdict::Done);
    }
    assert_eq!(world.say(set(Resource::Broker(NODE + 1), Some("5"))), Verdict::Done);
    assert_eq!(say(&mut world, rule), Ok(10));
    assert_eq!(say(&mut world, Cut { partition: 77, ..rule }), Err(CutRefused::UnknownTopicOrPartition));
}

#[test]
fn the_space_of_what_went_comes_back() {
    let mut world = World::new();
    let a = partition(&mut world, &[1_000, 1_000]);
    assert_eq!(world.state.backlog().used, 2);
    assert_eq!(cut(&mut world, a, older_than(1)), Ok(20));
    assert_eq!(world.state.backlog().used, 0);
    let dead: Vec<_> = world.state.dead_objects().map(|(id, dead)| (id, dead.replaced)).collect();
    assert_eq!(dead.len(), 2);
    assert!(dead.iter().all(|(_, replaced)| !replaced), "these records live on nowhere");
    let objects = dead.into_iter().map(|(id, _)| id).collect();
    world.say(Entry::ObjectsDeleted(ObjectsDeleted { objects, ..Default::default() }));
    assert_eq!(world.state.dead_objects().count(), 0);
}
