//! What clients asked and were told: the only thing that the [auditor](crate::auditor) sees.
//!
//! An operation begins, and ends with an answer, or with "unknown", or never. Begin and end are ticks of one counter, so
//! "A had ended before B began" is exact even within one instant of the virtual clock. Every value is unique in a run, so
//! a value found somewhere tells which append it came from.
//!
//! One shape serves partitions (records at offsets from 0) and the metadata log (frames at positions from 1): both are a
//! [`Line`], dense places that are given once and never change.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::Mutex;

/// A record's content, unique in the run.
pub type Value = u64;

/// A place on a line: an offset, or a log position.
pub type Place = u64;

/// A partition (topic id and index), or a log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// For people and as the key.
    pub name: Arc<str>,
    /// The first place: 0 in a partition, 1 in a log.
    pub first: Place,
}

/// A moment in the history; bigger is later.
pub type Tick = u64;

/// One operation of one client.
#[derive(Debug, Clone)]
pub struct Op {
    /// Who asked. Appends of one client on one line are in the order in which it made them.
    pub client: u64,
    /// On what.
    pub line: Line,
    /// When it was asked.
    pub start: Tick,
    /// When it was answered; none while it is pending.
    pub end: Option<Tick>,
    /// What was asked and answered.
    pub what: What,
}

/// What was asked and answered.
#[derive(Debug, Clone)]
pub enum What {
    /// Values to be added at the end.
    Append {
        /// In this order.
        values: Vec<Value>,
        /// What was promised about repeats and order.
        promise: Promise,
        /// How often it was sent.
        attempts: u32,
        /// The answer.
        answer: Appended,
    },
    /// Values from a place on.
    Read {
        /// The place asked for.
        from: Place,
        /// The answer.
        answer: Found,
        /// Whether this is the judge's own reading of everything, after the healing.
        is_final: bool,
    },
    /// The first place at a time or later, or with the greatest time.
    Time {
        /// The time in milliseconds; none for the greatest.
        at_or_after: Option<i64>,
        /// The answer.
        answer: Dated,
    },
    /// Where the line ends.
    End {
        /// One beyond the last place; none if there was no answer.
        answer: Option<Place>,
    },
}

/// What a client may rely on when it repeats an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Each value at most once and in the client's order: an idempotent producer, a session of the log.
    ExactlyOnce,
    /// As many copies as attempts, in any order: a plain producer.
    AtLeastOnce,
    /// Each value at most once and in the client's order, and no answer: acks=0 on one connection.
    AtMostOnce,
}

/// How an append ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// Acknowledged: the first value stands here, the others follow.
    At(Place),
    /// Acknowledged, but where was not told (DUPLICATE_SEQUENCE_NUMBER).
    Somewhere,
    /// It did not happen and never will.
    Refused,
    /// It may have happened.
    Unknown,
}

/// What a read gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Places in order; a place without a value holds nothing of a client's (a fill, a void frame).
    Values(Vec<(Place, Option<Value>)>),
    /// The place does not exist, said the answer.
    OutOfRange,
    /// No answer.
    Unknown,
}

/// What a question for a time gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dated {
    /// This place, which has this time.
    At(Place, i64),
    /// There is no such place.
    Nowhere,
    /// No answer.
    Unknown,
}

/// Names a pending operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpId(usize);

/// All operations of a run, in the order of their beginnings. Cloning gives another handle.
#[derive(Clone, Default)]
pub struct History(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    tick: Tick,
    next_value: Value,
    ops: Vec<Op>,
    deleted: BTreeMap<Line, Tick>,
    times: BTreeMap<Line, Times>,
    expiring: BTreeMap<Line, Expiry>,
}

/// What may go from a line, and what was told of it.
#[derive(Debug, Clone, Default)]
pub struct Expiry {
    /// A place may go once its time is so many milliseconds ago.
    pub age_ms: i64,
    /// First places that were told, each with a time in Unix milliseconds at which it was so.
    pub starts: Vec<(Place, i64)>,
}

/// The times in milliseconds that places were seen with; more than one is wrong.
pub type Times = BTreeMap<Place, BTreeSet<i64>>;

impl Log {
    fn tick(&mut self) -> Tick {
        self.tick += 1;
        self.tick
    }
}

impl History {
    /// A value that was never given before.
    pub fn value(&self) -> Value {
        let mut log = self.0.lock();
        log.next_value += 1;
        log.next_value
    }

    /// An append begins.
    pub fn append(&self, client: u64, line: &Line, values: Vec<Value>, promise: Promise) -> OpId {
        let answer = Appended::Unknown;
        self.begin(client, line, What::Append { values, promise, attempts: 0, answer })
    }

    /// An append is sent (again).
    pub fn attempt(&self, id: OpId) {
        if let What::Append { attempts, .. } = &mut self.0.lock().ops[id.0].what {
            *attempts += 1;
        }
    }

    /// An append ends.
    pub fn appended(&self, id: OpId, outcome: Appended) {
        self.finish(id, |what| {
            if let What::Append { answer, .. } = what {
                *answer = outcome;
            }
        });
    }

    /// A read begins.
    pub fn read(&self, client: u64, line: &Line, from: Place, is_final: bool) -> OpId {
        self.begin(client, line, What::Read { from, answer: Found::Unknown, is_final })
    }

    /// A read ends.
    pub fn found(&self, id: OpId, found: Found) {
        self.finish(id, |what| {
            if let What::Read { answer, .. } = what {
                *answer = found;
            }
        });
    }

    /// A question for a time begins: the first place at `at_or_after` or later, or the first one with the greatest time.
    pub fn ask_time(&self, client: u64, line: &Line, at_or_after: Option<i64>) -> OpId {
        self.begin(client, line, What::Time { at_or_after, answer: Dated::Unknown })
    }

    /// A question for a time is answered.
    pub fn told_time(&self, id: OpId, dated: Dated) {
        self.finish(id, |what| {
            if let What::Time { answer, .. } = what {
                *answer = dated;
            }
        });
    }

    /// A place was seen with a time.
    pub fn dated(&self, line: &Line, at: Place, time: i64) {
        let mut log = self.0.lock();
        let times = log.times.entry(line.clone()).or_default();
        times.entry(at).or_default().insert(time);
    }

    /// The times that a line's places were seen with.
    pub fn times(&self, line: &Line) -> Times {
        self.0.lock().times.get(line).cloned().unwrap_or_default()
    }

    /// Places of a line may go once they are so old.
    pub fn expires(&self, line: &Line, age_ms: i64) {
        self.0.lock().expiring.insert(line.clone(), Expiry { age_ms, starts: Vec::new() });
    }

    /// This place was told to be a line's first one, and it is this time now.
    pub fn started(&self, line: &Line, start: Place, now_ms: i64) {
        if let Some(expiry) = self.0.lock().expiring.get_mut(line) {
            expiry.starts.push((start, now_ms));
        }
    }

    /// What may go from a line; none if everything must stay.
    pub fn expiry(&self, line: &Line) -> Option<Expiry> {
        self.0.lock().expiring.get(line).cloned()
    }

    /// A question for the end begins.
    pub fn ask_end(&self, client: u64, line: &Line) -> OpId {
        self.begin(client, line, What::End { answer: None })
    }

    /// A question for the end is answered.
    pub fn told_end(&self, id: OpId, end: Option<Place>) {
        self.finish(id, |what| {
            if let What::End { answer } = what {
                *answer = end;
            }
        });
    }

    /// Nobody will ever learn how a pending operation ended.
    pub fn give_up(&self, id: OpId) {
        self.finish(id, |_| {});
    }

    /// A client is dead: nobody will ever learn how its pending operations ended.
    pub fn bury(&self, client: u64) {
        let mut log = self.0.lock();
        let tick = log.tick();
        let pending = log.ops.iter_mut().filter(|op| op.client == client && op.end.is_none());
        pending.for_each(|op| op.end = Some(tick));
    }

    /// The deletion of a line was acknowledged: nothing of it must be there any more.
    pub fn deleted(&self, line: &Line) {
        let mut log = self.0.lock();
        let tick = log.tick();
        log.deleted.insert(line.clone(), tick);
    }

    /// When each deleted line's deletion was acknowledged.
    pub fn deletions(&self) -> BTreeMap<Line, Tick> {
        self.0.lock().deleted.clone()
    }

    /// The operations so far.
    pub fn ops(&self) -> Vec<Op> {
        self.0.lock().ops.clone()
    }

    /// The operations so far, by line.
    pub fn lines(&self) -> BTreeMap<Line, Vec<Op>> {
        let mut lines: BTreeMap<Line, Vec<Op>> = BTreeMap::new();
        for op in self.0.lock().ops.iter() {
            lines.entry(op.line.clone()).or_default().push(op.clone());
        }
        lines
    }

    fn begin(&self, client: u64, line: &Line, what: What) -> OpId {
        let mut log = self.0.lock();
        let start = log.tick();
        log.ops.push(Op { client, line: line.clone(), start, end: None, what });
        OpId(log.ops.len() - 1)
    }

    fn finish(&self, id: OpId, answer: impl FnOnce(&mut What)) {
        let mut log = self.0.lock();
        let tick = log.tick();
        let op = &mut log.ops[id.0];
        assert!(op.end.is_none(), "an operation ends once");
        op.end = Some(tick);
        answer(&mut op.what);
    }
}
