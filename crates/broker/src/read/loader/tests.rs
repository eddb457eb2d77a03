use std::{slice::from_ref, sync::atomic::Ordering};

use kafscale_runtime::Runtime as _;
use kafscale_state::Place;

use super::*;
use crate::read::testing::{World, batch};

fn load(world: &World, wanted: &[(Handle, Extent)]) -> Vec<(u64, Loaded)> {
    let mailbox = Arc::new(Mailbox::default());
    for (partition, extent) in wanted {
        world.reader.loader().load(*partition, *extent, &mailbox);
    }
    world.reader.loader().start();
    world.clock.run(async {
        let mut arrived = Vec::new();
        while arrived.len() < wanted.len() {
            mailbox.rung().await;
            arrived.extend(mailbox.take());
        }
        arrived.sort_by_key(|(key, _)| *key);
        arrived.into_iter().map(|((_, _, start), loaded)| (start, loaded)).collect()
    })
}

#[test]
fn neighbours_come_with_one_get_and_stay_in_memory() {
    let world = World::new();
    let one = batch(&[0, 0], 100);
    let extents = world.write(&[(1, &[one.clone(), one.clone()]), (2, from_ref(&one)), (3, from_ref(&one))]);
    let loaded = load(&world, &[(3, extents[2]), (1, extents[0]), (2, extents[1])]);
    assert!(loaded.iter().all(|(_, loaded)| loaded.is_ok()));
    let end = extents[2].end();
    assert_eq!(*world.store.gets.lock(), [("object-1".to_owned(), extents[0].start, end - extents[0].start)]);
    assert!(extents.iter().all(|extent| world.cache.contains(extent)));
    let counts = world.reader.loader().counts();
    assert_eq!((counts.gets, counts.extents, counts.failed), (1, 3, 0));
}

#[test]
fn a_get_is_repeated_until_the_store_answers() {
    let world = World::new();
    let extent = world.write_one(1, 100);
    world.store.failures.store(4, Ordering::Relaxed);
    assert!(load(&world, &[(1, extent)])[0].1.is_ok());
    assert_eq!(world.store.get_count(), 5);
}

#[test]
fn a_store_that_stays_down_is_told_after_a_while() {
    let world = World::new();
    let extent = world.write_one(1, 100);
    world.store.failures.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(load(&world, &[(1, extent)])[0].1.clone().err(), Some(LoadError::Unavailable("503".to_owned())));
    assert!(world.clock.now() <= PATIENCE);
    let gets = world.store.get_count();
    assert!(load(&world, &[(1, extent)])[0].1.is_err());
    assert_eq!(world.store.get_count(), gets, "told again without asking the store again");
    world.store.failures.store(0, Ordering::Relaxed);
    world.clock.run(world.clock.sleep(FAILURE_AGE));
    assert!(load(&world, &[(1, extent)])[0].1.is_ok(), "but not for long");
}

#[test]
fn a_hung_get_is_given_up_and_repeated() {
    let world = World::new();
    let extent = world.write_one(1, 100);
    world.store.hung.lock().insert("object-1".to_owned());
    assert!(matches!(load(&world, &[(1, extent)])[0].1, Err(LoadError::Unavailable(_))));
    assert!(world.store.get_count() >= 2);
}

#[test]
fn nobody_waits_for_read_ahead_so_it_is_not_repeated() {
    let world = World::new();
    let extent = world.write_one(1, 100);
    world.store.failures.store(u64::MAX, Ordering::Relaxed);
    world.reader.loader().load_ahead(1, extent);
    world.reader.loader().start();
    world.clock.run(world.clock.sleep(Duration::from_secs(60)));
    assert_eq!(world.store.get_count(), 1);
}

#[test]
fn one_damaged_extent_leaves_its_neighbours_alone() {
    let world = World::new();
    let one = batch(&[0], 100);
    let extents = world.write(&[(1, from_ref(&one)), (2, from_ref(&one)), (3, from_ref(&one))]);
    *world.store.flipped.lock() = Some(("object-1".to_owned(), extents[1].end() - 1));
    let loaded = load(&world, &[(1, extents[0]), (2, extents[1]), (3, extents[2])]);
    let outcomes: Vec<bool> = loaded.iter().map(|(_, loaded)| loaded.is_ok()).collect();
    assert_eq!(outcomes, [true, false, true]);
    assert!(matches!(loaded[1].1, Err(LoadError::Corrupt(_))));
    assert!(!world.cache.contains(&extents[1]));
    *world.store.flipped.lock() = None;
    world.clock.run(world.clock.sleep(FAILURE_AGE));
    assert!(load(&world, &[(2, extents[1])])[0].1.is_ok());
}

#[test]
fn what_was_hurt_on_its_way_is_read_once_more() {
    let world = World::new();
    let extent = world.write_one(1, 100);
    world.store.hurt.store(1, Ordering::Relaxed);
    assert!(load(&world, &[(1, extent)])[0].1.is_ok());
    assert_eq!((world.store.get_count(), world.reader.loader().counts().failed), (2, 0));
    let other = world.write_one(1, 100);
    world.store.hurt.store(2, Ordering::Relaxed);
    assert!(matches!(load(&world, &[(1, other)])[0].1, Err(LoadError::Corrupt(_))));
    assert_eq!(world.store.get_count(), 4, "and not again and again");
}

#[test]
fn an_object_that_was_cut_gives_what_it_still_has() {
    let world = World::new();
    let one = batch(&[0], 100);
    let extents = world.write(&[(1, from_ref(&one)), (2, from_ref(&one))]);
    *world.store.cut_at.lock() = Some(extents[1].start + 3);
    let loaded = load(&world, &[(1, extents[0]), (2, extents[1])]);
    assert!(loaded[0].1.is_ok());
    assert!(matches!(loaded[1].1, Err(LoadError::Corrupt(ContentError::Length { have: 3, .. }))));
}

#[test]
fn a_missing_object_is_said_to_be_missing() {
    let world = World::new();
    let extent = Extent { object: Place::LogFrame { position: 99 }, ..world.write_one(1, 100) };
    assert_eq!(load(&world, &[(1, extent)])[0].1.clone().err(), Some(LoadError::Missing));
}
