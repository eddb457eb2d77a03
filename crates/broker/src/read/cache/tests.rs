use super::*;
use crate::read::testing::batch;

use kafscale_state::Place;

/// Extent number `number`, one batch of about 10 KiB.
fn extent(number: i64) -> (Extent, Bytes) {
    let bytes = batch(&[0], 10_000);
    let object = Place::LogFrame { position: number as u64 };
    let len = bytes.len() as u32;
    (Extent { object, start: 0, len, base_offset: number, end_offset: number + 1, max_timestamp: 0, version: 0 }, bytes)
}

fn read(cache: &Cache, number: i64) -> bool {
    cache.get(&extent(number).0, number).is_some()
}

fn admit(cache: &Cache, number: i64) {
    let (extent, bytes) = extent(number);
    cache.admit(&extent, &[bytes]);
}

#[test]
fn what_was_admitted_is_found_and_counted() {
    let cache = Cache::new(1 << 20);
    admit(&cache, 1);
    assert!(read(&cache, 1) && !read(&cache, 2));
    assert_eq!(cache.hits_and_misses(), (1, 1));
    assert!(cache.contains(&extent(1).0));
    assert_eq!(cache.hits_and_misses(), (1, 1), "looking is no use");
}

#[test]
fn it_never_holds_more_than_it_may() {
    let cache = Cache::new(1 << 20);
    for number in 0..1_000 {
        admit(&cache, number);
        assert!(cache.bytes() <= 1 << 20);
    }
    assert!(cache.bytes() > 900 << 10, "and it uses what it may");
}

#[test]
fn a_scan_leaves_what_others_share() {
    let cache = Cache::new(1 << 20);
    let shared = 0..30;
    for number in shared.clone() {
        admit(&cache, number);
    }
    for _ in 0..3 {
        assert!(shared.clone().all(|number| read(&cache, number)));
    }
    for number in 1_000..3_000 {
        admit(&cache, number);
        assert!(read(&cache, number), "one reader goes through {number}");
        assert!(cache.get(&extent(number).0, number + 1).is_some(), "and on within it");
    }
    let left = shared.filter(|number| read(&cache, *number)).count();
    assert!(left >= 25, "only {left} of 30 survived");
}

#[test]
fn the_newest_stay_while_old_ones_are_shared() {
    let cache = Cache::new(1 << 20);
    for number in 0..100 {
        admit(&cache, number);
        (0..3).for_each(|_| assert!(read(&cache, number)));
    }
    for number in 1_000..1_030 {
        admit(&cache, number);
    }
    let left = (1_000..1_030).filter(|number| read(&cache, *number)).count();
    assert_eq!(left, 30, "a consumer that lags a little still finds them");
}

/// Keeps what was loaded.
fn load(cache: &Cache, number: i64) -> Arc<Content> {
    let (extent, bytes) = extent(number);
    let content = Arc::new(Content::new(&extent, &[bytes], true).expect("whole"));
    cache.insert_unread(extent.key(), Arc::clone(&content));
    content
}

#[test]
fn what_was_loaded_stays_until_it_was_read() {
    let cache = Cache::new(1 << 20);
    (3_000..4_000).for_each(|number| admit(&cache, number));
    let unread: Vec<_> = (0..40).map(|number| load(&cache, number)).collect();
    for number in 1_000..1_150 {
        admit(&cache, number);
        assert!(cache.bytes() <= 1 << 20);
    }
    assert!((0..40).all(|number| cache.contains(&extent(number).0)), "40 are less than half");
    unread.iter().for_each(|content| cache.read_to_its_end(content));
    (1_150..1_200).for_each(|number| admit(&cache, number));
    assert!(!(0..40).any(|number| cache.contains(&extent(number).0)), "and no longer");
}

#[test]
fn what_nobody_reads_on_makes_room_first() {
    let cache = Cache::new(1 << 20);
    (0..1_000).for_each(|number| admit(&cache, number));
    (1_000..1_040).for_each(|number| drop(load(&cache, number)));
    for number in 1_040..1_100 {
        // One reader is slow, in the middle of its extents; nobody reads the others.
        assert!((1_000..1_010).all(|number| cache.get(&extent(number).0, number + 1).is_some()));
        load(&cache, number);
        admit(&cache, number + 1_000);
        assert!(cache.bytes() <= 1 << 20);
    }
    assert!((1_000..1_010).all(|number| cache.contains(&extent(number).0)));
}

#[test]
fn what_readers_have_left_behind_does_not_stay_for_ever() {
    let cache = Cache::new(1 << 20);
    (0..1_000).for_each(|number| admit(&cache, number));
    (1_000..1_100).for_each(|number| drop(load(&cache, number)));
    assert!((1_060..1_100).all(|number| cache.contains(&extent(number).0)));
    (2_000..2_300).for_each(|number| admit(&cache, number));
    assert!(!(1_000..1_100).any(|number| cache.contains(&extent(number).0)));
    assert!((2_260..2_300).all(|number| cache.contains(&extent(number).0)), "the newest have the room");
}

#[test]
fn pins_end_with_what_is_gone() {
    let cache = Cache::new(1 << 20);
    for number in 0..1_000 {
        let content = load(&cache, number);
        cache.insert(extent(number).0.key(), Arc::new(Content::empty()));
        drop(content);
    }
    assert!(cache.bytes() <= 1 << 20);
}
