//! Incremental fetch sessions (KIP-227): what a client fetches is remembered, so that it sends and gets only changes.
//!
//! A session is (id, epoch). Epoch 0 asks for a new one, -1 for none, and every later request of a session carries the next
//! epoch; anything else is an error that makes the client begin anew. An answer within a session leaves out partitions
//! that have nothing new to tell. Below version 13 of Fetch topics go by name, from it on by id; a session keeps to one.
//!
//! Sessions are bounded in number and in what they remember. A new one that finds no room displaces one that was idle for
//! two minutes, or a smaller one that is older than that; else the client gets id 0 and goes on without a session.
//!
//! Plain data: time and randomness are arguments.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use kafscale_runtime::Instant;

/// The epoch that asks for a new session.
pub const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request that wants no session.
pub const FINAL_EPOCH: i32 = -1;
/// The id of no session.
pub const NO_SESSION: i32 = 0;

/// Sessions at once (`max.incremental.fetch.session.cache.slots`).
const SLOTS: usize = 1_000;
/// Partitions that all sessions remember together.
const PARTITIONS_MAX: usize = 1 << 20;
/// After this long a session may be displaced (Kafka's `min.incremental.fetch.session.eviction.ms`).
const EVICTION: Duration = Duration::from_secs(120);

/// A topic as the client calls it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicKey {
    /// Before version 13.
    Name(Arc<str>),
    /// From version 13 on.
    Id(u128),
}

/// A partition as the client calls it.
pub type PartitionKey = (TopicKey, i32);

/// What a client wants of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The first offset.
    pub fetch_offset: i64,
    /// Bytes at most.
    pub partition_max_bytes: i32,
    /// The leader epoch that the client knows; -1 if none.
    pub current_leader_epoch: i32,
}

/// What of an answer decides whether it must be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Whether there is an error.
    pub is_error: bool,
    /// Bytes of records.
    pub bytes: usize,
    /// The high watermark.
    pub high_watermark: i64,
    /// The log start offset.
    pub log_start_offset: i64,
}

/// Why a request of a session is refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// It was displaced, or never was.
    #[error("fetch session {0} not found")]
    NotFound(i32),
    /// The epoch is not the next one.
    #[error("fetch session epoch {got} instead of {expected}")]
    Epoch {
        /// What the request carried.
        got: i32,
        /// What was expected.
        expected: i32,
    },
    /// Names in a session of ids, or the reverse.
    #[error("fetch session mixes topic names and ids")]
    TopicId,
}

/// What a request comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The partitions to fetch, in the order in which they share the limits.
    pub partitions: Vec<(PartitionKey, Wanted)>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sessionless,
    Full,
    Incremental { id: i32, epoch: i32 },
}

/// A request's part that concerns sessions.
#[derive(Debug)]
pub struct Request {
    /// The id that it carries.
    pub session_id: i32,
    /// The epoch that it carries.
    pub session_epoch: i32,
    /// Whether its topics go by id.
    pub uses_topic_ids: bool,
    /// Its partitions, in order.
    pub partitions: Vec<(PartitionKey, Wanted)>,
    /// The partitions that it no longer wants.
    pub forgotten: Vec<PartitionKey>,
}

/// What a session remembers of a partition. The order is that of `rank`.
#[derive(Debug)]
struct Remembered {
    rank: u64,
    wanted: Wanted,
    high_watermark: i64,
    log_start_offset: i64,
}

#[derive(Debug)]
struct Session {
    epoch: i32,
    uses_topic_ids: bool,
    created: Instant,
    used: Instant,
    /// What it counts as towards all sessions' partitions and in a comparison of sizes: its partitions when last touched.
    size: usize,
    partitions: BTreeMap<PartitionKey, Remembered>,
    order: BTreeMap<u64, PartitionKey>,
    next_rank: u64,
}

/// All sessions of a broker.
#[derive(Debug)]
pub struct Sessions {
    slots: usize,
    partitions_max: usize,
    sessions: BTreeMap<i32, Session>,
    /// By last use, and by size: whom to displace first.
    by_use: BTreeSet<(Instant, i32)>,
    by_size: BTreeSet<(usize, i32)>,
    partitions: usize,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::new(SLOTS)
    }
}

impl Sessions {
    /// Room for so many sessions.
    pub fn new(slots: usize) -> Self {
        let (sessions, by_use, by_size) = Default::default();
        Self { slots, partitions_max: PARTITIONS_MAX, sessions, by_use, by_size, partitions: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Takes a request: what is to be fetched.
    pub fn begin(&mut self, request: Request, now: Instant) -> Result<Context, SessionError> {
        let Request { session_id: id, session_epoch: epoch, uses_topic_ids, partitions, forgotten } = request;
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            self.remove(id);
            let kind = if epoch == INITIAL_EPOCH { Kind::Full } else { Kind::Sessionless };
            return Ok(Context { partitions, kind });
        }
        let session = self.sessions.get_mut(&id).ok_or(SessionError::NotFound(id))?;
        if session.epoch != epoch {
            return Err(SessionError::Epoch { got: epoch, expected: session.epoch });
        }
        if session.uses_topic_ids != uses_topic_ids {
            return Err(SessionError::TopicId);
        }
        for (key, wanted) in partitions {
            session.want(key, wanted);
        }
        for key in &forgotten {
            session.forget(key);
        }
        if self.partitions - session.size + session.partitions.len() > self.partitions_max {
            // The client begins anew, and then there is room for it or not.
            self.remove(id);
            return Err(SessionError::NotFound(id));
        }
        session.epoch = next_epoch(epoch);
        let context = Context { partitions: session.wanted(), kind: Kind::Incremental { id, epoch: session.epoch } };
        if context.partitions.is_empty() {
            self.remove(id);
            return Ok(Context { kind: Kind::Sessionless, ..context });
        }
        self.touch(id, now);
        Ok(context)
    }

    /// Takes the answers, one for each partition of the context and in its order. Returns the session id to answer with
    /// and which of the partitions to send. `random` is for the id of a new session.
    pub fn finish(
        &mut self,
        context: &Context,
        uses_topic_ids: bool,
        told: &[Told],
        now: Instant,
        random: u64,
    ) -> Result<(i32, Vec<bool>), SessionError> {
        match context.kind {
            Kind::Sessionless => Ok((NO_SESSION, vec![true; told.len()])),
            Kind::Full => {
                let id = self.create(context, uses_topic_ids, told, now, random);
                Ok((id, vec![true; told.len()]))
            }
            Kind::Incremental { id, epoch } => {
                let session = self.sessions.get_mut(&id).ok_or(SessionError::NotFound(id))?;
                if session.epoch != epoch {
                    return Err(SessionError::Epoch { got: epoch, expected: session.epoch });
                }
                let answers = context.partitions.iter().zip(told);
                Ok((id, answers.map(|((key, _), told)| session.tell(key, told)).collect()))
            }
        }
    }

    fn create(&mut self, context: &Context, uses_topic_ids: bool, told: &[Told], now: Instant, random: u64) -> i32 {
        let size = context.partitions.len();
        if size == 0 || !self.make_room(size, now) {
            return NO_SESSION;
        }
        let mut session = Session {
            epoch: next_epoch(INITIAL_EPOCH),
            uses_topic_ids,
            created: now,
            used: now,
            size: 0,
            partitions: BTreeMap::new(),
            order: BTreeMap::new(),
            next_rank: 0,
        };
        for ((key, wanted), told) in context.partitions.iter().zip(told) {
            session.want(key.clone(), *wanted);
            session.tell(key, told);
        }
        let id = self.free_id(random);
        self.sessions.insert(id, session);
        self.touch(id, now);
        id
    }

    /// A positive id that is not taken.
    fn free_id(&self, random: u64) -> i32 {
        let mut id = (random & 0x7fff_ffff) as i32;
        while id == NO_SESSION || self.sessions.contains_key(&id) {
            id = id.checked_add(1).unwrap_or(1);
        }
        id
    }

    /// Room for one more session of so many partitions, if need be by displacing others. False if there is none.
    fn make_room(&mut self, size: usize, now: Instant) -> bool {
        if size > self.partitions_max {
            return false;
        }
        while self.sessions.len() >= self.slots || self.partitions + size > self.partitions_max {
            let Some(displaced) = self.displaceable(size, now) else { return false };
            self.remove(displaced);
        }
        true
    }

    /// The one that was idle for long, else a smaller one that is not new.
    fn displaceable(&self, size: usize, now: Instant) -> Option<i32> {
        let is_old = |since: Instant| now.saturating_sub(since) > EVICTION;
        let idle = self.by_use.first().filter(|(used, _)| is_old(*used));
        let smaller = || self.by_size.first().filter(|(smallest, _)| *smallest < size);
        idle.map(|(_, id)| *id).or_else(|| smaller().map(|(_, id)| *id))
    }

    fn touch(&mut self, id: i32, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        self.by_use.remove(&(session.used, id));
        self.by_size.remove(&(session.size, id));
        self.partitions = self.partitions - session.size + session.partitions.len();
        session.used = now;
        session.size = session.partitions.len();
        self.by_use.insert((now, id));
        // New sessions are not displaced for their size: else two clients that begin could push each other out for ever.
        if now.saturating_sub(session.created) > EVICTION {
            self.by_size.insert((session.size, id));
        }
    }

    fn remove(&mut self, id: i32) {
        let Some(session) = self.sessions.remove(&id) else { return };
        self.by_use.remove(&(session.used, id));
        self.by_size.remove(&(session.size, id));
        self.partitions -= session.size;
    }
}

impl Session {
    fn want(&mut self, key: PartitionKey, wanted: Wanted) {
        if let Some(known) = self.partitions.get_mut(&key) {
            known.wanted = wanted;
            return;
        }
        let rank = self.take_rank();
        self.order.insert(rank, key.clone());
        // Nothing was told yet, so that the first answer is always sent.
        self.partitions.insert(key, Remembered { rank, wanted, high_watermark: -1, log_start_offset: -1 });
    }

    fn forget(&mut self, key: &PartitionKey) {
        if let Some(known) = self.partitions.remove(key) {
            self.order.remove(&known.rank);
        }
    }

    fn wanted(&self) -> Vec<(PartitionKey, Wanted)> {
        let remembered = |key: &PartitionKey| (key.clone(), self.partitions[key].wanted);
        self.order.values().map(remembered).collect()
    }

    /// Notes what a partition has for an answer; whether it must be sent. One that sent records goes to the end of the
    /// order, so that all get their share of the limits.
    fn tell(&mut self, key: &PartitionKey, told: &Told) -> bool {
        let next_rank = self.next_rank;
        let Some(known) = self.partitions.get_mut(key) else { return true };
        let is_new = told.high_watermark != known.high_watermark || told.log_start_offset != known.log_start_offset;
        known.log_start_offset = told.log_start_offset;
        // After an error the end counts as unknown, so that the recovery is told as well.
        known.high_watermark = if told.is_error { -1 } else { told.high_watermark };
        if told.bytes > 0 {
            let old_rank = std::mem::replace(&mut known.rank, next_rank);
            self.order.remove(&old_rank);
            self.next_rank += 1;
            #[cfg(feature = "planted-bugs")]
            if crate::planted::is(crate::planted::Bug::SessionForgets) {
                return true;
            }
            self.order.insert(next_rank, key.clone());
        }
        told.is_error || told.bytes > 0 || is_new
    }

    fn take_rank(&mut self) -> u64 {
        self.next_rank += 1;
        self.next_rank - 1
    }
}

fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests;
