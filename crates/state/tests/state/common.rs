//! A log of one broker that checks every invariant after every frame.

use kafscale_state::entry::{self, Commit, Entry, Extent, ObjectRef, Producer, Run, TopicCreated};
use kafscale_state::topic::Settings;
use kafscale_state::verdict::{ExtentVerdict, RunVerdict, Verdict};
use kafscale_state::{Applied, FrameFacts, Handle, Limits, State, invariants};

/// Feeds frames to a state.
pub struct World {
    pub state: State,
    pub session: u64,
    pub now_ms: i64,
}

impl World {
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub fn with_limits(limits: Limits) -> Self {
        Self { state: State::with_limits(limits), session: 1, now_ms: 1_000_000 }
    }

    pub fn facts(&self) -> FrameFacts {
        FrameFacts {
            position: self.state.position() + 1,
            session: self.session,
            cluster_time_ms: self.now_ms,
            payload_at: 0,
        }
    }

    pub fn frame(&mut self, entries: &[Entry]) -> Applied {
        let applied = self.state.apply(self.facts(), &entry::encode(entries)).expect("entries can be applied");
        invariants::check(&self.state).unwrap_or_else(|broken| panic!("{broken}\nafter {entries:?}"));
        applied
    }

    pub fn say(&mut self, entry: Entry) -> Verdict {
        let mut applied = self.frame(&[entry]);
        assert_eq!(applied.verdicts.len(), 1);
        applied.verdicts.remove(0)
    }

    /// The handle of a new topic's first partition.
    pub fn topic(&mut self, name: &str, id: u128, partitions: u32) -> Handle {
        match self.say(topic(name, id, partitions)) {
            Verdict::TopicCreated { handles } => handles.first,
            other => panic!("{other:?}"),
        }
    }

    pub fn pids(&mut self, count: u32) -> i64 {
        match self.say(Entry::PidBlock(entry::PidBlock { count })) {
            Verdict::PidBlock { first } => first,
            other => panic!("{other:?}"),
        }
    }

    pub fn commit(&mut self, producers: Vec<Producer>, extents: Vec<Extent>) -> Vec<ExtentVerdict> {
        match self.say(Entry::Commit(Commit { object: ObjectRef::ThisFrame, producers, extents })) {
            Verdict::Commit(verdict) => verdict.extents,
            other => panic!("{other:?}"),
        }
    }

    /// One run of one producer.
    pub fn write(&mut self, partition: Handle, producer: Producer, run: Run) -> RunVerdict {
        let mut extents = self.commit(vec![producer], vec![extent(partition, vec![run])]);
        extents.remove(0).runs.remove(0)
    }
}

pub fn topic(name: &str, id: u128, partitions: u32) -> Entry {
    let settings = Settings::new();
    Entry::TopicCreated(TopicCreated { namespace: String::new(), name: name.into(), id, partitions, settings })
}

pub fn producer(id: i64, epoch: i16) -> Producer {
    Producer { id, epoch, transactional: false }
}

pub fn extent(partition: Handle, runs: Vec<Run>) -> Extent {
    Extent { partition, max_timestamp: 5_000, runs }
}

/// A run of the commit's first producer, ten bytes a record, whose batches have the given numbers of records.
pub fn run(base_sequence: i32, batches: &[u32]) -> Run {
    let records = batches.iter().sum();
    let batches = batches.iter().map(|&records| entry::BatchBounds { records, bytes: records * 10 }).collect();
    Run { producer: Some(0), base_sequence, records, bytes: records * 10, batches }
}

/// A run without a producer.
pub fn plain(records: u32) -> Run {
    Run { producer: None, base_sequence: -1, records, bytes: records * 10, batches: Vec::new() }
}

pub fn accepted(base_offset: i64) -> RunVerdict {
    RunVerdict::Accepted { base_offset }
}

pub fn duplicate(base_offset: i64) -> RunVerdict {
    RunVerdict::Duplicate { base_offset }
}
