//! KIP-848 groups: what is refused, who may commit, and that snapshots keep them.

use std::sync::Arc;

use kafscale_state::entry::{Committer, Entry, GroupSaved, OffsetChange, OffsetsSaved};
use kafscale_state::group::{
    ClassicMetadata, Consumer, ConsumerMember, Content, LEFT_STATIC_EPOCH, MemberState, Partitions,
};
use kafscale_state::verdict::{Refused, Verdict};
use kafscale_state::{Limits, snapshot};

use crate::common::World;

fn member(id: &str, assigned: &[u32]) -> ConsumerMember {
    let assigned: Partitions = assigned.iter().copied().collect();
    ConsumerMember {
        id: id.into(),
        topics: vec!["t".into()],
        epoch: 4,
        previous_epoch: 3,
        target: assigned.clone(),
        assigned,
        ..ConsumerMember::default()
    }
}

fn classic(id: &str, assigned: &[u32]) -> ConsumerMember {
    let protocols = vec![("range".into(), vec![0, 1])];
    ConsumerMember { classic: Some(ClassicMetadata { session_timeout_ms: 10, protocols }), ..member(id, assigned) }
}

fn group(members: Vec<ConsumerMember>) -> Consumer {
    let members = members.into_iter().map(Arc::new).collect();
    Consumer { epoch: 5, assignment_epoch: 4, topics: vec![(1, 4)], members, ..Consumer::default() }
}

fn save(world: &mut World, expected: u64, content: Consumer) -> Verdict {
    let content = Content::Consumer(content);
    world.say(Entry::GroupSaved(GroupSaved { group: "g".into(), expected, content }))
}

fn commit(world: &mut World, member: &str, epoch: i32, handle: u32) -> Verdict {
    let change = OffsetChange::Commit { offset: 7, leader_epoch: 0, metadata: String::new(), expires_ms: None };
    let by = Committer::Member { id: member.into(), epoch };
    world.say(Entry::OffsetsSaved(OffsetsSaved { group: "g".into(), by, offsets: vec![(handle, change)] }))
}

#[test]
fn a_group_that_contradicts_itself_is_refused() {
    let mut world = World::new();
    let revoking = ConsumerMember { revoking: Partitions::from([1]), ..member("b", &[2]) };
    let twin = |id| ConsumerMember { instance_id: Some("i".into()), ..member(id, &[]) };
    let bad = [
        Consumer { assignment_epoch: 6, ..group(vec![]) },
        Consumer { assignment_epoch: -1, ..group(vec![]) },
        Consumer { topics: vec![(2, 1), (1, 1)], ..group(vec![]) },
        group(vec![member("b", &[]), member("a", &[])]),
        group(vec![member("a", &[]), member("a", &[])]),
        group(vec![member("", &[])]),
        group(vec![ConsumerMember { epoch: 5, ..member("a", &[]) }]),
        group(vec![ConsumerMember { epoch: LEFT_STATIC_EPOCH, ..member("a", &[]) }]),
        group(vec![ConsumerMember { topics: vec!["u".into(), "t".into()], ..member("a", &[]) }]),
        group(vec![twin("a"), twin("b")]),
        group(vec![member("a", &[1, 2]), member("b", &[2])]),
        group(vec![ConsumerMember { target: Partitions::new(), ..member("a", &[1]) }, revoking]),
        group(vec![ConsumerMember { classic: Some(ClassicMetadata::default()), ..member("a", &[1]) }]),
    ];
    for content in bad {
        assert_eq!(save(&mut world, 0, content.clone()), Verdict::Refused(Refused::InvalidGroup), "{content:?}");
    }
    assert!(world.state.group("g").is_none());
}

#[test]
fn a_member_commits_only_under_its_own_epoch() {
    let mut world = World::new();
    let handle = world.topic("t", 1, 4);
    let saved = save(&mut world, 0, group(vec![member("a", &[handle]), classic("b", &[handle + 1])]));
    assert!(matches!(saved, Verdict::GroupSaved { .. }), "{saved:?}");
    assert_eq!(commit(&mut world, "a", 4, handle), Verdict::OffsetsSaved(vec![Ok(())]));
    for stale in [3, 5, -1] {
        assert_eq!(commit(&mut world, "a", stale, handle), Verdict::Refused(Refused::StaleMemberEpoch));
        assert_eq!(commit(&mut world, "b", stale, handle), Verdict::Refused(Refused::IllegalGeneration));
    }
    assert_eq!(commit(&mut world, "c", 4, handle), Verdict::Refused(Refused::UnknownMember));
    let change = vec![(handle, OffsetChange::Delete)];
    let entry = OffsetsSaved { group: "g".into(), by: Committer::Outsider, offsets: change };
    assert_eq!(world.say(Entry::OffsetsSaved(entry)), Verdict::Refused(Refused::UnknownMember));
}

#[test]
fn a_snapshot_keeps_all_of_it() {
    let mut world = World::new();
    let handle = world.topic("t", 1, 4);
    let waiting = ConsumerMember {
        instance_id: Some("i".into()),
        pattern: Some("t.*".into()),
        state: MemberState::UnrevokedPartitions,
        revoking: Partitions::from([handle + 3]),
        ..member("b", &[handle + 1])
    };
    let members = [vec![member("a", &[handle]), waiting.clone()], vec![classic("a", &[handle]), waiting]];
    for (revision, members) in (0..).zip(members) {
        save(&mut world, revision, group(members));
        let bytes: Vec<u8> = snapshot::encode(&world.state).flatten().collect();
        let state = snapshot::decode_with(&bytes, Limits::default()).expect("a snapshot");
        assert_eq!(state.group("g"), world.state.group("g"));
    }
}
