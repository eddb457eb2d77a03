use std::sync::atomic::Ordering;

use kafscale_runtime::Runtime;
use kafscale_state::Place;

use super::*;
use crate::read::testing::{World, batch, ranges};

const SECOND: Duration = Duration::from_secs(1);

fn ask(partition: Handle, offset: i64) -> Ask {
    Ask { partition, offset, bytes_max: 1 << 20 }
}

fn limits(bytes_min: usize, wait_max: Duration) -> Limits {
    Limits { bytes_max: 50 << 20, bytes_min, wait_max }
}

/// Fetches for at most half a second, as clients do by default.
fn fetch(world: &World, asks: &[Ask]) -> Vec<Taken> {
    world.clock.run(world.reader.fetch(asks, limits(1, SECOND / 2)))
}

fn found(taken: &Taken) -> Vec<(i64, i64)> {
    ranges(taken.records.as_ref().expect("no error"))
}

/// A world with one partition of 30 extents, each with one batch of two records.
fn thirty() -> World {
    let world = World::new();
    for _ in 0..30 {
        world.write(&[(1, &[batch(&[0, 0], 1000)])]);
    }
    world
}

#[test]
fn cold_records_are_loaded_and_then_come_from_memory() {
    let world = thirty();
    let taken = &fetch(&world, &[ask(1, 0)])[0];
    assert_eq!(found(taken).first(), Some(&(0, 1)));
    assert_eq!(taken.offsets, Some(Offsets { log_start: 0, last_stable: 60, high_watermark: 60 }));
    world.clock.run(world.clock.sleep(SECOND));
    assert_eq!(found(&fetch(&world, &[ask(1, 0)])[0]).len(), 30, "the rest was loaded behind the first answer");
    assert_eq!(world.store.get_count(), 30, "and nothing is read twice");
}

#[test]
fn an_offset_within_a_batch_gives_the_whole_batch_and_not_what_is_before_it() {
    let world = World::new();
    world.write(&[(1, &[batch(&[0; 3], 10), batch(&[0; 4], 10), batch(&[0; 2], 10)])]);
    assert_eq!(found(&fetch(&world, &[ask(1, 5)])[0]), [(3, 6), (7, 8)]);
    assert_eq!(found(&fetch(&world, &[ask(1, 8)])[0]), [(7, 8)]);
}

#[test]
fn offsets_outside_are_refused_at_both_ends() {
    let world = thirty();
    world.view.set_log_start(1, 7);
    let refused = |offset| Err(Error::OffsetOutOfRange { offset, log_start: 7, end: 60 });
    for offset in [-1, 0, 6] {
        assert_eq!(fetch(&world, &[ask(1, offset)])[0].records, refused(offset));
    }
    assert_eq!(world.view.barriers.load(Ordering::Relaxed), 0, "the start only grows");
    assert_eq!(fetch(&world, &[ask(1, 61)])[0].records, refused(61));
    assert_eq!(world.view.barriers.load(Ordering::Relaxed), 1, "the end may be stale");
    assert_eq!(found(&fetch(&world, &[ask(1, 7)])[0]).first(), Some(&(6, 7)));
    assert_eq!(found(&fetch(&world, &[ask(1, 60)])[0]), []);
    assert_eq!(fetch(&world, &[ask(9, 0)])[0].records, Err(Error::UnknownPartition));
}

#[test]
fn an_offset_beyond_a_stale_end_is_found_after_the_barrier() {
    let world = thirty();
    let extents = world.write_unseen(&[(1, &[batch(&[0; 5], 10), batch(&[0; 5], 10)])]);
    world.view.at_next_barrier(move |view| view.append(1, extents[0]));
    assert_eq!(found(&fetch(&world, &[ask(1, 66)])[0]), [(65, 69)]);
}

#[test]
fn a_broker_that_is_cut_off_claims_no_end() {
    let world = thirty();
    world.view.is_cut_off.store(true, Ordering::Relaxed);
    assert!(matches!(fetch(&world, &[ask(1, 61)])[0].records, Err(Error::EndUnknown(_))));
}

#[test]
fn the_first_batch_is_sent_over_every_limit_and_nothing_else_is() {
    let world = thirty();
    for _ in 0..3 {
        world.write(&[(2, &[batch(&[0], 3000)])]);
    }
    fetch(&world, &[ask(1, 0), ask(2, 0)]);
    let tight = |bytes_max, asks: &[Ask]| {
        let taken = world.clock.run(world.reader.fetch(asks, Limits { bytes_max, ..limits(1, SECOND) }));
        taken.iter().map(|taken| found(taken).len()).collect::<Vec<_>>()
    };
    let small = |partition, bytes_max| Ask { bytes_max, ..ask(partition, 0) };
    assert_eq!(tight(0, &[ask(1, 0), ask(2, 0)]), [1, 0]);
    assert_eq!(tight(0, &[ask(1, 60), ask(2, 0)]), [0, 1], "the first that has something");
    assert_eq!(tight(1 << 20, &[small(1, 0), small(2, 0)]), [1, 0]);
    assert_eq!(tight(1 << 20, &[small(1, 1), small(2, 4000)]), [1, 1]);
    assert_eq!(tight(1 << 20, &[small(1, 7000), small(2, 2000)]), [3, 0], "batches of a good 2,000 and 3,000 bytes");
    assert_eq!(tight(10_000, &[ask(1, 0), ask(2, 0)]), [4, 0]);
}

#[test]
fn a_poll_waits_until_there_is_enough_or_time_is_over() {
    let world = thirty();
    let before = world.clock.now();
    assert_eq!(found(&fetch(&world, &[ask(1, 60)])[0]), []);
    assert_eq!(world.clock.now() - before, SECOND / 2);

    let started = world.clock.now();
    let (waiters, clock) = (Arc::clone(&world.waiters), Arc::clone(&world.clock));
    let view = Arc::clone(&world.view);
    let later: Vec<Extent> = (0..2).map(|_| world.write_one(2, 400)).collect();
    let cache = Arc::clone(&world.cache);
    world.clock.spawn(
        "writer",
        Box::pin(async move {
            for (step, written) in later.into_iter().enumerate() {
                clock.sleep(SECOND).await;
                let (start, base_offset) = (written.start, 60 + step as i64);
                let extent = Extent { base_offset, end_offset: base_offset + 1, start, ..written };
                cache.admit(&extent, &[batch(&[0], 400)]);
                view.append(1, extent);
                waiters.wake(&[1]);
            }
        }),
    );
    let asks = [ask(1, 60)];
    let poll = world.reader.fetch(&asks, limits(600, SECOND * 30));
    assert_eq!(found(&world.clock.run(poll)[0]), [(60, 60), (61, 61)]);
    assert_eq!(world.clock.now() - started, SECOND * 2, "it waited for the second one, and no longer");
    assert!(world.waiters.is_empty());
}

#[test]
fn an_error_does_not_wait() {
    let world = thirty();
    let before = world.clock.now();
    let taken = world.clock.run(world.reader.fetch(&[ask(1, 60), ask(9, 0)], limits(1, SECOND * 30)));
    assert_eq!(found(&taken[0]), []);
    assert_eq!(taken[1].records, Err(Error::UnknownPartition));
    assert_eq!(world.clock.now(), before);
}

#[test]
fn what_is_cached_is_sent_while_the_rest_loads_behind_it() {
    let world = thirty();
    world.write(&[(2, &[batch(&[0], 100)])]);
    fetch(&world, &[ask(2, 0)]);
    world.store.latency_ms.store(200, Ordering::Relaxed);
    let before = world.clock.now();
    let taken = fetch(&world, &[ask(1, 0), ask(2, 0)]);
    assert_eq!((found(&taken[0]).len(), found(&taken[1]).len()), (0, 1));
    assert_eq!(world.clock.now(), before, "without waiting");
    world.clock.run(world.clock.sleep(SECOND * 10));
    let gets = world.store.get_count();
    let taken = fetch(&world, &[ask(1, 0), ask(2, 0)]);
    assert_eq!((found(&taken[0]).len(), found(&taken[1]).len()), (30, 1));
    assert_eq!(world.store.get_count(), gets, "it was loaded in the meantime");
}

#[test]
fn a_fetch_with_nothing_to_send_waits_for_a_slow_store() {
    let world = thirty();
    world.store.latency_ms.store(3_000, Ordering::Relaxed);
    let taken = world.clock.run(world.reader.fetch(&[ask(1, 0)], limits(0, Duration::ZERO)));
    assert!(!found(&taken[0]).is_empty());
}

#[test]
fn a_store_that_is_down_is_an_error_in_the_end() {
    let world = thirty();
    world.store.failures.store(u64::MAX, Ordering::Relaxed);
    let taken = fetch(&world, &[ask(1, 0)]);
    assert!(matches!(taken[0].records, Err(Error::Load(LoadError::Unavailable(_)))), "{taken:?}");
    assert!(world.clock.now() < SECOND * 12);
}

#[test]
fn a_damaged_extent_fails_its_range_and_nothing_else() {
    let world = thirty();
    let damaged = world.write_one(1, 100);
    world.write_one(1, 100);
    world.write_one(2, 100);
    *world.store.flipped.lock() = Some(("object-31".to_owned(), damaged.end() - 1));
    fetch(&world, &[ask(1, 0), ask(2, 0)]);
    world.clock.run(world.clock.sleep(SECOND));
    let taken = fetch(&world, &[ask(1, 0), ask(2, 0)]);
    assert_eq!(found(&taken[0]).last(), Some(&(58, 59)), "up to the damage");
    fetch(&world, &[ask(1, 60), ask(2, 0)]);
    world.clock.run(world.clock.sleep(SECOND / 10));
    for _ in 0..5 {
        let gets = world.store.get_count();
        let taken = fetch(&world, &[ask(1, 60), ask(2, 0)]);
        assert!(matches!(taken[0].records, Err(Error::Load(LoadError::Corrupt(_)))));
        assert_eq!(found(&taken[1]).len(), 1);
        assert_eq!(world.store.get_count(), gets, "eager clients do not become GETs");
    }
    assert_eq!(found(&fetch(&world, &[ask(1, 61)])[0]), [(61, 61)], "behind the damage");
}

#[test]
fn data_that_was_moved_is_looked_up_again() {
    let world = World::new();
    let here = world.write_one(1, 100);
    world.view.replace(1, Extent { object: Place::LogFrame { position: 77 }, ..here });
    world.view.at_next_barrier(move |view| view.replace(1, here));
    assert_eq!(found(&fetch(&world, &[ask(1, 0)])[0]), [(0, 0)]);
    world.view.replace(1, Extent { object: Place::LogFrame { position: 78 }, ..here });
    assert_eq!(fetch(&world, &[ask(1, 0)])[0].records, Err(Error::Load(LoadError::Missing)));
}

#[test]
fn a_sequential_reader_finds_the_next_extents_in_memory() {
    let world = World::new();
    for _ in 0..200 {
        world.write_one(1, 100_000);
    }
    let step = |offset| {
        let ask = Ask { bytes_max: 200_100, ..ask(1, offset) };
        found(&world.clock.run(world.reader.fetch(&[ask], limits(1, SECOND)))[0]).last().expect("more").1 + 1
    };
    let mut offset = step(0);
    assert_eq!(offset, 1, "what was not loaded yet is left for the next one, here and below");
    while offset < 20 {
        offset = step(offset);
    }
    let (_, misses) = world.cache.hits_and_misses();
    world.clock.run(world.clock.sleep(SECOND));
    while offset < 30 {
        offset = step(offset);
        world.clock.run(world.clock.sleep(SECOND));
    }
    assert_eq!(world.cache.hits_and_misses().1, misses, "read-ahead keeps in front of the reader");
    assert!(world.reader.loader().counts().extents < 200, "and does not read everything");
}

#[test]
fn the_next_extent_is_loaded_before_a_large_one_is_read_to_its_end() {
    // The window is a quarter of the cache: half of an extent.
    let world = World::with_cache(4 << 20);
    let batches: Vec<_> = (0..20).map(|_| batch(&[0], 100_000)).collect();
    for _ in 0..6 {
        world.write(&[(1, &batches)]);
    }
    let mut offset = 0;
    let mut waited = Vec::new();
    while offset < 120 {
        let (_, before) = world.cache.hits_and_misses();
        let ask = Ask { bytes_max: 100_100, ..ask(1, offset) };
        let taken = found(&world.clock.run(world.reader.fetch(&[ask], limits(1, SECOND)))[0]);
        if world.cache.hits_and_misses().1 > before {
            waited.push(offset);
        }
        offset = taken.last().expect("more").1 + 1;
        world.clock.run(world.clock.sleep(SECOND));
    }
    assert_eq!(waited, [0], "only the first is waited for");
}

#[test]
fn what_is_read_to_the_half_stays_and_what_is_read_to_its_end_goes() {
    let world = World::with_cache(1 << 20);
    let batches: Vec<_> = (0..10).map(|_| batch(&[0], 10_000)).collect();
    let many: Vec<_> = (0..32).map(|_| world.write(&[(9, &batches)])[0]).collect();
    let scan = |extents: &[Extent]| {
        for extent in extents {
            let ask = Ask { bytes_max: extent.len as usize, ..ask(9, extent.base_offset) };
            assert_eq!(found(&fetch(&world, &[ask])[0]).len(), 10);
        }
    };
    scan(&many[..20]);
    let half = world.write(&[(1, &batches)])[0];
    let whole = world.write(&[(2, &batches)])[0];
    fetch(&world, &[Ask { bytes_max: 50_000, ..ask(1, 0) }]);
    fetch(&world, &[ask(2, 0)]);
    scan(&many[20..32]);
    assert!(world.cache.contains(&half) && !world.cache.contains(&whole));
}

#[test]
fn an_extent_that_no_cache_can_hold_is_sent_all_the_same() {
    let world = World::with_cache(100 << 10);
    world.write(&[(1, &[batch(&[0], 90_000), batch(&[0], 90_000)])]);
    assert_eq!(found(&fetch(&world, &[ask(1, 0)])[0]), [(0, 0), (1, 1)]);
    assert_eq!(found(&fetch(&world, &[ask(1, 1)])[0]), [(1, 1)]);
}

#[test]
fn long_polls_share_one_barrier_every_ten_seconds() {
    let world = thirty();
    world.view.create(2);
    for _ in 0..3 {
        let reader = world.reader.clone();
        world
            .clock
            .spawn("poll", Box::pin(async move { drop(reader.fetch(&[ask(2, 0)], limits(1, SECOND * 35)).await) }));
    }
    world.clock.run(world.clock.sleep(SECOND * 34));
    assert_eq!(world.view.barriers.load(Ordering::Relaxed), 3);
    world.clock.run(world.clock.sleep(SECOND * 100));
    assert_eq!(world.view.barriers.load(Ordering::Relaxed), 3, "without clients nothing is asked");
}
