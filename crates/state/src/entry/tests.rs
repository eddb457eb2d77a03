//! Golden bytes of every entry, and what happens to bytes that are none.
//!
//! The hex below is a persisted format: if a test here fails, old logs can no longer be read. Add a version instead.

mod any;

use std::sync::Arc;

use proptest::{collection::vec, prelude::*};

use self::any::any_entry;
use super::*;
use crate::group::{
    Classic, ClassicMetadata, Consumer, ConsumerMember, Content, Member, MemberState, Partitions, Pattern,
};
use crate::topic::Named;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn golden(entry: Entry, expected: &str) {
    let bytes = encode(std::slice::from_ref(&entry));
    assert_eq!(hex(&bytes), expected);
    assert_eq!(decode(&bytes), Ok(vec![entry]));
}

#[test]
fn cluster() {
    let cluster_id = 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10;
    golden(Entry::Cluster(Cluster { cluster_id }), "0101100102030405060708090a0b0c0d0e0f10");
}

#[test]
fn feature_level() {
    golden(Entry::FeatureLevel(FeatureLevel { level: 300 }), "020102ac02");
}

#[test]
fn sequencer() {
    golden(Entry::Sequencer(Sequencer { session: 5 }), "03010105");
}

#[test]
fn broker_joined() {
    let joined = BrokerJoined {
        session: 5,
        node_id: 1,
        host: "localhost".into(),
        port: 9092,
        rack: Some("a".into()),
        feature_level_known: 1,
    };
    golden(Entry::BrokerJoined(joined), "0501120502096c6f63616c686f7374844701016101");
}

#[test]
fn broker_gone() {
    golden(Entry::BrokerGone(BrokerGone { session: 128 }), "0601028001");
}

#[test]
fn topic_created() {
    let created = TopicCreated {
        namespace: String::new(),
        name: "orders".into(),
        id: 7,
        partitions: 3,
        settings: [("retention.ms".to_owned(), "1".to_owned())].into(),
    };
    golden(
        Entry::TopicCreated(created),
        "10012900066f72646572730000000000000000000000000000000703010c726574656e74696f6e2e6d730131",
    );
}

#[test]
fn topic_deleted() {
    golden(Entry::TopicDeleted(TopicDeleted { id: 7 }), "11011000000000000000000000000000000007");
}

#[test]
fn partitions_added() {
    golden(
        Entry::PartitionsAdded(PartitionsAdded { id: 7, before: 3, after: 200 }),
        "1201130000000000000000000000000000000703c801",
    );
}

#[test]
fn config_set() {
    let changes = vec![Change { name: "a".into(), value: Some("b".into()) }, Change { name: "c".into(), value: None }];
    golden(
        Entry::ConfigSet(ConfigSet { resource: Resource::Topic(7), changes: changes.clone() }),
        "13011a0000000000000000000000000000000007020161010162016300",
    );
    golden(Entry::ConfigSet(ConfigSet { resource: Resource::Brokers, changes }), "13010a01020161010162016300");
    golden(Entry::ConfigSet(ConfigSet { resource: Resource::Broker(1), changes: vec![] }), "130103020200");
}

#[test]
fn named_config_set() {
    let changes = vec![Change { name: "a".into(), value: Some("b".into()) }];
    let entry = |kind, changes| Entry::NamedConfigSet(NamedConfigSet { kind, name: "n".into(), changes });
    golden(entry(Named::Group, changes), "14010900016e010161010162");
    golden(entry(Named::ClientMetrics, vec![]), "14010401016e00");
}

fn runs() -> Vec<Extent> {
    let batches = vec![BatchBounds { records: 2, bytes: 130 }, BatchBounds { records: 1, bytes: 70 }];
    let retry = Run { producer: Some(0), base_sequence: 9, records: 3, bytes: 200, batches };
    let plain = Run { producer: None, base_sequence: -1, records: 1, bytes: 70, batches: vec![] };
    vec![
        Extent { partition: 2_048, max_timestamp: 1_700_000_000_000, runs: vec![retry] },
        Extent { partition: 3_072, max_timestamp: 1_700_000_000_001, runs: vec![plain.clone()] },
        Extent { partition: 1, max_timestamp: -1, runs: vec![plain] },
    ]
}

#[test]
fn commit() {
    let producers = vec![
        Producer { id: 1_000, epoch: 0, transactional: false },
        Producer { id: 999, epoch: 2, transactional: true },
    ];
    golden(
        Entry::Commit(Commit { object: ObjectRef::ThisFrame, producers, extents: runs() }),
        "2001310002d00f0000010401030880a0abfef96201011203c80102028201014604020100014600060083a0abfef9620100014600",
    );
    let object = ObjectRef::Data { store: 1, session: 5, number: 300, section_hash: 7 };
    golden(
        Entry::Commit(Commit { object, producers: vec![], extents: vec![] }),
        "200117010105ac02000000000000000000000000000000070000",
    );
}

#[test]
fn group_saved() {
    let member = Member {
        id: "m-1".into(),
        instance_id: Some("i".into()),
        client_id: "c".into(),
        client_host: "/::1".into(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: -1,
        metadata: vec![1, 2],
        assignment: vec![3],
    };
    let content = Content::Classic(Classic {
        protocol_type: "consumer".into(),
        generation: 5,
        protocol: Some("range".into()),
        leader: Some("m-1".into()),
        members: vec![member],
    });
    golden(
        Entry::GroupSaved(GroupSaved { group: "g".into(), expected: 300, content }),
        "4001330167ac020008636f6e73756d65720a010572616e676501036d2d3101036d2d310101690163042f3a3a3190bf05010201020103",
    );
    golden(
        Entry::GroupSaved(GroupSaved { group: "g".into(), expected: 0, content: Content::default() }),
        "400109016700000000000000",
    );
}

#[test]
fn consumer_group_saved() {
    let member = ConsumerMember {
        id: "m-1".into(),
        instance_id: Some("i".into()),
        rack_id: None,
        client_id: "c".into(),
        client_host: "/::1".into(),
        rebalance_timeout_ms: 64,
        topics: vec!["t".into(), "u".into()],
        pattern: Some("v.*".into()),
        assignor: None,
        epoch: 3,
        previous_epoch: 2,
        state: MemberState::UnreleasedPartitions,
        target: Partitions::from([1, 2, 300]),
        assigned: Partitions::from([0, 1]),
        revoking: Partitions::new(),
        classic: None,
    };
    let group = |members| Consumer {
        epoch: 5,
        assignment_epoch: 4,
        topics: vec![(7, 300)],
        patterns: vec![Pattern { source: "v.*".into(), topics: vec!["v1".into()] }],
        members,
    };
    let mixed = |members| {
        let content = Content::Consumer(Consumer { topics: vec![], patterns: vec![], ..group(members) });
        Entry::GroupSaved(GroupSaved { group: "g".into(), expected: 300, content })
    };
    let protocols = vec![("range".into(), vec![0, 1]), ("sticky".into(), vec![])];
    let classic = Some(ClassicMetadata { session_timeout_ms: 64, protocols });
    let plain = ConsumerMember { id: "n".into(), ..ConsumerMember::default() };
    let classic = ConsumerMember { id: "m".into(), classic, ..ConsumerMember::default() };
    golden(
        mixed(vec![Arc::new(classic), Arc::new(plain)]),
        "4002400167ac02020a08000002016d0000000000000000000000000000018001020572616e676502000106737469636b7900016e00000000\
         0000000000000000000000",
    );
    let content = Content::Consumer(group(vec![Arc::new(member)]));
    golden(
        Entry::GroupSaved(GroupSaved { group: "g".into(), expected: 300, content }),
        "40014c0167ac02010a080100000000000000000000000000000007ac020103762e2a0102763101036d2d31010169000163042f3a3a31\
         800102017401750103762e2a00060402030101aa0202000100",
    );
}

#[test]
fn offsets_saved() {
    let commit = |expires_ms| OffsetChange::Commit { offset: 64, leader_epoch: -1, metadata: "m".into(), expires_ms };
    let offsets = vec![
        (1, commit(None)),
        (300, commit(Some(9))),
        (2, OffsetChange::Delete),
        (3, OffsetChange::Expire { since_ms: 1 }),
    ];
    let by = Committer::Member { id: "m-1".into(), epoch: 5 };
    golden(
        Entry::OffsetsSaved(OffsetsSaved { group: "g".into(), by, offsets }),
        "410120016700036d2d310a040100800101016d00ac0200800101016d01120201030202",
    );
    for by in [Committer::Outsider, Committer::Operator] {
        let expected = if by == Committer::Outsider { "41010401670100" } else { "41010401670200" };
        golden(Entry::OffsetsSaved(OffsetsSaved { group: "g".into(), by, offsets: vec![] }), expected);
    }
}

#[test]
fn group_deleted() {
    golden(Entry::GroupDeleted(GroupDeleted { group: "g".into(), unless_used: true }), "420103016701");
}

#[test]
fn records_deleted() {
    golden(Entry::RecordsDeleted(RecordsDeleted { starts: vec![(0, -1), (300, 64)] }), "210107020001ac028001");
}

#[test]
fn retained() {
    let keep = |age_ms, bytes| crate::Keep { age_ms, bytes };
    let cut = |partition, settings, keep| Cut { partition, settings, keep };
    let cuts = vec![cut(300, 5, keep(Some(1_000), None)), cut(0, 64, keep(None, Some(0)))];
    golden(Entry::Retained(Retained { node_id: 1, cuts }), "22010c0202ac0205e9070000400001");
}

fn merged_object() -> crate::Merged {
    crate::Merged { store: 1, level: 2, session: 300, number: 4, nonce: 0x0102_0304_0506_0708 }
}

#[test]
fn merged() {
    let extent = |end, bytes, max_timestamp| SwapExtent { end, bytes, max_timestamp };
    let swap = |partition, first, position, extents| Swap { partition, first, sources: 5, position, extents };
    let swaps = vec![
        swap(7, 64, 32, vec![extent(70, 100, 1_000), extent(80, 200, 999)]),
        swap(1_031, 0, 332, vec![extent(1, 70, -1)]),
    ];
    golden(
        Entry::Merged(Merged { object: merged_object(), swaps }),
        "5001340102ac02040102030405060708020e8001000000000000000540020c64d00f14c8010180100000000000000000050001024\
         6cf0f",
    );
}

#[test]
fn segment_claimed() {
    let claimed = SegmentClaimed { partition: 300, first: 64, end: 96, created_ms: -1, algorithm: 1 };
    golden(Entry::SegmentClaimed(claimed), "510107ac028001400101");
}

#[test]
fn segment_published() {
    let published =
        SegmentPublished { partition: 300, claim: 9, bytes: 128, crc: 0x0a0b_0c0d, records: 2, max_timestamp: 1 };
    golden(Entry::SegmentPublished(published), "52010bac020980010a0b0c0d0202");
}

#[test]
fn objects_deleted() {
    let objects = vec![crate::ObjectId(6), crate::ObjectId(9)];
    let deleted = ObjectsDeleted { objects, segments: vec![(300, 64)], graves: vec![2] };
    golden(Entry::ObjectsDeleted(deleted), "530109020c0601ac02400102");
}

#[test]
fn cleaned() {
    let to = |partition, to, horizon_ms| CleanedTo { partition, to, horizon_ms };
    let partitions = vec![to(300, 64, Some(-1)), to(1, 0, None)];
    golden(Entry::Cleaned(Cleaned { partitions }), "54010a02ac0280010101010000");
}

#[test]
fn pid_block() {
    golden(Entry::PidBlock(PidBlock { count: 1_000 }), "300102e807");
}

#[test]
fn kinds_keep_their_numbers() {
    use Kind::*;
    let kinds = [
        (Cluster, 1),
        (FeatureLevel, 2),
        (Sequencer, 3),
        (Recovered, 4),
        (BrokerJoined, 5),
        (BrokerGone, 6),
        (TopicCreated, 16),
        (TopicDeleted, 17),
        (PartitionsAdded, 18),
        (ConfigSet, 19),
        (Commit, 32),
        (RecordsDeleted, 33),
        (Retained, 34),
        (PidBlock, 48),
        (TxnInit, 49),
        (TxnPartitions, 50),
        (TxnOffsets, 51),
        (TxnEnd, 52),
        (TxnTimeout, 53),
        (GroupSaved, 64),
        (OffsetsSaved, 65),
        (GroupDeleted, 66),
        (Merged, 80),
        (SegmentClaimed, 81),
        (SegmentPublished, 82),
        (ObjectsDeleted, 83),
        (Cleaned, 84),
        (AclSet, 96),
        (ScramSet, 97),
        (QuotaSet, 98),
    ];
    for (kind, number) in kinds {
        assert_eq!(kind as u8, number);
    }
}

#[test]
fn reserved_and_unknown_kinds_and_versions_are_refused() {
    let good = encode(&[Entry::PidBlock(PidBlock { count: 1 })]);
    for kind in [0, Kind::Recovered as u8, Kind::TxnEnd as u8, 255] {
        let bytes = [&good[..], &[kind, 1, 0]].concat();
        assert_eq!(decode(&bytes), Err(DecodeError::UnknownKind { index: 1, kind }));
    }
    let newer = DecodeError::UnknownVersion { index: 0, kind: 48, version: 2 };
    assert_eq!(decode(&[48, 2, 1, 1]), Err(newer));
}

#[test]
fn damaged_bodies_are_refused_by_part() {
    let malformed = |what| Err(DecodeError::Malformed { index: 0, what });
    assert_eq!(decode(&[48]), malformed("version"));
    assert_eq!(decode(&[48, 1, 5, 1]), malformed("length"));
    assert_eq!(decode(&[48, 1, 2, 1, 1]), malformed("end of the body"));
    assert_eq!(decode(&[48, 1, 0]), malformed("count"));
    // A count of extents that the bytes cannot hold.
    assert_eq!(decode(&[32, 1, 7, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]), malformed("extents"));
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(entries in vec(any_entry(), 0..4)) {
        prop_assert_eq!(decode(&encode(&entries)), Ok(entries));
    }

    #[test]
    fn what_can_be_decoded_has_no_other_bytes(entries in vec(any_entry(), 1..3), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = encode(&entries).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(entries) = decode(&bytes) {
            prop_assert_eq!(hex(&encode(&entries)), hex(&bytes));
        }
    }

    #[test]
    fn random_bytes_are_read_without_harm(kind in 0..100u8, body in vec(any::<u8>(), 0..100)) {
        let bytes = [&[kind, 1, body.len() as u8][..], &body].concat();
        if let Ok(entries) = decode(&bytes) {
            prop_assert_eq!(hex(&encode(&entries)), hex(&bytes));
        }
    }
}
