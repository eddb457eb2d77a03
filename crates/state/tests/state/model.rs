//! The model: partitions and producers in plain maps, written from the rule and not from the code.
//!
//! It remembers every sequence that was ever accepted with its offset, and the windows as lists of sequences, so that no
//! arithmetic is shared with what it judges.

use std::collections::BTreeMap;

use kafscale_state::entry::{
    self, Commit, Cut, Entry, Extent, ObjectRef, RecordsDeleted, Retained, Run, Sequencer, TopicDeleted,
};
use kafscale_state::producer::{Piece, WINDOW_RUNS};
use kafscale_state::verdict::{CutRefused, RunRefused, RunVerdict, Verdict};
use kafscale_state::{Applied, FrameFacts, Handle, Keep, Limits, PartitionView, Place, Position, State, invariants};
use proptest::prelude::*;

use crate::common::{producer, topic};
use crate::group_model::{Groups, Place as Offset};
use crate::ops::{GroupOp, Op, PARTITIONS, PRODUCERS, TOPICS, Write, story};

const DAY_MS: i64 = 86_400_000;
/// Where payloads begin in their objects.
const PAYLOAD_AT: u32 = 100;

#[derive(Default)]
pub struct Partition {
    pub start: i64,
    pub end: i64,
    producers: BTreeMap<usize, Producer>,
    /// Where everything lies that was ever written, in order.
    pub tiles: Vec<Tile>,
    /// Position, first and end offset of the claim.
    pub claim: Option<(Position, i64, i64)>,
}

/// Where adjacent records lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    pub base: i64,
    pub end: i64,
    pub place: Place,
    pub position: u32,
    pub len: u32,
    /// The newest timestamp.
    pub time_ms: i64,
}

struct Producer {
    epoch: i16,
    next: i32,
    last_time_ms: i64,
    offsets: BTreeMap<i32, i64>,
    /// The sequences of the last runs.
    window: Vec<Vec<i32>>,
}

pub struct Topic {
    id: u128,
    pub first: Handle,
    replaced_at: Option<Position>,
    pub partitions: Vec<Partition>,
}

/// A state, its model, and the frames so far.
pub struct Story {
    pub state: State,
    pub frames: Vec<(FrameFacts, Vec<u8>)>,
    session: u64,
    pub now_ms: i64,
    next_id: u128,
    pub topics: Vec<Option<Topic>>,
    deleted_at: Vec<Option<Position>>,
    epochs: Vec<i16>,
    /// Where and when each producer's id was given.
    given: Vec<(i64, Position, i64)>,
    groups: Groups,
}

fn sequence(start: i32, index: u32) -> i32 {
    ((i64::from(start) + i64::from(index)).rem_euclid(1 << 31)) as i32
}

impl Story {
    pub fn new(limits: Limits) -> Self {
        let mut story = Self {
            state: State::with_limits(limits),
            frames: Vec::new(),
            session: 1,
            now_ms: 1_000,
            next_id: 1,
            topics: (0..TOPICS).map(|_| None).collect(),
            deleted_at: vec![None; TOPICS],
            epochs: vec![0; PRODUCERS],
            given: Vec::new(),
            groups: Groups::default(),
        };
        for index in 0..PRODUCERS {
            let verdict = story.frame(&[Entry::PidBlock(entry::PidBlock { count: 1 })]).verdicts.remove(0);
            let Verdict::PidBlock { first } = verdict else { panic!("{verdict:?}") };
            story.given.push((first, story.state.position(), story.now_ms));
            if index == 1 {
                story.now_ms += DAY_MS + 1;
            }
        }
        story
    }

    pub fn frame(&mut self, entries: &[Entry]) -> Applied {
        self.bytes_as(self.session, &entry::encode(entries))
    }

    fn bytes_as(&mut self, session: u64, bytes: &[u8]) -> Applied {
        let position = self.state.position() + 1;
        let facts = FrameFacts { position, session, cluster_time_ms: self.now_ms, payload_at: PAYLOAD_AT };
        self.frames.push((facts, bytes.to_vec()));
        let applied = self.state.apply(facts, bytes).expect("a story can be applied");
        invariants::check(&self.state).unwrap_or_else(|broken| panic!("{broken}"));
        applied
    }

    pub fn play(&mut self, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Toggle(index) => self.toggle(*index),
                Op::Commit(writes) => self.commit(writes),
                Op::DeleteRecords { topic, partition, left } => self.delete_records(*topic, *partition, *left),
                Op::Retain { topic, partition, age_ms, bytes, stale } => {
                    self.retain((*topic, *partition), Keep { age_ms: *age_ms, bytes: *bytes }, *stale);
                }
                Op::Tick(ms) => self.now_ms += ms,
                Op::Succeed => self.succeed(),
                Op::Nothing => drop(self.frame(&[])),
                Op::Group(op) => self.group(op),
                Op::Life(op) => self.life(op),
            }
            self.compare();
        }
    }

    fn toggle(&mut self, index: usize) {
        let position = self.state.position() + 1;
        if let Some(topic) = self.topics[index].take() {
            self.deleted_at[index] = Some(position);
            self.groups.topic_gone(topic.first, PARTITIONS);
            let deleted = self.frame(&[Entry::TopicDeleted(TopicDeleted { id: topic.id })]);
            assert_eq!(deleted.verdicts, [Verdict::Done]);
            assert!(self.state.partition(topic.first).is_none());
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        let verdict = self.frame(&[topic(&format!("topic-{index}"), id, PARTITIONS)]).verdicts.remove(0);
        let Verdict::TopicCreated { handles } = verdict else { panic!("{verdict:?}") };
        let partitions = (0..PARTITIONS).map(|_| Partition::default()).collect();
        let topic = Topic { id, first: handles.first, replaced_at: self.deleted_at[index], partitions };
        self.topics[index] = Some(topic);
    }

    fn group(&mut self, op: &GroupOp) {
        let handle = |topic: usize, partition: u32| self.topics[topic].as_ref().map(|topic| topic.first + partition);
        let place = |(topic, partition): (usize, u32)| match handle(topic, partition) {
            Some(handle) => Offset { handle, exists: true },
            None => Offset { handle: u32::MAX - topic as u32, exists: false },
        };
        let (entry, expected) = self.groups.judge(op, self.now_ms, place);
        assert_eq!(self.frame(&[entry]).verdicts, [expected], "{op:?}");
    }

    fn succeed(&mut self) {
        let before = self.session;
        self.session += 1;
        let session = self.session;
        assert_eq!(self.frame(&[Entry::Sequencer(Sequencer { session })]).verdicts, [Verdict::Done]);
        let void = self.bytes_as(before, b"not even entries");
        assert_eq!(void, Applied { void: true, ..Applied::default() });
    }

    fn delete_records(&mut self, topic: usize, partition: u32, left: i64) {
        let Some(topic) = &mut self.topics[topic] else { return };
        let handle = topic.first + partition;
        let model = &mut topic.partitions[partition as usize];
        let start = if left < 0 { -1 } else { (model.end - left).max(0) };
        model.start = model.start.max(if left < 0 { model.end } else { start });
        let expected = Verdict::RecordsDeleted(vec![Ok(model.start)]);
        let entry = Entry::RecordsDeleted(RecordsDeleted { starts: vec![(handle, start)] });
        assert_eq!(self.frame(&[entry]).verdicts, [expected]);
    }

    fn retain(&mut self, (topic, index): (usize, u32), keep: Keep, stale: bool) {
        let (node_id, now_ms) = (7, self.now_ms);
        let Some(topic) = &mut self.topics[topic] else { return };
        let settings = self.state.topic_by_id(topic.id).map(|topic| self.state.settings_hash(topic, node_id));
        let settings = settings.expect("it exists") ^ u64::from(stale);
        let cut = Cut { partition: topic.first + index, settings, keep };
        let model = &mut topic.partitions[index as usize];
        let readable: Vec<Tile> = model.tiles.iter().filter(|tile| tile.end > model.start).copied().collect();
        for (at, tile) in readable.iter().enumerate().filter(|_| !stale) {
            let left: u64 = readable[at + 1..].iter().map(|tile| u64::from(tile.len)).sum();
            let is_too_much = keep.bytes.is_some_and(|bytes| left >= bytes);
            if !is_too_much && keep.age_ms.is_none_or(|age_ms| now_ms - tile.time_ms <= age_ms as i64) {
                break;
            }
            model.start = tile.end;
        }
        let expected = if stale { Err(CutRefused::SettingsChanged) } else { Ok(model.start) };
        let entry = Entry::Retained(Retained { node_id, cuts: vec![cut] });
        assert_eq!(self.frame(&[entry]).verdicts, [Verdict::Retained(vec![expected])], "{cut:?}");
    }

    fn commit(&mut self, writes: &[Write]) {
        let position = self.state.position() + 1;
        let (mut producers, mut extents, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        let mut at = PAYLOAD_AT;
        for write in writes {
            let records = write.batches.iter().sum();
            let newest = write.producer.map_or(0, |index| self.epochs[index]);
            let epoch = newest + write.epoch;
            let base = self.base_sequence(write);
            let bytes = records * 7;
            let bounds = |&records: &u32| entry::BatchBounds { records, bytes: records * 7 };
            let batches = if write.bounds { write.batches.iter().map(bounds).collect() } else { Vec::new() };
            let index = write.producer.map(|index| {
                producers.push(producer(self.given[index].0, epoch));
                producers.len() as u32 - 1
            });
            let base_sequence = if index.is_some() { base } else { -1 };
            let run = Run { producer: index, base_sequence, records, bytes, batches };
            let partition = self.topics[write.topic].as_ref().map_or(u32::MAX, |topic| topic.first + write.partition);
            extents.push(Extent { partition, max_timestamp: self.now_ms, runs: vec![run] });
            expected.push(self.judge(write, epoch, base, records, (position, at, self.now_ms)));
            at += bytes;
        }
        let entry = Entry::Commit(Commit { object: ObjectRef::ThisFrame, producers, extents });
        let verdict = self.frame(&[entry]).verdicts.remove(0);
        let Verdict::Commit(verdict) = verdict else { panic!("{verdict:?}") };
        let got: Vec<_> = verdict.extents.into_iter().flat_map(|extent| extent.runs).collect();
        assert_eq!(got, expected, "{writes:?}");
    }

    fn partition(&mut self, write: &Write) -> Option<&mut Partition> {
        self.topics[write.topic].as_mut().map(|topic| &mut topic.partitions[write.partition as usize])
    }

    fn base_sequence(&mut self, write: &Write) -> i32 {
        let Some(producer) = write.producer else { return -1 };
        let Some(offset) = write.start else { return 0 };
        // The old ids begin near the end of the circle, so that sequences wrap.
        let first = if producer < 2 { i32::MAX - 6 } else { 0 };
        let next = self.partition(write).and_then(|partition| partition.producers.get(&producer));
        let base = next.map_or(first, |producer| producer.next);
        ((i64::from(base) + i64::from(offset)).rem_euclid(1 << 31)) as i32
    }

    /// The rule, and what it does to the model.
    fn judge(&mut self, write: &Write, epoch: i16, base: i32, records: u32, place: (Position, u32, i64)) -> RunVerdict {
        use RunRefused::*;
        let now_ms = self.now_ms;
        let given = write.producer.map(|index| self.given[index]);
        let Some(topic) = &mut self.topics[write.topic] else { return RunVerdict::Refused(UnknownTopicOrPartition) };
        let replaced_at = topic.replaced_at;
        let partition = &mut topic.partitions[write.partition as usize];
        let Some(index) = write.producer else {
            return RunVerdict::Accepted { base_offset: partition.append(records, place, records * 7) };
        };
        if epoch < 0 {
            return RunVerdict::Refused(Invalid);
        }
        let (_, given_at, given_ms) = given.expect("a producer has an id");
        let known = partition.producers.get(&index);
        let expired = known.is_some_and(|producer| now_ms - producer.last_time_ms > DAY_MS);
        let known = known.filter(|_| !expired);
        let forgotten = expired || now_ms - given_ms > DAY_MS || replaced_at.is_some_and(|at| given_at < at);
        let leading = match known {
            None if base == 0 || forgotten => 0,
            None => return RunVerdict::Refused(OutOfOrderSequenceNumber),
            Some(known) if epoch < known.epoch => return RunVerdict::Refused(InvalidProducerEpoch),
            Some(known) if epoch > known.epoch && base == 0 => 0,
            Some(known) if epoch > known.epoch => return RunVerdict::Refused(OutOfOrderSequenceNumber),
            Some(known) => {
                let known_here = |index: &u32| known.offsets.contains_key(&sequence(base, *index));
                let leading = (0..records).take_while(known_here).count() as u32;
                if leading < records && sequence(base, leading) != known.next {
                    return RunVerdict::Refused(OutOfOrderSequenceNumber);
                }
                leading
            }
        };
        let pieces = known.map_or(Vec::new(), |known| known.pieces(base, leading));
        if leading == records {
            return match pieces[..] {
                [Piece { base_offset: None, .. }] => RunVerdict::Refused(DuplicateSequenceNumber),
                [Piece { base_offset: Some(base_offset), .. }] => RunVerdict::Duplicate { base_offset },
                _ => RunVerdict::Partial { known: pieces, rest_base_offset: None },
            };
        }
        let ends: Vec<u32> =
            write.batches.iter().scan(0, |sum, batch| Some(*sum + batch).inspect(|s| *sum = *s)).collect();
        if leading > 0 && !(write.bounds && ends.contains(&leading)) {
            return RunVerdict::Refused(OutOfOrderSequenceNumber);
        }
        let fresh = known.is_none_or(|known| known.epoch != epoch);
        let rest = records - leading;
        let base_offset = partition.append(rest, (place.0, place.1 + leading * 7, place.2), rest * 7);
        let producer = partition.producers.entry(index).or_insert_with(|| Producer::new(epoch));
        if fresh {
            *producer = Producer::new(epoch);
        }
        producer.accept(sequence(base, leading), rest, base_offset, now_ms);
        self.epochs[index] = self.epochs[index].max(epoch);
        match leading {
            0 => RunVerdict::Accepted { base_offset },
            _ => RunVerdict::Partial { known: pieces, rest_base_offset: Some(base_offset) },
        }
    }

    fn compare(&self) {
        for topic in self.topics.iter().flatten() {
            assert_eq!(self.state.topic_by_id(topic.id).map(|topic| topic.partition_count()), Some(PARTITIONS));
            for (handle, model) in (topic.first..).zip(&topic.partitions) {
                let view = self.state.partition(handle).expect("it exists");
                assert_eq!((view.log_start_offset(), view.high_watermark()), (model.start, model.end));
                self.compare_extents(&view, model);
                for (index, producer) in &model.producers {
                    let state = self.state.producer(handle, self.given[*index].0).expect("it wrote");
                    assert_eq!((state.epoch(), state.next_sequence()), (producer.epoch, producer.next));
                }
            }
        }
        self.groups.compare(&self.state);
        let named = self.state.topics().map(|topic| topic.id()).collect::<Vec<_>>();
        let live = self.topics.iter().flatten().map(|topic| topic.id).collect::<Vec<_>>();
        assert_eq!(named, live);
    }
}

impl Story {
    /// Extents tell where the written bytes lie, all of them and no others.
    fn compare_extents(&self, view: &PartitionView<'_>, model: &Partition) {
        let told = view.extents_from(0).map(|extent| Tile {
            base: extent.base_offset,
            end: extent.end_offset,
            place: extent.place,
            position: extent.position,
            len: extent.len,
            time_ms: extent.max_timestamp,
        });
        let told: Vec<_> = told.collect();
        let expected: Vec<_> = model.tiles.iter().filter(|tile| tile.end > model.start).copied().collect();
        assert_eq!(told, expected);
        assert!(told.iter().all(|tile| self.state.knows(tile.place)));
    }
}

impl Partition {
    fn append(&mut self, records: u32, (position, at, time_ms): (Position, u32, i64), len: u32) -> i64 {
        let base_offset = self.end;
        self.end += i64::from(records);
        let place = Place::LogFrame { position };
        self.tiles.push(Tile { base: base_offset, end: self.end, place, position: at, len, time_ms });
        base_offset
    }
}

impl Producer {
    fn new(epoch: i16) -> Self {
        Self { epoch, next: 0, last_time_ms: 0, offsets: BTreeMap::new(), window: Vec::new() }
    }

    fn accept(&mut self, base: i32, records: u32, base_offset: i64, now_ms: i64) {
        let last = self.window.last().and_then(|run| run.last()).map(|last| self.offsets[last]);
        if last != Some(base_offset - 1) {
            self.window.push(Vec::new());
        }
        for index in 0..records {
            self.offsets.insert(sequence(base, index), base_offset + i64::from(index));
            self.window.last_mut().expect("one was pushed").push(sequence(base, index));
        }
        if self.window.len() > WINDOW_RUNS {
            self.window.remove(0);
        }
        self.next = sequence(base, records);
        self.last_time_ms = now_ms;
    }

    fn pieces(&self, base: i32, records: u32) -> Vec<Piece> {
        let mut pieces: Vec<(Option<usize>, Piece)> = Vec::new();
        for sequence in (0..records).map(|index| sequence(base, index)) {
            let run = self.window.iter().position(|run| run.contains(&sequence));
            match pieces.last_mut().filter(|(last, _)| *last == run) {
                Some((_, piece)) => piece.records += 1,
                None => pieces.push((run, Piece { records: 1, base_offset: run.map(|_| self.offsets[&sequence]) })),
            }
        }
        pieces.into_iter().map(|(_, piece)| piece).collect()
    }
}

/// Little is freed per frame, so that deleted data lies about while the story goes on.
pub fn small() -> Limits {
    Limits { garbage_per_frame: 3, ..Limits::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_state_agrees_with_plain_maps(ops in story(60)) {
        Story::new(small()).play(&ops);
    }
}
