//! The state of the write path, without tasks: what is buffered, held, pending and in flight. Time is an argument.

use std::{collections::VecDeque, time::Duration};

use kafscale_runtime::Instant;
use kafscale_state::{Backlog, producer::Claim};

use super::{
    Append, EntryError, Error,
    buffer::{Buffer, ENTRY_WEIGHT, Sealed, Submitted},
    flight::Flight,
    flush::{self, Decision, Pace, Reason, Tokens},
    outlet::Outlet,
    pending::{Pending, Relation},
    quiet::Quiet,
    reply::{Appended, BatchResult},
};
use crate::{ConnectionId, Latency, backlog};

/// A batch ahead of the known sequence waits so long for its predecessor: clients treat OUT_OF_ORDER badly.
pub const HOLD: Duration = Duration::from_secs(1);
/// So many batches are held at most: each is judged anew whenever something arrives or lands.
const HELD_MAX: usize = 1_000;
/// When the oldest create has been pending for so long, requests fail and intake refuses: clients give up at 30 s.
pub const STALL: Duration = Duration::from_secs(25);

/// What the applied state says of a batch.
pub enum Judged {
    /// Buffer it.
    Accept,
    /// It is written already.
    Known(Appended),
    /// It must not be written now; `may_change` when a predecessor may still come.
    Refuse {
        /// The answer.
        error: Error,
        /// Whether to hold it for a while.
        may_change: bool,
    },
}

/// The applied state, as far as intake needs it.
pub trait Judge {
    /// Judges an idempotent batch against what is applied.
    fn judge(&self, append: &Append, claim: Claim) -> Judged;
    /// How much of the room for extents is used.
    fn backlog(&self) -> Backlog;
    /// Where the next record of a partition would go, if all in flight were refused.
    #[cfg(feature = "planted-bugs")]
    fn end(&self, partition: kafscale_state::Handle) -> i64;
}

struct Held {
    until: Instant,
    append: Append,
}

/// What the flush task does next.
pub enum Step {
    /// Append this.
    Flush(Sealed, Reason),
    /// Sleep, at most until then.
    Wait(Option<Instant>),
}

/// See the module.
pub struct Core {
    buffer: Buffer,
    quiet: Quiet,
    pending: Pending,
    held: Vec<Held>,
    flights: VecDeque<Flight>,
    latency: Latency,
    requests_cost_money: bool,
    window: usize,
    /// What may be buffered and in flight. The answers of requests that waited too long are gone before their bytes are, so
    /// the budget of requests alone does not bound them.
    bytes_max: u64,
    bytes_in_flight: u64,
    /// The number of the next data object, where records get objects of their own.
    next_object: Option<u64>,
    tokens: Tokens,
    /// When a create last ended that early flushes had to wait for.
    freed_at: Instant,
    /// Moving average from closing a buffer to applying its frame.
    create_latency: Duration,
    /// The store is known not to answer.
    away: bool,
    /// There was no room for extents when last something came in.
    full: bool,
    stopped: bool,
}

impl Core {
    /// An empty write path into `outlet`.
    pub fn new(latency: Latency, facts: kafscale_store::Facts, outlet: &Outlet, bytes_max: u64, now: Instant) -> Self {
        let pace = Pace::new(latency, facts.requests_cost_money, facts.put_latency_hint);
        Self {
            buffer: Buffer::default(),
            quiet: Quiet::default(),
            pending: Pending::default(),
            held: Vec::new(),
            flights: VecDeque::new(),
            latency,
            requests_cost_money: facts.requests_cost_money,
            window: outlet.window(),
            bytes_max,
            bytes_in_flight: 0,
            next_object: outlet.first_object(),
            tokens: Tokens::full(&pace, now),
            freed_at: now,
            create_latency: facts.put_latency_hint,
            away: false,
            full: false,
            stopped: false,
        }
    }

    /// Whether the store is known not to answer, as of now.
    pub fn set_away(&mut self, away: bool) {
        self.away = away;
    }

    /// A request's batches arrive; all from one connection.
    pub fn produce(&mut self, connection: ConnectionId, appends: Vec<Append>, judge: &dyn Judge, now: Instant) {
        self.quiet.sent(connection, now);
        self.full = judge.backlog().is_full();
        for append in appends {
            self.admit(append, now + HOLD, judge, now);
        }
        self.retry_held(judge, now);
    }

    /// An entry arrives. One that is refused is dropped, and who waits for it is told so.
    pub fn submit(
        &mut self,
        connection: Option<ConnectionId>,
        submitted: Submitted,
        may_wait: bool,
        now: Instant,
    ) -> Result<(), EntryError> {
        if self.stopped {
            return Err(EntryError::Stopped);
        }
        if self.is_closed(ENTRY_WEIGHT, now) {
            return Err(EntryError::StoreStalled);
        }
        if let Some(connection) = connection {
            self.quiet.sent(connection, now);
        }
        self.buffer.push_entry(submitted, may_wait, now);
        Ok(())
    }

    /// A request of this connection was answered.
    pub fn answered(&mut self, connection: ConnectionId, now: Instant) {
        self.quiet.answered(connection, now);
    }

    /// A connection was closed.
    pub fn closed(&mut self, connection: ConnectionId) {
        self.quiet.closed(connection);
    }

    fn admit(&mut self, append: Append, hold_until: Instant, judge: &dyn Judge, now: Instant) {
        if self.stopped {
            return;
        }
        match self.decide(&append, judge, now) {
            Judged::Accept => self.push(append, now),
            Judged::Known(appended) => resolve(&append, Ok(appended)),
            Judged::Refuse { may_change: true, .. } if now < hold_until && self.held.len() < HELD_MAX => {
                self.held.push(Held { until: hold_until, append });
            }
            Judged::Refuse { error, .. } => resolve(&append, Err(error)),
        }
    }

    fn decide(&self, append: &Append, judge: &dyn Judge, now: Instant) -> Judged {
        let more = append.bytes.len() as u64;
        let out_of_order = Judged::Refuse { error: Error::OutOfOrderSequence, may_change: true };
        if let Some((id, claim)) = append.claim() {
            match self.pending.relate(append.partition, id, claim, &append.waiting) {
                Relation::Next => return self.take_in(more, now),
                // Those who wait were moved to the batch that it repeats: nobody is left to be answered here.
                Relation::Joined => return Judged::Refuse { error: Error::DuplicateSequence, may_change: false },
                Relation::OlderEpoch => {
                    return Judged::Refuse { error: Error::InvalidProducerEpoch, may_change: false };
                }
                Relation::Unclear => return out_of_order,
                Relation::Unrelated => {}
            }
            match judge.judge(append, claim) {
                Judged::Accept => {}
                decided => return decided,
            }
        }
        self.take_in(more, now)
    }

    /// What is in order is taken in where there is room: apply would refuse every extent beyond it, after its bytes were
    /// uploaded.
    fn take_in(&self, more: u64, now: Instant) -> Judged {
        let refuse = |error| Judged::Refuse { error, may_change: false };
        if self.full {
            return refuse(Error::Backlog);
        }
        if self.is_closed(more, now) { refuse(Error::StoreStalled) } else { Judged::Accept }
    }

    /// Whether nothing new is taken in: the store confirms nothing, or too much waits for it already. While it is known to be
    /// away something must be on its way, for that is what finds out that it is back.
    fn is_closed(&self, more: u64, now: Instant) -> bool {
        let waiting = self.buffer.bytes() + self.bytes_in_flight;
        let is_away = self.away && !self.flights.is_empty();
        is_away || self.is_stalled(now) || waiting + more > self.bytes_max
    }

    fn push(&mut self, append: Append, now: Instant) {
        if let Some((id, claim)) = append.claim() {
            self.pending.push(append.partition, id, claim, append.waiting.clone());
        }
        self.buffer.push(append, now);
    }

    /// Judges the held batches anew: a predecessor may have come, or their time be over.
    fn retry_held(&mut self, judge: &dyn Judge, now: Instant) {
        loop {
            let before = self.held.len();
            for Held { until, append } in std::mem::take(&mut self.held) {
                self.admit(append, until, judge, now);
            }
            if self.held.is_empty() || self.held.len() == before {
                return;
            }
        }
    }

    /// Whether the store has confirmed nothing for too long.
    pub fn is_stalled(&self, now: Instant) -> bool {
        self.flights.front().is_some_and(|oldest| now.saturating_sub(oldest.started) >= STALL)
    }

    /// Decides what the flush task does, and closes the buffer if it is time.
    pub fn step(&mut self, judge: &dyn Judge, now: Instant) -> Step {
        if self.held.iter().any(|held| held.until <= now) {
            self.full = judge.backlog().is_full();
            self.retry_held(judge, now);
        }
        let held_until = self.held.iter().map(|held| held.until).min();
        let wait = |until: Option<Instant>| Step::Wait([until, held_until].into_iter().flatten().min());
        if self.buffer.is_empty() || self.stopped {
            return wait(None);
        }
        let pace = self.pace();
        let facts = self.facts(judge.backlog().share(), now);
        match flush::decide(&facts, &pace, &mut self.tokens, now) {
            Decision::Flush(reason) => {
                self.tokens.take(&pace, now);
                let sealed = self.close(now);
                #[cfg(feature = "planted-bugs")]
                if crate::planted::is(crate::planted::Bug::AcknowledgesEarly) {
                    self.acknowledge_early(judge);
                }
                Step::Flush(sealed, reason)
            }
            Decision::WaitUntil(until) => wait(Some(until)),
            Decision::WaitForCreate => wait(None),
        }
    }

    /// The planted bug: answers with the offsets that the batches will have if nothing goes wrong.
    #[cfg(feature = "planted-bugs")]
    fn acknowledge_early(&self, judge: &dyn Judge) {
        let (flight, before) = (self.flights.back().expect("just closed"), self.flights.len() - 1);
        let records = |flight: &Flight, partition| -> i64 {
            let extents = flight.extents.iter().filter(|extent| extent.partition == partition);
            let batches = extents.flat_map(|extent| &extent.runs).flat_map(|run| &run.batches);
            batches.map(|batch| i64::from(batch.records)).sum()
        };
        for extent in &flight.extents {
            let before: i64 = self.flights.iter().take(before).map(|flight| records(flight, extent.partition)).sum();
            let mut base_offset = judge.end(extent.partition) + before;
            for batch in extent.runs.iter().flat_map(|run| &run.batches) {
                for reply in batch.waiting.take() {
                    let max_timestamp = Some(batch.max_timestamp);
                    reply.resolve(Ok(Appended { base_offset, log_start_offset: 0, max_timestamp }));
                }
                base_offset += i64::from(batch.records);
            }
        }
    }

    fn pace(&self) -> Pace {
        Pace::new(self.latency, self.requests_cost_money, self.create_latency)
    }

    fn facts(&mut self, backlog: f64, now: Instant) -> flush::Facts {
        flush::Facts {
            bytes: self.buffer.bytes(),
            wants_early: self.buffer.wants_early(),
            since: self.buffer.since(),
            free_since: self.buffer.since().max(self.freed_at),
            in_flight: self.flights.len(),
            window: self.window,
            quiet_at: self.quiet.quiet_at(now),
            interval: backlog::flush_interval(backlog),
        }
    }

    /// Closes the buffer whatever its age, for a broker that drains. Nothing if it is empty or the window is full.
    pub fn close_now(&mut self, now: Instant) -> Option<Sealed> {
        let cannot = self.buffer.is_empty() || self.flights.len() >= self.window || self.stopped;
        (!cannot).then(|| self.close(now))
    }

    fn close(&mut self, now: Instant) -> Sealed {
        self.quiet.flushed();
        let (mut sealed, mut flight) = self.buffer.close(now);
        if let Some(next) = &mut self.next_object
            && sealed.commit.is_some()
        {
            (sealed.number, flight.number) = (Some(*next), Some(*next));
            *next += 1;
        }
        self.bytes_in_flight += flight.bytes;
        self.flights.push_back(flight);
        sealed
    }

    /// Every data object of this session with a number below this is committed, or never will be.
    pub fn objects_settled(&self) -> Option<u64> {
        self.flights.iter().find_map(|flight| flight.number).or(self.next_object)
    }

    /// Whether nothing is buffered, held or in flight.
    pub fn is_idle(&self) -> bool {
        self.buffer.is_empty() && self.held.is_empty() && self.flights.is_empty()
    }

    /// The oldest frame in flight was applied: its batches are no longer pending.
    pub fn landed(&mut self, judge: &dyn Judge, now: Instant) -> Option<Flight> {
        if self.flights.len() >= self.pace().early_depth {
            self.freed_at = now;
        }
        let flight = self.flights.pop_front()?;
        self.bytes_in_flight -= flight.bytes;
        for (partition, producer_id) in flight.producers() {
            self.pending.pop(partition, producer_id);
        }
        self.create_latency = (self.create_latency * 7 + now.saturating_sub(flight.started)) / 8;
        if !self.held.is_empty() {
            self.retry_held(judge, now);
        }
        Some(flight)
    }

    /// Whether no more will be written.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// No more will be written: everybody who waits is told so by what is dropped here.
    pub fn stop(&mut self) {
        self.stopped = true;
        self.pending.clear();
        self.buffer = Buffer::default();
        self.held.clear();
        self.flights.clear();
        self.bytes_in_flight = 0;
    }
}

fn resolve(append: &Append, result: BatchResult) {
    for reply in append.waiting.take() {
        reply.resolve(result);
    }
}
