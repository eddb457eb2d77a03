//! States for tests of the plan and the agenda.

use kafscale_state::{
    Applied, FrameFacts, Handle, Merged, State, Verdict,
    entry::{
        self, Change, Cleaned, CleanedTo, Commit, ConfigSet, Entry, Extent as Written, ObjectRef, Resource, Run, Swap,
        SwapExtent, TopicCreated,
    },
};

use super::plan::{self, Job, Outlook, Work};

pub const TOPIC: u128 = 9;

/// A topic, frame by frame; records are as old as their frames.
#[derive(Clone)]
pub struct Made {
    pub state: State,
    pub now_ms: i64,
    /// The partition that is written to, merged and cleaned.
    pub at: Handle,
    /// What the last frame did.
    pub applied: Applied,
}

impl Made {
    pub fn new(settings: &[(&str, &str)]) -> Self {
        Self::with(1, settings)
    }

    /// Of so many partitions.
    pub fn with(partitions: u32, settings: &[(&str, &str)]) -> Self {
        let mut made = Self { state: State::new(), now_ms: 1_000, at: 0, applied: Applied::default() };
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let settings = [("cleanup.policy", "compact")].iter().chain(settings).map(own).collect();
        let created = TopicCreated { namespace: String::new(), name: "t".into(), id: TOPIC, partitions, settings };
        made.say(Entry::TopicCreated(created));
        made
    }

    pub fn say(&mut self, entry: Entry) -> Verdict {
        let position = self.state.position() + 1;
        let facts = FrameFacts { position, session: 1, cluster_time_ms: self.now_ms, payload_at: 0 };
        self.applied = self.state.apply(facts, &entry::encode(&[entry])).expect("it can be applied");
        self.applied.verdicts[0].clone()
    }

    pub fn set(&mut self, name: &str, value: &str) {
        let changes = vec![Change { name: name.into(), value: Some(value.into()) }];
        self.say(Entry::ConfigSet(ConfigSet { resource: Resource::Topic(TOPIC), changes }));
    }

    /// Ten records of so many bytes.
    pub fn write(&mut self, bytes: u32) {
        let run = Run { producer: None, base_sequence: -1, records: 10, bytes, batches: vec![] };
        let extents = vec![Written { partition: self.at, max_timestamp: self.now_ms, runs: vec![run] }];
        self.say(Entry::Commit(Commit { object: ObjectRef::ThisFrame, producers: vec![], extents }));
    }

    /// The newest extent moves into a merged object.
    pub fn merge(&mut self) {
        let view = self.state.partition(self.at).expect("it exists");
        let last = view.unsegmented().last().expect("it has records");
        let (first, end) = (last.base_offset, last.end_offset);
        let sources = view.sources(first, end).expect("they are there");
        let extents = vec![SwapExtent { end, bytes: last.len, max_timestamp: last.max_timestamp }];
        let object = Merged { store: 0, level: 1, session: 1, number: self.state.position(), nonce: 0 };
        let swaps = vec![Swap { partition: self.at, first, sources, position: 0, extents }];
        assert_eq!(self.say(Entry::Merged(entry::Merged { object, swaps })), Verdict::Merged(vec![Ok(())]));
    }

    pub fn merged(&mut self, bytes: u32) {
        self.write(bytes);
        self.merge();
    }

    pub fn clean(&mut self, to: i64, horizon_ms: Option<i64>) {
        self.say(Entry::Cleaned(Cleaned { partitions: vec![CleanedTo { partition: self.at, to, horizon_ms }] }));
    }

    pub fn outlook(&self) -> Outlook {
        plan::outlook(&self.state, self.at, 0, self.now_ms)
    }

    /// What is due by the time of the log, whether the state knows that or not.
    pub fn work(&self) -> Option<Work> {
        match self.outlook() {
            Outlook::Due(work) => Some(work),
            Outlook::DueByTheLog => {
                let mut later = self.clone();
                later.say(Entry::Cleaned(Cleaned { partitions: Vec::new() }));
                later.work()
            }
            Outlook::Idle { .. } => None,
        }
    }

    /// From where to where it is to be cleaned.
    pub fn range(&self) -> Option<(i64, i64)> {
        match self.work()?.job {
            Job::Clean(range) => Some((range.clean_to, range.limit)),
            Job::Unsegment | Job::Gather => None,
        }
    }
}
