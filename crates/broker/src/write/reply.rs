//! How a request hears what became of its parts.
//!
//! A request with many parts (partitions of a Produce) gets one [`Outcome`] when the last part is resolved: parts may land
//! in different objects. A part that is dropped unresolved counts as [`Error::Stopped`], so nobody waits for ever.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Error;

/// What became of one batch.
pub type BatchResult = Result<Appended, Error>;

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: i64,
    /// The partition's log start offset.
    pub log_start_offset: i64,
    /// Its greatest timestamp as it is stored. None for a retry of what was applied before: the state does not keep it.
    pub max_timestamp: Option<i64>,
}

/// The results of all parts, in the order they were made.
pub type Outcome = Vec<BatchResult>;

struct Slot {
    results: Vec<BatchResult>,
    missing: usize,
    done: Option<oneshot::Sender<Outcome>>,
}

/// One part's way to answer.
pub struct Reply {
    slot: Arc<Mutex<Slot>>,
    index: usize,
    resolved: bool,
}

/// Replies for `count` parts and the receiver of the whole; none of either for no parts.
pub fn replies(count: usize) -> (Vec<Reply>, oneshot::Receiver<Outcome>) {
    let (done, outcome) = oneshot::channel();
    let slot = Slot { results: vec![Err(Error::Stopped); count], missing: count, done: Some(done) };
    if count == 0 {
        return (Vec::new(), finished(slot, outcome));
    }
    let slot = Arc::new(Mutex::new(slot));
    let reply = |index| Reply { slot: Arc::clone(&slot), index, resolved: false };
    ((0..count).map(reply).collect(), outcome)
}

fn finished(mut slot: Slot, outcome: oneshot::Receiver<Outcome>) -> oneshot::Receiver<Outcome> {
    if let Some(done) = slot.done.take() {
        let _ = done.send(slot.results);
    }
    outcome
}

impl Reply {
    /// Says what became of this part.
    pub fn resolve(mut self, result: BatchResult) {
        self.settle(Some(result));
    }

    /// Whether anybody still waits for the whole.
    pub fn is_awaited(&self) -> bool {
        self.slot.lock().done.as_ref().is_some_and(|done| !done.is_closed())
    }

    fn settle(&mut self, result: Option<BatchResult>) {
        if std::mem::replace(&mut self.resolved, true) {
            return;
        }
        let mut slot = self.slot.lock();
        if let Some(result) = result {
            slot.results[self.index] = result;
        }
        slot.missing -= 1;
        if slot.missing == 0
            && let Some(done) = slot.done.take()
        {
            let _ = done.send(std::mem::take(&mut slot.results));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.settle(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_comes_with_the_last_part_in_the_order_of_the_parts() {
        let (mut parts, mut outcome) = replies(2);
        let appended = Appended { base_offset: 7, log_start_offset: 0, max_timestamp: None };
        parts.pop().unwrap().resolve(Ok(appended));
        assert!(outcome.try_recv().is_err());
        parts.pop().unwrap().resolve(Err(Error::UnknownPartition));
        assert_eq!(outcome.try_recv().unwrap(), vec![Err(Error::UnknownPartition), Ok(appended)]);
    }

    #[test]
    fn a_part_dropped_unresolved_does_not_leave_the_request_waiting() {
        let (parts, mut outcome) = replies(1);
        drop(parts);
        assert_eq!(outcome.try_recv().unwrap(), vec![Err(Error::Stopped)]);
    }

    #[test]
    fn a_request_without_parts_is_done_at_once() {
        let (parts, mut outcome) = replies(0);
        assert!(parts.is_empty());
        assert_eq!(outcome.try_recv().unwrap(), vec![]);
    }
}
