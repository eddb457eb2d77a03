use super::*;

fn extent(object: u64, start: u64, len: u32) -> Extent {
    let object = Place::LogFrame { position: object };
    Extent { object, start, len, base_offset: start as i64, end_offset: start as i64 + 1, max_timestamp: 0, version: 0 }
}

fn starts(get: &Get) -> Vec<u64> {
    get.extents.iter().map(|extent| extent.start).collect()
}

fn mailbox() -> Arc<Mailbox> {
    Arc::default()
}

#[test]
fn what_is_near_comes_with_one_get() {
    let (mut queue, mailbox) = (Queue::default(), mailbox());
    for (start, len) in [(5_000, 100), (0, 1_000), (1_000, 500), (400_000, 10), (90_000, 10_000)] {
        queue.want(start as u32 + 1, extent(1, start, len), Some(&mailbox));
    }
    queue.want(7, extent(2, 0, 10), Some(&mailbox));
    let get = queue.next(false).expect("wanted");
    assert_eq!((starts(&get), get.start, get.end), (vec![0, 1_000, 5_000, 90_000], 0, 100_000));
    assert_eq!(starts(&queue.next(false).expect("the other object")), [0]);
    let far = queue.next(false).expect("too far for the first");
    assert_eq!(starts(&far), [400_000]);
    assert_eq!(queue.next(false), None);
}

#[test]
fn everyone_who_waits_for_an_extent_shares_its_get() {
    let (mut queue, one, two) = (Queue::default(), mailbox(), mailbox());
    let wanted = extent(1, 0, 10);
    queue.want(1, wanted, Some(&one));
    let get = queue.next(false).expect("wanted");
    queue.want(1, wanted, Some(&two));
    assert_eq!(queue.next(false), None, "it is under way");
    assert_eq!(queue.settle(&wanted.key()).len(), 2);
    queue.done(&get);
    queue.want(1, wanted, Some(&two));
    assert!(queue.next(false).is_some(), "wanted anew");
}

#[test]
fn partitions_take_turns() {
    let (mut queue, mailbox) = (Queue::default(), mailbox());
    for object in 0..100 {
        queue.want(1, extent(object, 0, 10), Some(&mailbox));
    }
    for partition in 2..5 {
        queue.want(partition, extent(1_000 + u64::from(partition), 0, 10), Some(&mailbox));
    }
    let objects: Vec<Place> = (0..6).filter_map(|_| queue.next(false)).map(|get| get.object).collect();
    let expected = [0, 1_002, 1_003, 1_004, 1, 2].map(|position| Place::LogFrame { position });
    let mut turns = objects.clone();
    turns.sort();
    let mut expected_sorted = expected;
    expected_sorted.sort();
    assert_eq!(turns, expected_sorted, "the backfill of partition 1 lets the others in: {objects:?}");
}

#[test]
fn read_ahead_comes_last_until_somebody_waits() {
    let (mut queue, mailbox) = (Queue::default(), mailbox());
    queue.want(1, extent(1, 0, 10), None);
    queue.want(1, extent(2, 0, 10), None);
    queue.want(2, extent(3, 0, 10), Some(&mailbox));
    queue.want(1, extent(2, 0, 10), Some(&mailbox));
    let objects: Vec<Place> = (0..4).filter_map(|_| queue.next(false)).map(|get| get.object).collect();
    let last = objects.last().copied();
    assert_eq!((objects.len(), last), (3, Some(Place::LogFrame { position: 1 })), "{objects:?}");
}

#[test]
fn requests_and_bytes_in_flight_are_bounded() {
    let (mut queue, mailbox) = (Queue::default(), mailbox());
    for object in 0..100 {
        queue.want(1, extent(object, 0, 1), Some(&mailbox));
    }
    let gets: Vec<Get> = std::iter::from_fn(|| queue.next(false)).collect();
    assert_eq!(gets.len(), GETS_MAX);
    queue.done(&gets[0]);
    assert!(queue.next(false).is_some());

    let mut queue = Queue::default();
    for object in 0..10 {
        queue.want(1, extent(object, 0, 30 << 20), Some(&mailbox));
    }
    assert_eq!(std::iter::from_fn(|| queue.next(false)).count(), 2, "a third would exceed the bytes");
    let mut queue = Queue::default();
    queue.want(1, extent(1, 0, 100 << 20), Some(&mailbox));
    queue.want(1, extent(2, 0, 1), Some(&mailbox));
    assert_eq!(std::iter::from_fn(|| queue.next(false)).count(), 1, "a large one goes alone");
}

#[test]
fn what_is_wanted_is_bounded_and_the_abandoned_make_room() {
    let (mut queue, gone, here) = (Queue::default(), mailbox(), mailbox());
    for object in 0..WANTS_MAX as u64 {
        queue.want(1, extent(object, 0, 1), Some(&gone));
    }
    assert!(!queue.want(2, extent(1 << 40, 0, 1), Some(&here)), "full");
    drop(gone);
    assert!(queue.want(2, extent(1 << 40, 0, 1), Some(&here)));
    assert_eq!(queue.wants.len(), 1);
    assert_eq!(queue.next(false).map(|get| get.object), Some(Place::LogFrame { position: 1 << 40 }));
    assert_eq!(queue.next(false), None);
}

/// An extent of a merged object, as backfills read them.
fn old(object: u64, len: u32) -> Extent {
    let merged = kafscale_state::Merged { store: 0, level: 1, session: 1, number: object, nonce: 1 };
    Extent { object: Place::Merged(merged), ..extent(object, 0, len) }
}

#[test]
fn beside_writes_backfills_have_half_and_the_newest_records_all() {
    let (mut queue, mailbox) = (Queue::default(), mailbox());
    for object in 0..100 {
        queue.want(1, old(object, 1), Some(&mailbox));
        queue.want(2, old(1_000 + object, 1), None);
    }
    assert_eq!(std::iter::from_fn(|| queue.next(true)).count(), GETS_MAX / 2);
    for object in 0..3 {
        queue.want(3, extent(object, 0, 1), Some(&mailbox));
    }
    let gets: Vec<Get> = std::iter::from_fn(|| queue.next(true)).collect();
    assert_eq!(gets.len(), 3, "what lies where flushes put it does not wait for backfills");
    assert!(gets.iter().all(|get| get.object.level() == 0));
    assert_eq!(std::iter::from_fn(|| queue.next(false)).count(), GETS_MAX / 2 - 3, "nobody writes any more");
}

#[test]
fn beside_writes_backfills_have_half_of_the_bytes() {
    let (mut queue, mailbox) = (Queue::default(), mailbox());
    for object in 0..10 {
        queue.want(1, old(object, 10 << 20), Some(&mailbox));
    }
    assert_eq!(std::iter::from_fn(|| queue.next(true)).count(), 3);
    assert_eq!(std::iter::from_fn(|| queue.next(false)).count(), 3);
}
