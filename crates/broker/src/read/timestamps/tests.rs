use bytes::Bytes;
use kafscale_records::{BatchBuilder, Codec};
use kafscale_state::Place;

use super::*;
use crate::read::{
    View as _,
    testing::{World, batch},
};

fn at_or_after(world: &World, timestamp: i64) -> Option<(i64, i64)> {
    ask(world, TimeQuery::AtOrAfter(timestamp)).expect("no error")
}

fn greatest(world: &World) -> Option<(i64, i64)> {
    ask(world, TimeQuery::Greatest).expect("no error")
}

fn ask(world: &World, query: TimeQuery) -> Result<Option<(i64, i64)>, Error> {
    let found = world.clock.run(world.reader.offset_by_time(1, query))?;
    Ok(found.map(|found| (found.offset, found.timestamp)))
}

fn compressed(timestamps: &[i64]) -> Bytes {
    let build = |builder: BatchBuilder, time: &i64| builder.record(*time, None, Some(b"value"));
    timestamps.iter().fold(BatchBuilder::new(Codec::Zstd), build).build()
}

/// Offsets 0.. with timestamps 10 30 20 | 40 5 | 25 (compressed) 90 60 | 90 7, in three extents.
fn shuffled() -> World {
    let world = World::new();
    world.write(&[(1, &[batch(&[10, 30, 20], 10), batch(&[40, 5], 10)])]);
    world.write(&[(1, &[compressed(&[25, 90, 60])])]);
    world.write(&[(1, &[batch(&[90, 7], 10)])]);
    world
}

#[test]
fn the_first_record_in_offset_order_that_is_late_enough_answers() {
    let world = shuffled();
    for (timestamp, expected) in [
        (i64::MIN, Some((0, 10))),
        (10, Some((0, 10))),
        (11, Some((1, 30))),
        (31, Some((3, 40))),
        (41, Some((6, 90))),
        (61, Some((6, 90))),
        (90, Some((6, 90))),
        (91, None),
    ] {
        assert_eq!(at_or_after(&world, timestamp), expected, "at {timestamp}");
    }
}

#[test]
fn only_extents_that_may_hold_the_answer_are_read() {
    let world = shuffled();
    assert_eq!(at_or_after(&world, 50), Some((6, 90)));
    assert_eq!(world.store.get_count(), 1);
    assert_eq!(greatest(&world), Some((6, 90)), "the first of two equal ones");
    assert_eq!(world.store.get_count(), 1, "and that is in memory");
}

#[test]
fn records_below_the_log_start_do_not_answer() {
    let world = shuffled();
    world.view.set_log_start(1, 2);
    assert_eq!(at_or_after(&world, 0), Some((2, 20)));
    world.view.set_log_start(1, 7);
    assert_eq!(at_or_after(&world, 0), Some((7, 60)));
    assert_eq!(greatest(&world), Some((8, 90)), "the first 90 is gone");
}

#[test]
fn bounds_that_promise_too_much_do_not_mislead() {
    let world = shuffled();
    let mut extents = Vec::new();
    world.view.extents(1, 0, &mut |extent| {
        extents.push(extent);
        true
    });
    world.view.replace(1, Extent { max_timestamp: i64::MAX, ..extents[0] });
    assert_eq!(at_or_after(&world, 50), Some((6, 90)));
    assert_eq!(greatest(&world), Some((6, 90)));
    world.view.replace(1, Extent { max_timestamp: 90, ..extents[0] });
    assert_eq!(greatest(&world), Some((6, 90)));
}

#[test]
fn many_extents_are_passed_over_in_strides() {
    let world = World::new();
    let template = world.write_one(1, 10);
    for offset in 1..(STRIDE as i64 * 3) {
        let extent = Extent { base_offset: offset, end_offset: offset + 1, max_timestamp: offset % 50, ..template };
        world.view.append(1, extent);
    }
    let last = world.write(&[(1, &[batch(&[77], 10)])])[0];
    assert_eq!(at_or_after(&world, 60), Some((last.base_offset, 77)));
    assert_eq!(greatest(&world), Some((last.base_offset, 77)));
    assert_eq!(world.store.get_count(), 1);
}

#[test]
fn each_extent_is_read_once_however_much_their_bounds_promise() {
    // More than are looked at in one go, and more than the cache holds.
    let extents = STRIDE + 100;
    let world = World::with_cache(1 << 10);
    for time in 0..extents as i64 {
        let extent = world.write(&[(1, &[batch(&[time % 500], 10)])])[0];
        world.view.replace(1, Extent { max_timestamp: i64::MAX, ..extent });
    }
    assert_eq!(greatest(&world), Some((499, 499)));
    assert_eq!(world.store.get_count(), extents);
}

#[test]
fn the_time_of_an_append_is_that_of_its_batch() {
    let world = World::new();
    let stamped = |time| BatchBuilder::new(Codec::None).record(1, None, None).log_append_time(time).build();
    world.write(&[(1, &[stamped(100), stamped(200)])]);
    world.write(&[(1, &[batch(&[300], 10)])]);
    let time = |offset| world.clock.run(world.reader.append_time(1, offset));
    assert_eq!([time(0), time(1)], [Some(100), Some(200)]);
    assert_eq!([time(2), time(3)], [None, None], "its producer's own time, and nothing");
}

#[test]
fn nothing_answers_for_an_empty_partition_and_a_missing_one_is_an_error() {
    let world = World::new();
    assert_eq!(ask(&world, TimeQuery::Greatest), Err(Error::UnknownPartition));
    world.view.create(1);
    assert_eq!(at_or_after(&world, 0), None);
    assert_eq!(greatest(&world), None);
}

#[test]
fn damage_and_absence_are_told() {
    let world = shuffled();
    *world.store.flipped.lock() = Some(("object-2".to_owned(), 170));
    assert!(matches!(ask(&world, TimeQuery::AtOrAfter(50)), Err(Error::Load(LoadError::Corrupt(_)))));
    assert_eq!(at_or_after(&world, 20), Some((1, 30)), "elsewhere nothing is wrong");

    let world = World::new();
    let here = world.write_one(1, 10);
    world.view.replace(1, Extent { object: Place::LogFrame { position: 70 }, ..here });
    world.view.at_next_barrier(move |view| view.replace(1, here));
    assert_eq!(at_or_after(&world, 0), Some((0, 0)), "moved");
    world.view.replace(1, Extent { object: Place::LogFrame { position: 70 }, ..here });
    assert_eq!(ask(&world, TimeQuery::Greatest), Err(Error::Load(LoadError::Missing)));
}
