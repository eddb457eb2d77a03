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
    Tick(i64),
    /// A session takes over; the predecessor then writes a frame that must be void.
    Succeed,
    Nothing,
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

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => (0..TOPICS).prop_map(Op::Toggle),
        30 => vec(write(), 1..6).prop_map(Op::Commit),
        2 => (0..TOPICS, 0..PARTITIONS, -1..12i64)
            .prop_map(|(topic, partition, left)| Op::DeleteRecords { topic, partition, left }),
        1 => prop_oneof![Just(1_000i64), Just(50_000_000), Just(90_000_000)].prop_map(Op::Tick),
        1 => Just(Op::Succeed),
        1 => Just(Op::Nothing),
    ]
}

/// A story of up to `len` frames. All topics exist at its start.
pub fn story(len: usize) -> impl Strategy<Value = Vec<Op>> {
    vec(op(), 1..len).prop_map(|mut ops| {
        ops.splice(0..0, (0..TOPICS).map(Op::Toggle));
        ops
    })
}
