//! Groups and offsets: bounds, and what random stories do not reach.

use kafscale_state::Limits;
use kafscale_state::entry::{Committer, Entry, GroupSaved, OffsetChange, OffsetsSaved, TopicDeleted};
use kafscale_state::group::{Classic, Content, slot_of};
use kafscale_state::verdict::{OffsetRefused, Refused, Verdict};

use crate::common::World;
use crate::group_model::{classic, member};

fn save(group: &str, expected: u64, content: Content) -> Entry {
    Entry::GroupSaved(GroupSaved { group: group.into(), expected, content })
}

fn commit(group: &str, handle: u32, metadata: &str, expires_ms: Option<i64>) -> Entry {
    let change = OffsetChange::Commit { offset: 7, leader_epoch: 0, metadata: metadata.into(), expires_ms };
    Entry::OffsetsSaved(OffsetsSaved { group: group.into(), by: Committer::Outsider, offsets: vec![(handle, change)] })
}

#[test]
fn slots_are_persisted() {
    assert_eq!(["", "orders", "größe"].map(slot_of), SLOTS);
}
const SLOTS: [usize; 3] = [194, 251, 812];

#[test]
fn a_group_that_contradicts_itself_is_refused() {
    let mut world = World::new();
    let one = |id: &str| Classic { generation: 1, members: vec![member(id)], ..Classic::default() };
    let bad = [
        Classic { generation: -1, ..Classic::default() },
        Classic { leader: Some("other".into()), ..one("m") },
        Classic { members: vec![member("b"), member("a")], ..Classic::default() },
        Classic { members: vec![member("a"), member("a")], ..Classic::default() },
        Classic { protocol: Some("range".into()), ..Classic::default() },
        one(""),
        one(&"x".repeat(40_000)),
    ];
    for content in bad {
        let verdict = world.say(save("g", 0, Content::Classic(content)));
        assert_eq!(verdict, Verdict::Refused(Refused::InvalidGroup));
    }
    assert!(world.state.group("g").is_none());
}

#[test]
fn groups_and_offsets_are_bounded_and_what_shrinks_is_taken() {
    let limits = Limits { group_weight: 2_000, group_weight_each: 1_200, ..Limits::default() };
    let mut world = World::with_limits(limits);
    let handle = world.topic("t", 1, 1);
    let names = |count: usize| (0..count).map(|n| format!("m{n}")).collect::<Vec<_>>();
    let too_many = Verdict::Refused(Refused::TooManyGroups);
    assert_eq!(world.say(save("g", 0, classic(1, &names(4)))), too_many, "one group");
    let Verdict::GroupSaved { revision } = world.say(save("g", 0, classic(1, &names(3)))) else { panic!() };
    assert_eq!(world.say(save("h", 0, classic(1, &names(3)))), too_many, "all groups");
    let long = "x".repeat(1_000);
    assert_eq!(world.say(commit("i", handle, &long, None)), Verdict::OffsetsSaved(vec![Err(OffsetRefused::TooLarge)]));
    assert_eq!(world.say(commit("i", handle, "", None)), Verdict::OffsetsSaved(vec![Ok(())]));
    let shrunk = world.say(save("g", revision, classic(2, &names(1))));
    assert!(matches!(shrunk, Verdict::GroupSaved { .. }));
    let (used, limit) = world.state.group_weight();
    assert!(used < limit);
}

#[test]
fn offsets_of_a_deleted_topic_are_gone_at_once_and_swept_later() {
    let mut world = World::with_limits(Limits { garbage_per_frame: 100, ..Limits::default() });
    let handle = world.topic("t", 1, 1);
    for group in 0..50 {
        world.say(commit(&format!("g{group}"), handle, "", None));
    }
    let weight = world.state.group_weight().0;
    world.say(Entry::TopicDeleted(TopicDeleted { id: 1 }));
    assert!(world.state.committed("g0", handle).is_none());
    for _ in 0..20 {
        world.frame(&[]);
    }
    assert_eq!(world.state.group_weight().0, weight - 50 * 64);
    assert!(world.state.groups().all(|(_, group)| group.offsets().count() == 0));
}

#[test]
fn an_offset_that_was_given_a_time_expires_by_it() {
    let mut world = World::new();
    let handle = world.topic("t", 1, 1);
    let expires_ms = world.now_ms + 10;
    world.say(commit("g", handle, "", Some(expires_ms)));
    let expire = |since_ms| {
        let offsets = vec![(handle, OffsetChange::Expire { since_ms })];
        Entry::OffsetsSaved(OffsetsSaved { group: "g".into(), by: Committer::Outsider, offsets })
    };
    world.now_ms += 9;
    world.say(expire(world.now_ms));
    assert!(world.state.committed("g", handle).is_some());
    world.now_ms += 1;
    world.say(expire(0));
    assert!(world.state.committed("g", handle).is_none());
}

#[test]
fn nothing_expires_on_the_word_of_a_time_to_come() {
    let mut world = World::new();
    let handle = world.topic("t", 1, 1);
    world.say(commit("g", handle, "", None));
    let offsets = vec![(handle, OffsetChange::Expire { since_ms: world.now_ms + 1 })];
    world.say(Entry::OffsetsSaved(OffsetsSaved { group: "g".into(), by: Committer::Outsider, offsets }));
    assert!(world.state.committed("g", handle).is_some());
}
