//! Commits: offsets, extents, and the design's rule for producers run by run.

use kafscale_state::entry::{Entry, RecordsDeleted};
use kafscale_state::producer::Piece;
use kafscale_state::verdict::{Placed, RunRefused, RunVerdict};
use kafscale_state::{Limits, Place};

use crate::common::{World, accepted, duplicate, extent, plain, producer, run};

fn refused(why: RunRefused) -> RunVerdict {
    RunVerdict::Refused(why)
}

#[test]
fn adjacent_runs_become_one_extent_and_refused_ones_split_it() {
    let mut world = World::new();
    let handle = world.topic("t", 1, 1);
    let out_of_order = run(7, &[1]);
    let runs = vec![plain(3), run(0, &[2]), out_of_order, plain(4), plain(1)];
    let verdict = world.commit(vec![producer(9, 0)], vec![extent(handle, runs)]).remove(0);
    let expected =
        vec![accepted(0), accepted(3), refused(RunRefused::OutOfOrderSequenceNumber), accepted(5), accepted(9)];
    assert_eq!((verdict.runs, verdict.log_start_offset), (expected, 0));
    let partition = world.state.partition(handle).expect("it exists");
    let extents: Vec<_> = partition.extents_from(0).map(|e| (e.base_offset, e.end_offset, e.position, e.len)).collect();
    assert_eq!(extents, [(0, 5, 0, 50), (5, 10, 60, 50)]);
    assert_eq!(partition.extents_from(5).next().map(|e| e.place), Some(Place::LogFrame { position: 2 }));
    assert_eq!(partition.extents_from(10).count(), 0);
    assert_eq!((partition.high_watermark(), partition.bytes()), (10, 100));
    assert!(world.state.is_live(2) && !world.state.is_live(1));
}

#[test]
fn sequences_over_two_brokers() {
    // Broker A holds (3), broker B holds (3,4,5), then A (4,5): accepted 3; duplicate, 4, 5; duplicates.
    let mut world = World::new();
    let handle = world.topic("t", 1, 1);
    let p = producer(1, 0);
    assert_eq!(world.write(handle, p, run(0, &[1, 1, 1])), accepted(0));
    assert_eq!(world.write(handle, p, run(3, &[1])), accepted(3));
    let known = vec![Piece { records: 1, base_offset: Some(3) }];
    let partial = RunVerdict::Partial { known, rest_base_offset: Some(4) };
    assert_eq!(world.write(handle, p, run(3, &[1, 1, 1])), partial);
    assert_eq!(
        [0, 1, 2].map(|record| partial.place(record)),
        [Ok(Placed::Before(3)), Ok(Placed::New(4)), Ok(Placed::New(5))]
    );
    assert_eq!(world.write(handle, p, run(4, &[1, 1])), duplicate(4));
    assert_eq!(world.state.partition(handle).map(|p| p.high_watermark()), Some(6));
}

#[test]
fn what_overtakes_its_predecessor_is_refused_until_that_is_written() {
    // 4 at broker B before 3 at broker A: intake holds it back, and apply refuses it should it come through.
    let mut world = World::new();
    let handle = world.topic("t", 1, 1);
    let p = producer(1, 0);
    assert_eq!(world.write(handle, p, run(1, &[1])), refused(RunRefused::OutOfOrderSequenceNumber));
    assert_eq!(world.write(handle, p, run(0, &[1, 1, 1])), accepted(0));
    assert_eq!(world.write(handle, p, run(4, &[1])), refused(RunRefused::OutOfOrderSequenceNumber));
    assert_eq!(world.write(handle, p, run(3, &[1])), accepted(3));
    assert_eq!(world.write(handle, p, run(4, &[1])), accepted(4));
}

#[test]
fn a_zombie_with_an_old_epoch_is_fenced() {
    let mut world = World::new();
    let handle = world.topic("t", 1, 1);
    assert_eq!(world.write(handle, producer(1, 0), run(0, &[1])), accepted(0));
    assert_eq!(world.write(handle, producer(1, 1), run(1, &[1])), refused(RunRefused::OutOfOrderSequenceNumber));
    assert_eq!(world.write(handle, producer(1, 1), run(0, &[1])), accepted(1));
    assert_eq!(world.write(handle, producer(1, 0), run(1, &[1])), refused(RunRefused::InvalidProducerEpoch));
    assert_eq!(world.write(handle, producer(1, 0), run(0, &[1])), refused(RunRefused::InvalidProducerEpoch));
}

#[test]
fn what_is_older_than_the_window_is_a_duplicate_without_offset() {
    let mut world = World::new();
    let handle = world.topic("t", 1, 1);
    let p = producer(1, 0);
    for sequence in 0..6 {
        // The plain run keeps the offsets of two runs apart.
        world.commit(vec![p], vec![extent(handle, vec![run(sequence, &[1]), plain(1)])]);
    }
    assert_eq!(world.write(handle, p, run(0, &[1])), refused(RunRefused::DuplicateSequenceNumber));
    assert_eq!(world.write(handle, p, run(1, &[1])), duplicate(2));
    let known = vec![Piece { records: 1, base_offset: None }, Piece { records: 1, base_offset: Some(2) }];
    let partial = RunVerdict::Partial { known, rest_base_offset: None };
    assert_eq!(world.write(handle, p, run(0, &[1, 1])), partial);
    assert_eq!([0, 1].map(|record| partial.place(record)), [Ok(Placed::Forgotten), Ok(Placed::Before(2))]);
}

#[test]
fn a_known_prefix_without_bounds_or_within_a_batch_is_out_of_order() {
    let mut world = World::new();
    let handle = world.topic("t", 1, 1);
    let p = producer(1, 0);
    assert_eq!(world.write(handle, p, run(0, &[2])), accepted(0));
    assert_eq!(world.write(handle, p, run(0, &[3, 1])), refused(RunRefused::OutOfOrderSequenceNumber));
    let without = kafscale_state::entry::Run { batches: vec![], ..run(0, &[2, 1]) };
    assert_eq!(world.write(handle, p, without), refused(RunRefused::OutOfOrderSequenceNumber));
    let verdict = world.commit(vec![p], vec![extent(handle, vec![run(0, &[2, 1]), run(3, &[1])])]).remove(0);
    let known = vec![Piece { records: 2, base_offset: Some(0) }];
    assert_eq!(verdict.runs, [RunVerdict::Partial { known, rest_base_offset: Some(2) }, accepted(3)]);
    // The rest begins behind the bytes of what was known, and the next run joins it.
    let view = world.state.partition(handle).expect("it exists");
    let extents: Vec<_> = view.extents_from(2).map(|e| (e.base_offset, e.end_offset, e.position, e.len)).collect();
    assert_eq!(extents, [(2, 4, 20, 20)]);
}

#[test]
fn runs_of_one_producer_in_one_commit_follow_each_other() {
    let mut world = World::new();
    let handle = world.topic("t", 1, 2);
    let runs = vec![run(0, &[1]), run(0, &[1]), run(1, &[2]), run(4, &[1])];
    let verdict =
        world.commit(vec![producer(1, 0)], vec![extent(handle, runs), extent(handle + 1, vec![run(0, &[1])])]);
    let out_of_order = refused(RunRefused::OutOfOrderSequenceNumber);
    assert_eq!(verdict[0].runs, [accepted(0), duplicate(0), accepted(1), out_of_order]);
    assert_eq!(verdict[1].runs, [accepted(0)]);
}

#[test]
fn the_oldest_producers_are_evicted_and_may_go_on() {
    let mut world = World::with_limits(Limits { producers_per_shard: 16, ..Limits::default() });
    let handle = world.topic("t", 1, 1);
    let first = world.pids(17);
    for id in first..first + 16 {
        world.write(handle, producer(id, 0), run(0, &[2]));
    }
    let late = world.pids(1);
    // The first writes again, so the second and the third wrote longest ago.
    world.write(handle, producer(first, 0), run(2, &[1]));
    world.write(handle, producer(first + 16, 0), run(0, &[1]));
    let known: Vec<i64> = world.state.producers(handle).map(|(id, _)| id - first).collect();
    assert_eq!(known, [0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    assert!(matches!(world.write(handle, producer(first + 1, 0), run(2, &[1])), RunVerdict::Accepted { .. }));
    // This id was given after everything that was evicted had been written.
    assert_eq!(world.write(handle, producer(late, 0), run(2, &[1])), refused(RunRefused::OutOfOrderSequenceNumber));
}

#[test]
fn a_full_backlog_refuses_until_deletion_makes_room() {
    let mut world = World::with_limits(Limits { extents: 2, ..Limits::default() });
    let handle = world.topic("t", 1, 1);
    let p = producer(1, 0);
    assert_eq!(world.write(handle, p, run(0, &[1])), accepted(0));
    assert_eq!(world.write(handle, p, run(1, &[1])), accepted(1));
    assert_eq!(world.write(handle, p, run(2, &[1])), refused(RunRefused::BacklogFull));
    assert_eq!(world.write(handle, p, run(1, &[1])), duplicate(1));
    assert_eq!(world.state.backlog(), kafscale_state::Backlog { used: 2, cap: 2, frees: false });
    world.say(Entry::RecordsDeleted(RecordsDeleted { starts: vec![(handle, 1)] }));
    assert_eq!(world.write(handle, p, run(2, &[1])), accepted(2));
}

#[test]
fn without_state_only_an_old_id_may_start_anywhere() {
    let mut world = World::new();
    let handle = world.topic("t", 1, 1);
    let p = producer(world.pids(10), 0);
    assert_eq!(world.write(handle, p, run(5, &[1])), refused(RunRefused::OutOfOrderSequenceNumber));
    world.now_ms += 86_400_000;
    assert_eq!(world.write(handle, p, run(5, &[1])), refused(RunRefused::OutOfOrderSequenceNumber));
    world.now_ms += 1;
    assert_eq!(world.write(handle, p, run(5, &[1])), accepted(0));
    // What lies before the first sequence that was accepted was never seen, so it must not pass for written.
    assert_eq!(world.write(handle, p, run(4, &[1])), refused(RunRefused::OutOfOrderSequenceNumber));
}
