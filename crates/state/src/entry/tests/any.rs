//! Entries of every kind with any content that they may have.

use std::sync::Arc;

use proptest::{
    collection::{btree_map, btree_set, vec},
    option,
    prelude::*,
};

use super::super::*;
use crate::group::{Classic, ClassicMetadata, Consumer, ConsumerMember, Content, Member, MemberState, Pattern};

/// Any entry.
pub fn any_entry() -> impl Strategy<Value = Entry> {
    let text = "[a-z.]{0,6}";
    let settings = btree_map(text, text, 0..3);
    let resource = prop_oneof![
        any::<u128>().prop_map(Resource::Topic),
        Just(Resource::Brokers),
        any::<i32>().prop_map(Resource::Broker)
    ];
    let change = (text, option::of(text)).prop_map(|(name, value)| Change { name, value });
    prop_oneof![
        any::<u128>().prop_map(|cluster_id| Entry::Cluster(Cluster { cluster_id })),
        any::<u16>().prop_map(|level| Entry::FeatureLevel(FeatureLevel { level })),
        any::<u64>().prop_map(|session| Entry::Sequencer(Sequencer { session })),
        (any::<u64>(), any::<i32>(), text, any::<u16>(), option::of(text), any::<u16>()).prop_map(
            |(session, node_id, host, port, rack, feature_level_known)| Entry::BrokerJoined(BrokerJoined {
                session,
                node_id,
                host,
                port,
                rack,
                feature_level_known
            })
        ),
        any::<u64>().prop_map(|session| Entry::BrokerGone(BrokerGone { session })),
        (text, text, any::<u128>(), any::<u32>(), settings).prop_map(|(namespace, name, id, partitions, settings)| {
            Entry::TopicCreated(TopicCreated { namespace, name, id, partitions, settings })
        }),
        any::<u128>().prop_map(|id| Entry::TopicDeleted(TopicDeleted { id })),
        (any::<u128>(), any::<u32>(), any::<u32>())
            .prop_map(|(id, before, after)| Entry::PartitionsAdded(PartitionsAdded { id, before, after })),
        (resource, vec(change, 0..3)).prop_map(|(resource, changes)| Entry::ConfigSet(ConfigSet { resource, changes })),
        any_commit(),
        vec((any::<u32>(), any::<i64>()), 0..4).prop_map(|starts| Entry::RecordsDeleted(RecordsDeleted { starts })),
        any::<u32>().prop_map(|count| Entry::PidBlock(PidBlock { count })),
        any_group_entry(),
        any_life_entry(),
    ]
}

fn any_commit() -> impl Strategy<Value = Entry> {
    let batch = (any::<u32>(), any::<u32>()).prop_map(|(records, bytes)| BatchBounds { records, bytes });
    let run = (option::of((0..u32::MAX, any::<i32>())), any::<u32>(), any::<u32>(), vec(batch, 0..3)).prop_map(
        |(producer, records, bytes, batches)| Run {
            producer: producer.map(|(producer, _)| producer),
            base_sequence: producer.map_or(-1, |(_, sequence)| sequence),
            records,
            bytes,
            batches,
        },
    );
    let extent = (any::<u32>(), any::<i64>(), vec(run, 0..3)).prop_map(|(partition, max_timestamp, runs)| Extent {
        partition,
        max_timestamp,
        runs,
    });
    let producer = (any::<i64>(), any::<i16>(), any::<bool>()).prop_map(|(id, epoch, transactional)| Producer {
        id,
        epoch,
        transactional,
    });
    let object = option::of((any::<u8>(), any::<u64>(), any::<u64>(), any::<u128>())).prop_map(|data| match data {
        None => ObjectRef::ThisFrame,
        Some((store, session, number, section_hash)) => ObjectRef::Data { store, session, number, section_hash },
    });
    (object, vec(producer, 0..3), vec(extent, 0..4))
        .prop_map(|(object, producers, extents)| Entry::Commit(Commit { object, producers, extents }))
}

fn any_life_entry() -> impl Strategy<Value = Entry> {
    let object = (any::<u8>(), any::<u8>(), any::<u64>(), any::<u64>(), any::<u64>())
        .prop_map(|(store, level, session, number, nonce)| crate::Merged { store, level, session, number, nonce });
    let kept = || option::of(0..u64::MAX);
    let cut = (any::<u32>(), any::<u64>(), kept(), kept()).prop_map(|(partition, settings, age_ms, bytes)| Cut {
        partition,
        settings,
        keep: crate::Keep { age_ms, bytes },
    });
    let extent = (any::<i64>(), any::<u32>(), any::<i64>()).prop_map(|(end, bytes, max_timestamp)| SwapExtent {
        end,
        bytes,
        max_timestamp,
    });
    let swap = (any::<u32>(), any::<i64>(), any::<u64>(), any::<u32>(), vec(extent, 0..3)).prop_map(
        |(partition, first, sources, position, extents)| Swap { partition, first, sources, position, extents },
    );
    let claimed = (any::<u32>(), any::<i64>(), any::<i64>(), any::<i64>(), any::<u8>()).prop_map(
        |(partition, first, end, created_ms, algorithm)| SegmentClaimed {
            partition,
            first,
            end,
            created_ms,
            algorithm,
        },
    );
    let published = (any::<u32>(), any::<u64>(), any::<u32>(), any::<u32>(), any::<u32>(), any::<i64>()).prop_map(
        |(partition, claim, bytes, crc, records, max_timestamp)| SegmentPublished {
            partition,
            claim,
            bytes,
            crc,
            records,
            max_timestamp,
        },
    );
    let cleaned = (any::<u32>(), any::<i64>(), option::of(any::<i64>()))
        .prop_map(|(partition, to, horizon_ms)| CleanedTo { partition, to, horizon_ms });
    let ids = vec(any::<u64>().prop_map(crate::ObjectId), 0..4);
    let deleted = (ids, vec((any::<u32>(), any::<u64>()), 0..3), vec(any::<u32>(), 0..3));
    prop_oneof![
        (any::<i32>(), vec(cut, 0..4)).prop_map(|(node_id, cuts)| Entry::Retained(Retained { node_id, cuts })),
        (object, vec(swap, 0..3)).prop_map(|(object, swaps)| Entry::Merged(Merged { object, swaps })),
        vec(cleaned, 0..3).prop_map(|partitions| Entry::Cleaned(Cleaned { partitions })),
        claimed.prop_map(Entry::SegmentClaimed),
        published.prop_map(Entry::SegmentPublished),
        deleted.prop_map(|(objects, segments, graves)| {
            Entry::ObjectsDeleted(ObjectsDeleted { objects, segments, graves })
        }),
    ]
}

fn any_consumer() -> impl Strategy<Value = Consumer> {
    let text = "[a-z.]{0,6}";
    let partitions = || btree_set(any::<u32>(), 0..4);
    let state = prop_oneof![
        Just(MemberState::Stable),
        Just(MemberState::UnrevokedPartitions),
        Just(MemberState::UnreleasedPartitions)
    ];
    let protocols = vec((text, vec(any::<u8>(), 0..4)), 0..3);
    let classic = (any::<i32>(), protocols)
        .prop_map(|(session_timeout_ms, protocols)| ClassicMetadata { session_timeout_ms, protocols });
    let classic = option::weighted(0.2, classic);
    let said = (text, option::of(text), option::of(text), vec(text, 0..3), option::of(text), any::<i32>(), classic);
    let reached = (any::<i32>(), any::<i32>(), state, partitions(), partitions(), partitions());
    let member = (said, reached).prop_map(
        |(
            (id, instance_id, rack_id, topics, pattern, rebalance_timeout_ms, classic),
            (epoch, previous_epoch, state, a, b, c),
        )| {
            let (assignor, client_id, client_host) = (pattern.clone(), id.clone(), id.clone());
            let (target, assigned, revoking) = (a, b, c);
            Arc::new(ConsumerMember {
                id,
                instance_id,
                rack_id,
                client_id,
                client_host,
                rebalance_timeout_ms,
                topics,
                pattern,
                assignor,
                epoch,
                previous_epoch,
                state,
                target,
                assigned,
                revoking,
                classic,
            })
        },
    );
    let pattern = (text, vec(text, 0..3)).prop_map(|(source, topics)| Pattern { source, topics });
    let topics = vec((any::<u128>(), any::<u32>()), 0..3);
    (any::<i32>(), any::<i32>(), topics, vec(pattern, 0..2), vec(member, 0..3)).prop_map(
        |(epoch, assignment_epoch, topics, patterns, members)| Consumer {
            epoch,
            assignment_epoch,
            topics,
            patterns,
            members,
        },
    )
}

fn any_group_entry() -> impl Strategy<Value = Entry> {
    let text = "[a-z.]{0,6}";
    let bytes = || vec(any::<u8>(), 0..4);
    let member = (text, option::of(text), text, text, any::<i32>(), any::<i32>(), bytes(), bytes()).prop_map(
        |(id, instance_id, client_id, client_host, session_timeout_ms, rebalance_timeout_ms, metadata, assignment)| {
            Member {
                id,
                instance_id,
                client_id,
                client_host,
                session_timeout_ms,
                rebalance_timeout_ms,
                metadata,
                assignment,
            }
        },
    );
    let classic = (text, any::<i32>(), option::of(text), option::of(text), vec(member, 0..3)).prop_map(
        |(protocol_type, generation, protocol, leader, members)| {
            Content::Classic(Classic { protocol_type, generation, protocol, leader, members })
        },
    );
    let content = prop_oneof![classic, any_consumer().prop_map(Content::Consumer)];
    let expected = any::<u64>();
    let by = prop_oneof![
        (text, any::<i32>()).prop_map(|(id, epoch)| Committer::Member { id, epoch }),
        Just(Committer::Outsider),
        Just(Committer::Operator)
    ];
    let change = prop_oneof![
        (any::<i64>(), any::<i32>(), text, option::of(any::<i64>())).prop_map(
            |(offset, leader_epoch, metadata, expires_ms)| OffsetChange::Commit {
                offset,
                leader_epoch,
                metadata,
                expires_ms
            }
        ),
        Just(OffsetChange::Delete),
        any::<i64>().prop_map(|since_ms| OffsetChange::Expire { since_ms }),
    ];
    prop_oneof![
        (text, expected, content).prop_map(|(group, expected, content)| Entry::GroupSaved(GroupSaved {
            group,
            expected,
            content
        })),
        (text, by, vec((any::<u32>(), change), 0..4))
            .prop_map(|(group, by, offsets)| Entry::OffsetsSaved(OffsetsSaved { group, by, offsets })),
        (text, any::<bool>()).prop_map(|(group, unless_used)| Entry::GroupDeleted(GroupDeleted { group, unless_used })),
    ]
}
