//! Random stories: what clients, operators and time do to a log, as a proptest strategy.

use proptest::collection::vec;
use proptest::prelude::*;

/// Topics that stories create and delete, and the partitions of each.
pub const TOPICS: usize = 3;
pub const PARTITIONS: u32 = 2;
/// Producers; the first two have ids so old that they may start anywhere.
pub const PRODUCERS: usize = 4;

/// One frame.
#[derive(Debug, Clone)]
pub enum Op {
    /// Creates the topic if it is absent, else deletes it.
    Toggle(usize),
    Commit(Vec<Write>),
    /// Moves the log start to this many records before the end.
    DeleteRecords {
        topic: usize,
        partition: u32,
        left: i64,
    },
    /// Retention cuts the partition by age and by bytes; or by somebody who has read other settings.
    Retain {
        topic: usize,
        partition: u32,
        age_ms: Option<u64>,
        bytes: Option<u64>,
        stale: bool,
    },
    Tick(i64),
    /// A session takes over; the predecessor then writes a frame that must be void.
    Succeed,
    Nothing,
    Group(GroupOp),
    Life(LifeOp),
}

/// What becomes of a partition's data.
#[derive(Debug, Clone)]
pub enum LifeOp {
    /// Some tiles of a partition, counted from the first that is readable, move into a merged object as so many extents;
    /// twice, or by somebody who has read something else.
    Merge { topic: usize, partition: u32, from: usize, count: usize, split: usize, stale: bool },
    /// So many extents are claimed for a segment.
    Claim { topic: usize, partition: u32, count: usize },
    /// What was claimed is published, twice.
    Publish { topic: usize, partition: u32 },
    /// Everything that is dead is gone.
    Delete,
}

fn life_op() -> impl Strategy<Value = LifeOp> {
    let topic = || prop_oneof![5 => Just(0), 1 => 0..TOPICS];
    let partition = || prop_oneof![5 => Just(0), 1 => 0..PARTITIONS];
    let stale = prop_oneof![5 => Just(false), 1 => Just(true)];
    prop_oneof![
        6 => (topic(), partition(), 0..6usize, 1..6usize, 1..3usize, stale).prop_map(
            |(topic, partition, from, count, split, stale)| LifeOp::Merge { topic, partition, from, count, split, stale }
        ),
        3 => (topic(), partition(), 1..5usize)
            .prop_map(|(topic, partition, count)| LifeOp::Claim { topic, partition, count }),
        3 => (topic(), partition()).prop_map(|(topic, partition)| LifeOp::Publish { topic, partition }),
        2 => Just(LifeOp::Delete),
    ]
}

/// One run.
#[derive(Debug, Clone)]
pub struct Write {
    pub topic: usize,
    pub partition: u32,
    /// None for a batch without a producer.
    pub producer: Option<usize>,
    /// How its epoch differs from the newest that this producer used.
    pub epoch: i16,
    /// Where it starts relative to the sequence that the model expects; none to start at 0.
    pub start: Option<i32>,
    /// Records of each batch.
    pub batches: Vec<u32>,
    /// Whether the bounds of the batches are told.
    pub bounds: bool,
}

fn write() -> impl Strategy<Value = Write> {
    // Most writes meet in few places, so that windows fill and slide.
    let topic = prop_oneof![5 => Just(0), 1 => 0..TOPICS];
    let partition = prop_oneof![5 => Just(0), 1 => 0..PARTITIONS];
    let producer =
        prop_oneof![2 => Just(None), 2 => Just(Some(0)), 4 => Just(Some(2)), 2 => (0..PRODUCERS).prop_map(Some)];
    let epoch = prop_oneof![40 => Just(0i16), 1 => Just(1), 1 => Just(-1)];
    let start = prop_oneof![6 => Just(Some(0)), 4 => (-30..5i32).prop_map(Some), 1 => Just(None)];
    (topic, partition, producer, epoch, start, vec(1..4u32, 1..4), any::<bool>()).prop_map(
        |(topic, partition, producer, epoch, start, batches, bounds)| Write {
            topic,
            partition,
            producer,
            epoch,
            start,
            batches,
            bounds,
        },
    )
}

/// What becomes of a group.
#[derive(Debug, Clone)]
pub enum GroupOp {
    /// A rebalance ends with these members; by a coordinator that knows the group or not.
    Save {
        group: usize,
        members: Vec<u8>,
        stale: bool,
    },
    /// Offsets are committed: by which member (none for an outsider), in a generation this far from the group's.
    Commit {
        group: usize,
        member: Option<u8>,
        behind: i32,
        places: Vec<(usize, u32, i64)>,
    },
    /// An operator deletes offsets.
    Forget {
        group: usize,
        places: Vec<(usize, u32)>,
    },
    /// What is older than this expires.
    Expire {
        group: usize,
        age_ms: i64,
    },
    Delete {
        group: usize,
        unless_used: bool,
    },
}

/// Groups that stories play with.
pub const GROUPS: usize = 3;

fn group_op() -> impl Strategy<Value = GroupOp> {
    let stale = prop_oneof![6 => Just(false), 1 => Just(true)];
    let behind = prop_oneof![5 => Just(0), 1 => Just(1), 1 => Just(-1)];
    let members = prop_oneof![1 => Just(Vec::new()), 3 => vec(0..4u8, 0..4)];
    let place = || (0..TOPICS, 0..PARTITIONS);
    let offset = || (0..TOPICS, 0..PARTITIONS, 0..5i64);
    let age_ms = prop_oneof![Just(0i64), Just(1_000), Just(60_000_000)];
    prop_oneof![
        3 => (0..GROUPS, members, stale).prop_map(|(group, members, stale)| GroupOp::Save { group, members, stale }),
        6 => (0..GROUPS, prop::option::of(0..4u8), behind, vec(offset(), 0..4))
            .prop_map(|(group, member, behind, places)| GroupOp::Commit { group, member, behind, places }),
        1 => (0..GROUPS, vec(place(), 0..3)).prop_map(|(group, places)| GroupOp::Forget { group, places }),
        2 => (0..GROUPS, age_ms).prop_map(|(group, age_ms)| GroupOp::Expire { group, age_ms }),
        1 => (0..GROUPS, any::<bool>()).prop_map(|(group, unless_used)| GroupOp::Delete { group, unless_used }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let kept_ms = prop_oneof![Just(0u64), Just(999), Just(1_000), Just(60_000_000)];
    prop_oneof![
        1 => (0..TOPICS).prop_map(Op::Toggle),
        30 => vec(write(), 1..6).prop_map(Op::Commit),
        2 => (0..TOPICS, 0..PARTITIONS, -1..12i64)
            .prop_map(|(topic, partition, left)| Op::DeleteRecords { topic, partition, left }),
        3 => (0..TOPICS, 0..PARTITIONS, prop::option::of(kept_ms), prop::option::of(0..200u64), any::<bool>()).prop_map(
            |(topic, partition, age_ms, bytes, stale)| Op::Retain { topic, partition, age_ms, bytes, stale }
        ),
        1 => prop_oneof![Just(1_000i64), Just(50_000_000), Just(90_000_000)].prop_map(Op::Tick),
        1 => Just(Op::Succeed),
        1 => Just(Op::Nothing),
        12 => group_op().prop_map(Op::Group),
        12 => life_op().prop_map(Op::Life),
    ]
}

/// A story of up to `len` frames. All topics exist at its start.
pub fn story(len: usize) -> impl Strategy<Value = Vec<Op>> {
    vec(op(), 1..len).prop_map(|mut ops| {
        ops.splice(0..0, (0..TOPICS).map(Op::Toggle));
        ops
    })
}
