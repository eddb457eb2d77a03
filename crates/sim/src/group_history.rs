//! What members of groups did and were told: the only thing that the [auditor of groups](crate::group_auditor) sees.
//!
//! A *life* is one process of one client. It may be told many member ids, and it may die or sleep at any moment. What it
//! believes to own is written down by itself, with the time until which it may be sure: nobody may take a partition away
//! from a member within its session timeout, and its coordinator last heard of it no earlier than it began the last
//! heartbeat that was answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kafscale_runtime::Instant;
use parking_lot::Mutex;

use crate::{
    executor::World,
    history::{Line, Place},
};

/// A process of a client.
pub type Life = u64;

/// A moment in the run: ticks order what happens within one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Bigger is later.
    pub tick: u64,
    /// Virtual time.
    pub at: Instant,
}

/// Something that a life did, with its answer.
#[derive(Debug, Clone)]
pub struct Deed {
    /// Whose.
    pub life: Life,
    /// When it began.
    pub start: Moment,
    /// When it was answered; none if it never was.
    pub end: Option<Moment>,
    /// What.
    pub what: What,
}

/// A member as it names itself: its id, and the generation or member epoch that it knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The member id; empty for none.
    pub member: Arc<str>,
    /// The generation of a classic group, the member's epoch of a KIP-848 group.
    pub epoch: i32,
}

/// What was done or told.
#[derive(Debug, Clone)]
pub enum What {
    /// JoinGroup or ConsumerGroupHeartbeat told the member who it is. It begins with the request.
    Told {
        /// Who it is; until it is answered, who it was.
        name: Name,
        /// Its `group.instance.id`.
        instance: Option<Arc<str>>,
    },
    /// It asks to be the static member of this instance id, whoever is that now.
    Claims(Arc<str>),
    /// The leader of a classic generation hands in who shall have what.
    Proposed {
        /// The generation.
        epoch: i32,
        /// By member id.
        assignments: BTreeMap<Arc<str>, BTreeSet<Line>>,
        /// `group.instance.id` by member id, as the leader was told: a member that never heard its own id is among them.
        instances: BTreeMap<Arc<str>, Arc<str>>,
    },
    /// SyncGroup told a member what it has.
    Assigned {
        /// Who it is.
        name: Name,
        /// What it has.
        lines: BTreeSet<Line>,
    },
    /// A member said that it lives.
    Beat {
        /// Who it says that it is.
        name: Name,
        /// Whether it was taken for that.
        is_accepted: bool,
    },
    /// Offsets were committed.
    Committed {
        /// By whom.
        name: Name,
        /// What.
        offsets: BTreeMap<Line, Place>,
        /// The answer.
        outcome: Outcome,
    },
    /// The committed offset of a partition was asked for.
    Asked {
        /// The partition.
        line: Line,
        /// The answer; `Some(None)` if nothing is committed, none if there was no answer.
        answer: Option<Option<Place>>,
    },
    /// From here on the life takes a partition for its own.
    Took(Line),
    /// From here on it does not.
    Dropped(Line),
    /// What it owns is its own until then, whatever happens.
    Sure(Instant),
    /// It was given records.
    Delivered {
        /// The generation or epoch that it knows.
        epoch: i32,
        /// The partition.
        line: Line,
        /// The first one.
        from: Place,
        /// One behind the last.
        to: Place,
    },
    /// Its process is over.
    Died,
}

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it counts.
    Accepted,
    /// Nothing of it counts.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// What is known of one group.
#[derive(Debug, Clone, Default)]
pub struct GroupDeeds {
    /// In the order of their beginnings.
    pub deeds: Vec<Deed>,
    /// Where its partitions ended when everybody had read everything.
    pub ends: BTreeMap<Line, Place>,
}

/// Names a pending deed.
#[derive(Debug, Clone)]
pub struct DeedId(Arc<str>, usize);

/// All groups of a run. Cloning gives another handle.
#[derive(Clone)]
pub struct GroupHistory(Arc<(World, Mutex<Log>)>);

#[derive(Default)]
struct Log {
    tick: u64,
    lives: Life,
    groups: BTreeMap<Arc<str>, GroupDeeds>,
}

impl GroupHistory {
    /// An empty one.
    pub fn new(world: &World) -> Self {
        Self(Arc::new((world.clone(), Mutex::default())))
    }

    /// Another process.
    pub fn life(&self) -> Life {
        let mut log = self.0.1.lock();
        log.lives += 1;
        log.lives
    }

    /// A deed begins.
    pub fn begin(&self, group: &Arc<str>, life: Life, what: What) -> DeedId {
        let at = self.0.0.now();
        self.0.0.note(&format!("{group}: life {life} begins {what:?}"));
        let mut log = self.0.1.lock();
        log.tick += 1;
        let start = Moment { tick: log.tick, at };
        let deeds = &mut log.groups.entry(Arc::clone(group)).or_default().deeds;
        deeds.push(Deed { life, start, end: None, what });
        DeedId(Arc::clone(group), deeds.len() - 1)
    }

    /// It is answered.
    pub fn end(&self, id: DeedId, answer: impl FnOnce(&mut What)) {
        let at = self.0.0.now();
        let mut log = self.0.1.lock();
        log.tick += 1;
        let tick = log.tick;
        let deeds = log.groups.get_mut(&id.0).expect("it has begun");
        let deed = &mut deeds.deeds[id.1];
        deed.end = Some(Moment { tick, at });
        answer(&mut deed.what);
        self.0.0.note(&format!("{}: life {} ends {:?}", id.0, deed.life, deed.what));
    }

    /// Something that begins and ends at this moment.
    pub fn note(&self, group: &Arc<str>, life: Life, what: What) {
        let id = self.begin(group, life, what);
        self.end(id, |_| {});
    }

    /// Everybody has read this partition up to here.
    pub fn ended(&self, group: &Arc<str>, line: &Line, end: Place) {
        let mut log = self.0.1.lock();
        log.groups.entry(Arc::clone(group)).or_default().ends.insert(line.clone(), end);
    }

    /// Everything, by group.
    pub fn groups(&self) -> BTreeMap<Arc<str>, GroupDeeds> {
        self.0.1.lock().groups.clone()
    }
}
