//! The bugs that can be planted are bugs: the checks that guard against them fail.

use std::panic::catch_unwind;

use kafscale_state::State;
use kafscale_state::planted::{Bug, plant};

use crate::common::{World, accepted, duplicate, extent, plain, producer, run};

/// Digests of two replicas of one log.
fn digests() -> [u128; 2] {
    let mut world = World::new();
    let first = world.topic("t", 1, 64);
    let replica = world.state.clone();
    let facts = world.facts();
    let extents = (first..first + 64).map(|handle| extent(handle, vec![plain(1)])).collect();
    let commit = kafscale_state::entry::Commit {
        object: kafscale_state::entry::ObjectRef::ThisFrame,
        producers: vec![],
        extents,
    };
    let entries = kafscale_state::entry::encode(&[kafscale_state::entry::Entry::Commit(commit)]);
    [world.state, replica].map(|mut state: State| {
        state.apply(facts, &entries).expect("it can be applied");
        state.digest()
    })
}

#[test]
fn an_iterated_hash_map_shows_in_the_digest() {
    let [one, other] = digests();
    assert_eq!(one, other);
    plant(Some(Bug::IteratedHashMap));
    let [one, other] = digests();
    plant(None);
    assert_ne!(one, other);
}

#[test]
fn missing_de_duplication_shows_in_the_verdicts() {
    let retried = || {
        let mut world = World::new();
        let handle = world.topic("t", 1, 1);
        let p = producer(1, 0);
        assert_eq!(world.write(handle, p, run(0, &[1])), accepted(0));
        assert_eq!(world.write(handle, p, run(0, &[1])), duplicate(0));
    };
    retried();
    plant(Some(Bug::NoDeduplication));
    let caught = catch_unwind(retried);
    plant(None);
    assert!(caught.is_err());
}

#[test]
fn a_swap_of_what_was_not_read_shows_in_the_verdicts() {
    plant(Some(Bug::SwapsUnread));
    let caught = catch_unwind(crate::life::refused_alone);
    plant(None);
    assert!(caught.is_err());
}
