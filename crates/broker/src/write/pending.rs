//! Idempotent batches that are buffered or in flight, so that intake can judge a batch against all that is known: what was
//! applied plus our own pending.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use kafscale_state::{
    Handle,
    producer::{Claim, sequence_after},
};
use parking_lot::Mutex;

use super::reply::Reply;

/// Who waits for a batch: a retry of a pending batch joins those who wait already.
#[derive(Clone, Default)]
pub struct Waiting(Arc<Mutex<Vec<Reply>>>);

impl Waiting {
    /// One who waits.
    pub fn new(reply: Reply) -> Self {
        Self(Arc::new(Mutex::new(vec![reply])))
    }

    /// Takes all who wait.
    pub fn take(&self) -> Vec<Reply> {
        std::mem::take(&mut self.0.lock())
    }

    fn join(&self, other: &Self) {
        let joining = other.take();
        let mut waiting = self.0.lock();
        // Clients that gave up and asked again would gather here for as long as the store is slow.
        waiting.retain(Reply::is_awaited);
        waiting.extend(joining);
    }
}

struct Batch {
    claim: Claim,
    waiting: Waiting,
}

/// The pending batches of every producer and partition, each in the order of the log.
#[derive(Default)]
pub struct Pending {
    producers: BTreeMap<(Handle, i64), VecDeque<Batch>>,
}

/// What the pending batches say of a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Relation {
    /// They say nothing: the applied state decides.
    Unrelated,
    /// It is next behind them.
    Next,
    /// It is one of them; who sent it waits with the others now.
    Joined,
    /// Its epoch is older than theirs.
    OlderEpoch,
    /// It neither continues nor repeats them as they are; that may change when they are applied.
    Unclear,
}

impl Pending {
    /// Relates a batch to the pending ones of its producer and partition; joins the one that it repeats.
    pub fn relate(&self, partition: Handle, producer_id: i64, claim: Claim, waiting: &Waiting) -> Relation {
        let Some(batches) = self.producers.get(&(partition, producer_id)) else { return Relation::Unrelated };
        let last = batches.back().expect("emptied lists are removed").claim;
        if claim.epoch != last.epoch {
            return match claim.epoch > last.epoch && claim.base_sequence == 0 {
                true => Relation::Next,
                false if claim.epoch < last.epoch => Relation::OlderEpoch,
                false => Relation::Unclear,
            };
        }
        if claim.base_sequence == sequence_after(last.base_sequence, last.records) {
            return Relation::Next;
        }
        // Within an epoch each continues the one before, so they are in the order of their distance from the first.
        let of_epoch = batches.partition_point(|batch| batch.claim.epoch < claim.epoch);
        let first = batches[of_epoch].claim;
        let ahead =
            |claim: Claim| (claim.base_sequence as u32).wrapping_sub(first.base_sequence as u32) & i32::MAX as u32;
        let at = batches.partition_point(|batch| batch.claim.epoch < claim.epoch || ahead(batch.claim) < ahead(claim));
        if let Some(same) = batches.get(at).filter(|batch| batch.claim == claim) {
            same.waiting.join(waiting);
            return Relation::Joined;
        }
        // Half of the circle tells before from after, as in the state.
        if of_epoch == 0 && ahead(claim) >= 1 << 30 { Relation::Unrelated } else { Relation::Unclear }
    }

    /// A batch was buffered.
    pub fn push(&mut self, partition: Handle, producer_id: i64, claim: Claim, waiting: Waiting) {
        self.producers.entry((partition, producer_id)).or_default().push_back(Batch { claim, waiting });
    }

    /// The oldest pending batch of this producer and partition was applied.
    pub fn pop(&mut self, partition: Handle, producer_id: i64) {
        if let Some(batches) = self.producers.get_mut(&(partition, producer_id)) {
            batches.pop_front();
            if batches.is_empty() {
                self.producers.remove(&(partition, producer_id));
            }
        }
    }

    /// Nothing is pending any more.
    pub fn clear(&mut self) {
        self.producers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::reply::replies;

    fn claim(epoch: i16, base_sequence: i32, records: u32) -> Claim {
        Claim { epoch, base_sequence, records }
    }

    fn relate(pending: &Pending, claim: Claim) -> Relation {
        pending.relate(1, 9, claim, &Waiting::default())
    }

    #[test]
    fn pending_batches_are_continued_repeated_and_fenced() {
        let mut pending = Pending::default();
        assert_eq!(relate(&pending, claim(0, 5, 5)), Relation::Unrelated);
        pending.push(1, 9, claim(3, 10, 5), Waiting::default());
        pending.push(1, 9, claim(3, 15, 1), Waiting::default());
        assert_eq!(relate(&pending, claim(3, 16, 2)), Relation::Next);
        assert_eq!(relate(&pending, claim(3, 10, 5)), Relation::Joined);
        assert_eq!(relate(&pending, claim(3, 10, 6)), Relation::Unclear, "half known: wait until it is applied");
        assert_eq!(relate(&pending, claim(3, 18, 2)), Relation::Unclear, "ahead");
        assert_eq!(relate(&pending, claim(3, 8, 2)), Relation::Unrelated, "before all pending: the state knows");
        assert_eq!(relate(&pending, claim(2, 16, 2)), Relation::OlderEpoch);
        assert_eq!(relate(&pending, claim(4, 0, 2)), Relation::Next);
        assert_eq!(relate(&pending, claim(4, 7, 2)), Relation::Unclear);
        pending.pop(1, 9);
        pending.pop(1, 9);
        assert_eq!(relate(&pending, claim(3, 16, 2)), Relation::Unrelated);
    }

    #[test]
    fn the_sequence_wraps() {
        let mut pending = Pending::default();
        pending.push(1, 9, claim(0, i32::MAX - 1, 3), Waiting::default());
        assert_eq!(relate(&pending, claim(0, 1, 1)), Relation::Next);
    }

    #[test]
    fn many_pending_batches_are_told_apart_also_across_epochs_and_the_wrap() {
        let mut pending = Pending::default();
        let claims: Vec<_> = (0..100).map(|n| claim(3, sequence_after(i32::MAX - 50, 2 * n), 2)).collect();
        let bumped: Vec<_> = (0..100).map(|n| claim(4, 2 * n, 2)).collect();
        for claim in claims.iter().chain(&bumped) {
            assert!(matches!(relate(&pending, *claim), Relation::Unrelated | Relation::Next));
            pending.push(1, 9, *claim, Waiting::default());
        }
        assert!(bumped.iter().all(|claim| relate(&pending, *claim) == Relation::Joined));
        assert!(claims.iter().all(|claim| relate(&pending, *claim) == Relation::OlderEpoch));
        assert_eq!(relate(&pending, claim(4, 3, 2)), Relation::Unclear);
        assert_eq!(relate(&pending, claim(4, i32::MAX, 1)), Relation::Unclear);
        for _ in 0..150 {
            pending.pop(1, 9);
        }
        assert_eq!(relate(&pending, claim(4, 98, 2)), Relation::Unrelated);
        assert_eq!(relate(&pending, claim(4, 100, 2)), Relation::Joined);
    }

    #[test]
    fn retries_that_were_given_up_do_not_gather() {
        let mut pending = Pending::default();
        let waiting = Waiting::default();
        pending.push(1, 9, claim(0, 0, 1), waiting.clone());
        let outcomes: Vec<_> = (0..10)
            .map(|_| {
                let (mut parts, outcome) = replies(1);
                assert_eq!(pending.relate(1, 9, claim(0, 0, 1), &Waiting::new(parts.remove(0))), Relation::Joined);
                outcome
            })
            .skip(8)
            .collect();
        assert_eq!(outcomes.len(), 2);
        assert_eq!(waiting.take().len(), 2);
    }

    #[test]
    fn a_retry_gets_the_answer_of_the_pending_batch() {
        let mut pending = Pending::default();
        let (mut first, _outcome) = replies(1);
        let (mut second, _outcome_of_retry) = replies(1);
        let waiting = Waiting::new(first.remove(0));
        pending.push(1, 9, claim(0, 0, 1), waiting.clone());
        let retry = Waiting::new(second.remove(0));
        assert_eq!(pending.relate(1, 9, claim(0, 0, 1), &retry), Relation::Joined);
        assert_eq!(waiting.take().len(), 2);
        assert!(retry.take().is_empty());
    }
}
