//! Snapshots: nothing is lost in them, and broken ones are refused by name.

use kafscale_state::entry::{
    BrokerJoined, Change, Cleaned, CleanedTo, Cluster, Commit, Committer, ConfigSet, Entry, GroupSaved, NamedConfigSet,
    ObjectRef, OffsetChange, OffsetsSaved, RecordsDeleted, Resource, Sequencer, TopicDeleted,
};
use kafscale_state::snapshot::{self, SnapshotError};
use kafscale_state::topic::Named;
use kafscale_state::{Handle, Limits, State, invariants};
use proptest::prelude::*;

use crate::common::{World, extent, plain, producer, run};
use crate::group_model::classic;
use crate::model::{Story, small};
use crate::ops::story;

fn bytes(state: &State) -> Vec<u8> {
    snapshot::encode(state).flatten().collect()
}

fn decoded(state: &State, limits: Limits) -> State {
    let decoded = snapshot::decode_with(&bytes(state), limits).expect("an own snapshot can be read");
    invariants::check(&decoded).unwrap_or_else(|broken| panic!("{broken}"));
    decoded
}

/// Everything that queries tell.
fn told(state: &State) -> String {
    let mut told = format!(
        "{} {:x} {} {} {} {:?} {:?}\n",
        state.position(),
        state.digest(),
        state.session(),
        state.cluster_time_ms(),
        state.feature_level(),
        state.cluster_id(),
        state.backlog(),
    );
    told += &format!("{:?} {:?}\n", state.brokers().collect::<Vec<_>>(), state.broker_defaults());
    told += &format!("{:?}\n", state.group_weight());
    state.groups().for_each(|(id, group)| told += &format!("{id} {group:?}\n"));
    for kind in [Named::Group, Named::ClientMetrics] {
        told += &format!("{:?}\n", state.named(kind).collect::<Vec<_>>());
    }
    for topic in state.topics() {
        told += &format!("{topic:?}\n");
        for handle in topic.handles() {
            told += &partition(state, handle);
        }
    }
    let live: Vec<_> = (0..=state.position()).filter(|position| state.is_live(*position)).collect();
    told += &format!("{:?}\n", state.dead_objects().collect::<Vec<_>>());
    told += &format!("{:?} {:?}\n", state.dead_segments().collect::<Vec<_>>(), state.graves().collect::<Vec<_>>());
    told + &format!("{live:?} {} {}\n", state.object_count(), state.segment_count())
}

fn partition(state: &State, handle: Handle) -> String {
    let view = state.partition(handle).expect("it is its topic's");
    let extents: Vec<_> = view.extents_from(0).collect();
    let producers: Vec<_> = state.producers(handle).collect();
    let segments: Vec<_> = view.segments().collect();
    let bounds = (view.log_start_offset(), view.high_watermark());
    format!("{handle} {bounds:?} {extents:?} {segments:?} {:?} {:?} {producers:?}\n", view.claim(), view.clean())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_prefix_and_snapshot_and_suffix_tell_the_same(ops in story(50), cut in any::<prop::sample::Index>()) {
        let mut story = Story::new(small());
        story.play(&ops);
        let cut = cut.index(story.frames.len());
        let mut state = State::with_limits(small());
        for (facts, entries) in &story.frames[..cut] {
            state.apply(*facts, entries).expect("it was applied before");
        }
        let mut restored = decoded(&state, small());
        prop_assert_eq!(told(&restored), told(&state));
        prop_assert_eq!(bytes(&restored), bytes(&state));
        for (facts, entries) in &story.frames[cut..] {
            let applied = restored.apply(*facts, entries);
            prop_assert_eq!(applied, state.apply(*facts, entries));
            prop_assert_eq!(restored.digest(), state.digest());
        }
        prop_assert_eq!(told(&restored), told(&story.state));
        prop_assert_eq!(bytes(&restored), bytes(&story.state));
    }

    #[test]
    fn a_damaged_snapshot_is_refused(at in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let mut bytes = bytes(&sample().state);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(snapshot::decode(&bytes).is_err(), "byte {}", at);
    }

    #[test]
    fn random_bytes_are_no_snapshot(bytes in prop::collection::vec(any::<u8>(), 0..200), magic in any::<bool>()) {
        let head: &[u8] = if magic { b"KSSN\0\x01\0\x01" } else { b"" };
        prop_assert!(snapshot::decode(&[head, &bytes].concat()).is_err());
    }
}

/// One of everything that a snapshot holds. Nothing is freed, so that what is dead is in it too.
fn sample() -> World {
    let mut world = World::with_limits(Limits { garbage_per_frame: 0, ..Limits::default() });
    world.frame(&[
        Entry::Cluster(Cluster { cluster_id: 0xabcd }),
        Entry::Sequencer(Sequencer { session: 1 }),
        Entry::BrokerJoined(BrokerJoined {
            session: 1,
            node_id: 3,
            host: "localhost".into(),
            port: 9092,
            rack: Some("a".into()),
            feature_level_known: 1,
        }),
    ]);
    let changes = vec![Change { name: "log.retention.ms".into(), value: Some("5".into()) }];
    world.say(Entry::ConfigSet(ConfigSet { resource: Resource::Brokers, changes: changes.clone() }));
    world.say(Entry::ConfigSet(ConfigSet { resource: Resource::Broker(3), changes }));
    let first = world.topic("events", 7, 2);
    let gone = world.topic("gone", 8, 1);
    let p = producer(world.pids(4), 0);
    world.commit(vec![p], vec![extent(first, vec![run(0, &[2]), plain(1)]), extent(first + 1, vec![run(0, &[1])])]);
    world.commit(vec![p], vec![extent(first, vec![run(2, &[3])]), extent(gone, vec![plain(1)])]);
    let object = ObjectRef::Data { store: 1, session: 1, number: 2_000, section_hash: 0 };
    world.say(Entry::Commit(Commit { object, producers: vec![], extents: vec![extent(first, vec![plain(1)])] }));
    world.say(Entry::RecordsDeleted(RecordsDeleted { starts: vec![(first, 4)] }));
    world.say(Entry::TopicDeleted(TopicDeleted { id: 8 }));
    world
}

#[test]
fn settings_of_groups_and_client_metrics_are_kept() {
    let mut world = sample();
    for kind in [Named::ClientMetrics, Named::Group] {
        let changes = vec![Change { name: "a".into(), value: Some("1".into()) }];
        world.say(Entry::NamedConfigSet(NamedConfigSet { kind, name: "n".into(), changes }));
    }
    let decoded = decoded(&world.state, Limits { garbage_per_frame: 0, ..Limits::default() });
    assert_eq!(told(&decoded), told(&world.state));
    assert_eq!(decoded.named(Named::Group).map(|(name, _)| name).collect::<Vec<_>>(), ["n"]);
}

#[test]
fn a_snapshot_does_not_see_what_is_applied_while_it_is_written() {
    let mut world = sample();
    let expected = bytes(&world.state);
    let mut parts = snapshot::encode(&world.state);
    let mut written: Vec<u8> = parts.next().expect("it has a header").to_vec();
    for part in parts {
        world.commit(vec![], vec![extent(0, vec![plain(1)])]);
        if world.state.position().is_multiple_of(100) {
            world.topic(&format!("t{}", world.state.position()), u128::from(world.state.position()) << 8, 1);
        }
        written.extend_from_slice(&part);
        if world.state.position() > 300 {
            break;
        }
    }
    assert_eq!(written[..], expected[..written.len()]);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = bytes(&sample().state);
    for len in (0..bytes.len()).step_by(7).chain(bytes.len() - 40..bytes.len()) {
        assert_eq!(snapshot::decode(&bytes[..len]).map(drop), Err(SnapshotError::Truncated { len }), "{len}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(snapshot::decode(&longer).map(drop), Err(SnapshotError::Truncated { len: longer.len() }));
}

#[test]
fn what_a_newer_version_wrote_is_refused_by_name() {
    let good = bytes(&sample().state);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        snapshot::decode(&bytes).map(drop)
    };
    let written_with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        let footer = bytes.len() - 28;
        let hash = xxhash_rust::xxh3::xxh3_128(&bytes[..footer]);
        bytes[footer + 8..footer + 24].copy_from_slice(&hash.to_be_bytes());
        snapshot::decode(&bytes).map(drop)
    };
    assert_eq!(written_with(5, 9), Err(SnapshotError::NewerFormat { found: 9 }));
    assert_eq!(written_with(7, 9), Err(SnapshotError::NewerFeatureLevel { found: 9 }));
    for bit in 4 * 8..8 * 8 {
        let (at, flipped) = (bit / 8, 1 << (bit % 8));
        let damaged = with(at, good[at] ^ flipped);
        assert!(matches!(damaged, Err(SnapshotError::Corrupt { .. })), "bit {bit}: {damaged:?}");
    }
    assert_eq!(with(0, b'X'), Err(SnapshotError::NotASnapshot));
    // The head is part 0, its checksum the four bytes behind its body.
    assert_eq!(with(14, good[14] ^ 1), Err(SnapshotError::Corrupt { part: 0, what: "checksum" }));
    let hash = good.len() - 5;
    let footer = 1_024 + 6;
    assert_eq!(with(hash, good[hash] ^ 1), Err(SnapshotError::Corrupt { part: footer, what: "hash" }));
}

/// A persisted format: if this fails, old snapshots can no longer be read. Raise the format version instead.
#[test]
fn golden_bytes() {
    let sample = sample();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let parts: Vec<String> = snapshot::encode(&sample.state).map(|part| hex(&part)).collect();
    assert_eq!(parts[..GOLDEN.len()], GOLDEN);
    let empty = |part: &&String| part.starts_with("070000000400000000");
    assert_eq!((parts.len(), parts.iter().filter(empty).count()), (1 + 6 + 1_024 + 1, 1_024 - 5));
    assert_eq!(parts[parts.len() - 1], GOLDEN_FOOTER);
    assert_eq!(decoded(&sample.state, Limits::default()).digest(), sample.state.digest());
}
/// Header, head, brokers, topics, dead topics, deleted names, producer ids, the first three shards.
const GOLDEN: [&str; 10] = [
    "4b53534e00030001",
    "01000000290bd71d056bb69f8352f094f7788db2b2b880897a01010000000000000000000000000000abcd0102038fd539b2",
    "020000003f010106096c6f63616c686f7374844701016100010001106c6f672e726574656e74696f6e2e6d730135010601106c6f672e726574656e74696f6e2e6d7301357064a3e9",
    "030000001f0000066576656e7473000000000000000000000000000000070400000100027f860e94",
    "04000000040101020128459f0b",
    "050000000b0b010004676f6e6580897a21003015",
    "060000000600040680897a620f87ae",
    "0700000030000100010000040303001c001e904e0304001e00031d680a000100000880897a00050502000203030101010a0101d00f8619dca4",
    "070000001d000100000001000101001c1e0a904e0100000780897a000101010001001c8657c9",
    "070000001100010000010000010100201e0a904e00007396e9dd",
];
const GOLDEN_FOOTER: &str = "0000000000003532bac1ce9816deb29213b90b1f882ff9a84e53534b";

/// As above, for the groups.
#[test]
fn golden_bytes_of_groups() {
    let mut world = World::new();
    let handle = world.topic("t", 1, 1);
    let members = ["a".to_owned(), "b".to_owned()];
    world.say(Entry::GroupSaved(GroupSaved { group: "g".into(), expected: 0, content: classic(3, &members) }));
    let commit = OffsetChange::Commit { offset: 5, leader_epoch: 0, metadata: "m".into(), expires_ms: Some(7_000_000) };
    let offsets = vec![(handle, commit)];
    world.say(Entry::OffsetsSaved(OffsetsSaved { group: "h".into(), by: Committer::Outsider, offsets }));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let parts: Vec<String> = snapshot::encode(&world.state).map(|part| hex(&part)).collect();
    assert_eq!(parts[parts.len() - 4..parts.len() - 1], GOLDEN_GROUPS);
    assert_eq!(told(&decoded(&world.state, Limits::default())), told(&world.state));
}
/// What there is one of, and two slots with a group each.
const GOLDEN_GROUPS: [&str; 3] = [
    "08000000020100a9de5d44",
    "09000000180168000000000000000001000a00016d80897a0180bfd606862b0871",
    "090000005f01670180897a0008636f6e73756d657206010572616e67650101610201610006636c69656e740a2f3132372e302e302e3190bf05c0cf2401610301020301620006636c69656e740a2f3132372e302e302e3190bf05c0cf2401620301020300c757b145",
];

/// As above, for segments, claims, merged objects and what is dead.
#[test]
fn golden_bytes_of_what_becomes_of_data() {
    let world = crate::life::everything();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let empty = |part: &String| part.starts_with("070000000400000000");
    let parts: Vec<String> =
        snapshot::encode(&world.state).map(|part| hex(&part)).filter(|part| !empty(part)).collect();
    assert_eq!(parts[6..parts.len() - 1], GOLDEN_LIFE);
    assert_eq!(told(&decoded(&world.state, Limits::default())), told(&world.state));
}
/// Producer ids, the shards that hold something, graves, dead objects, dead segments.
const GOLDEN_LIFE: [&str; 9] = [
    "0600000001002df17349",
    "070000002b00010002000000070302100014904e02040014000209680a00010064904e0000000703010d02020a0100001bbd6d5e",
    "0700000018000100000200000101000e030a904e000105010afeff0109e6611784",
    "07000000140000000107010aff000101030000000000000009e06f1b9d",
    "070000000700000001080114661ec0b3",
    "0700000007000000010a0114297192be",
    "0b0000000e010001010004676f6e650c80897a0ce5ef2f",
    "0c00000026010b01ff000101010000000000000009030700ff0001010200000000000000090609012011016dd4ac23",
    "0d00000006010001000c00538ce997",
];

/// As above, for how far partitions are clean.
#[test]
fn golden_bytes_of_what_is_clean() {
    let mut world = World::new();
    let first = world.topic("t", 1, 2);
    world.commit(vec![], vec![extent(first, vec![plain(3)]), extent(first + 1, vec![plain(2)])]);
    let to = |partition, to, horizon_ms| CleanedTo { partition, to, horizon_ms };
    let partitions = vec![to(first, 3, Some(1_064)), to(first + 1, 1, None)];
    world.say(Entry::Cleaned(Cleaned { partitions }));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let parts: Vec<String> = snapshot::encode(&world.state).map(|part| hex(&part)).collect();
    assert_eq!(parts[6..8], GOLDEN_CLEAN);
    assert_eq!(told(&decoded(&world.state, Limits::default())), told(&world.state));
}
/// The shards of the two partitions.
const GOLDEN_CLEAN: [&str; 2] = [
    "07000000180001000400000003010008001e904e0380897a01d0100000f4d14a8f",
    "070000001600010004000100020100081e14904e0180897a0000008dac2634",
];

/// What versions 1 and 2 wrote differs by its number alone.
#[test]
fn older_versions_are_read() {
    for version in [1, 2] {
        reads(version);
    }
}

fn reads(version: u8) {
    let mut old = bytes(&sample().state);
    old[5] = version;
    let body = old.len() - 28;
    let hash = xxhash_rust::xxh3::xxh3_128(&old[..body]).to_be_bytes();
    old[body + 8..body + 24].copy_from_slice(&hash);
    let decoded = snapshot::decode_with(&old, Limits { garbage_per_frame: 0, ..Limits::default() });
    assert_eq!(told(&decoded.expect("it can be read")), told(&sample().state));
}
