//! Commits: offsets, extents, and the design's rule for producers run by run.

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
fn a_full_backlog_refuses_and_deletion_makes_room() {
    let mut world = World::with_limits(Limits { extents: 2, ..Limits::default() });
    let handle = world.topic("t", 1, 1);
    let p = producer(1, 0);
    assert_eq!(world.write(handle, p, run(0, &[1])), accepted(0));
    assert_eq!(world.write(handle, p, run(1, &[1])), accepted(1));
    assert_eq!(world.write(handle, p, run(2, &[1])), refused(RunRefused::BacklogFull));
    assert_eq!(world.write(handle, p, run(1, &[1])), duplicate(1));
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
