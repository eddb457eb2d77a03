//! The barrier: proof that nobody else has written beyond our own end.
//!
//! On a store that is ours alone this is free. Elsewhere it is one GET of the first position not issued yet. A successor
//! that has finished its take-over at p has settled everything up to p+3, and we never issue beyond p+3; so either we find
//! its object there, or it has acknowledged nothing. Beside it our own last definite position is read again if it is new
//! since the last barrier: it must still carry our write id, or the store loses or overwrites creates.
//!
//! Callers share reads, but only one that *began* after the call answers it: a caller notes how many rounds had begun, waits
//! for its turn, and starts a round only if none that began later has ended meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use futures_util::future::{OptionFuture, join};
use parking_lot::Mutex;

use super::{
    appender::{Tail, floor_allows, taken_over},
    core::{Core, Fault, Patience},
    meter::Meter,
};
use crate::{BarrierError, Position, frame::WriteId};

type Answer = Result<Position, BarrierError>;

/// Answers barriers.
pub(super) struct Barriers {
    core: Arc<Core>,
    tail: Arc<Mutex<Tail>>,
    begun: AtomicU64,
    turn: tokio::sync::Mutex<LastRound>,
}

#[derive(Default)]
struct LastRound {
    number: u64,
    answer: Option<Answer>,
    /// Our own last position as it was when last read.
    checked: Option<WriteId>,
}

impl Barriers {
    pub fn new(core: Arc<Core>, tail: Arc<Mutex<Tail>>) -> Self {
        Self { core, tail, begun: AtomicU64::new(0), turn: tokio::sync::Mutex::default() }
    }

    /// The tail.
    pub async fn wait(&self) -> Answer {
        Meter::add(&self.core.meter.barriers);
        if let Some(reason) = self.core.fence.reason() {
            return Err(BarrierError::Fenced(reason));
        }
        if self.core.store.facts().exclusive {
            return Ok(self.tail.lock().definite);
        }
        let begun_before = self.begun.load(SeqCst);
        let mut last = self.turn.lock().await;
        if last.number > begun_before
            && let Some(answer) = &last.answer
        {
            return answer.clone();
        }
        let number = self.begun.fetch_add(1, SeqCst) + 1;
        last.answer = None;
        let answer = self.round(&mut last.checked).await;
        last.number = number;
        last.answer = Some(answer.clone());
        answer
    }

    async fn round(&self, checked: &mut Option<WriteId>) -> Answer {
        let core = &*self.core;
        let began = core.runtime.now();
        let (next, own, idle) = {
            let tail = self.tail.lock();
            (tail.issued + 1, tail.last_own, tail.issued == tail.definite)
        };
        let patience = Patience::For(core.settings.barrier_patience);
        let own_unchecked = *checked != Some(own.write_id);
        Meter::add(&core.meter.barrier_reads);
        let (beyond, lost) =
            join(core.get_header(next, patience), OptionFuture::from(own_unchecked.then(|| core.lost(&own, patience))))
                .await;

        match beyond.map_err(unavailable)? {
            None => {}
            // We went on while the read was under way.
            Some(Ok(found)) if found.write_id.incarnation == core.incarnation => {}
            Some(Ok(found)) => {
                let session = found.session;
                return self.fence(taken_over(session, next));
            }
            Some(Err(error)) => {
                return self.fence(format!("a foreign object stands at position {next} of the log: {error}"));
            }
        }
        match lost.transpose().map_err(unavailable)? {
            Some(Some(reason)) => return self.fence(reason),
            Some(None) => *checked = Some(own.write_id),
            None => {}
        }
        if core.proof_is_stale() && !floor_allows(core, &self.tail).await {
            return Err(BarrierError::Fenced(core.fence.reason().unwrap_or_default()));
        }
        if idle {
            core.proven_at(began);
        }
        match core.fence.reason() {
            Some(reason) => Err(BarrierError::Fenced(reason)),
            None => Ok(self.tail.lock().definite),
        }
    }

    fn fence(&self, reason: String) -> Answer {
        self.core.fence.raise(reason.clone());
        Err(BarrierError::Fenced(reason))
    }
}

fn unavailable(fault: Fault) -> BarrierError {
    BarrierError::Unavailable(fault.to_string())
}
