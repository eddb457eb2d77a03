//! The applied state as intake sees it.

use std::sync::Arc;

use kafscale_state::{
    Backlog,
    producer::{Claim, Judgement, Piece, Refused, judge},
};

use super::{Append, Appended, Error, Judge, Judged};
use crate::replica::Replica;

/// Judges batches by this broker's replica, with the very function that apply uses.
pub struct StateJudge(pub Arc<Replica>);

impl Judge for StateJudge {
    fn judge(&self, append: &Append, claim: Claim) -> Judged {
        let Some(producer_id) = append.producer_id() else { return Judged::Accept };
        self.0.read(|state| {
            let known = state.producer(append.partition, producer_id);
            let facts = state.producer_facts(append.partition, producer_id);
            // As in apply: nothing else is said of a partition that is gone.
            let Some(partition) = state.partition(append.partition) else { return refuse(Error::UnknownPartition) };
            let log_start_offset = partition.log_start_offset();
            match judge(known, facts, claim) {
                Judgement::Next => Judged::Accept,
                // Apply decides what becomes of the rest of a half-known batch: it cannot be split here.
                Judgement::PrefixKnown { .. } => refuse(Error::OutOfOrderSequence),
                Judgement::Known(pieces) => match pieces.first() {
                    Some(Piece { base_offset: Some(base_offset), .. }) => {
                        let base_offset = *base_offset;
                        Judged::Known(Appended { base_offset, log_start_offset, max_timestamp: None })
                    }
                    _ => refuse(Error::DuplicateSequence),
                },
                Judgement::Refused(Refused::OutOfOrderSequenceNumber) => {
                    Judged::Refuse { error: Error::OutOfOrderSequence, may_change: true }
                }
                Judgement::Refused(Refused::InvalidProducerEpoch) => refuse(Error::InvalidProducerEpoch),
                Judgement::Refused(Refused::DuplicateSequenceNumber) => refuse(Error::DuplicateSequence),
            }
        })
    }

    #[cfg(feature = "planted-bugs")]
    fn end(&self, partition: kafscale_state::Handle) -> i64 {
        self.0.read(|state| state.partition(partition).map_or(0, |partition| partition.high_watermark()))
    }

    fn backlog(&self) -> Backlog {
        self.0.read(|state| state.backlog())
    }
}

fn refuse(error: Error) -> Judged {
    Judged::Refuse { error, may_change: false }
}
