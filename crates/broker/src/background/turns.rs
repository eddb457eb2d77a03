//! One at a time: rewriter and cleaner are never at the same partition at once.
//!
//! The log would refuse one of them, so this is not what keeps records right. It keeps the numbers of merged objects in the
//! order of what they say: of two objects with records of a partition the later one knows all that the earlier one did, also
//! if the log took neither of them. A recovery that finds them without their log goes by that.

use std::{collections::BTreeSet, sync::Arc};

use kafscale_state::Handle;
use parking_lot::Mutex;

/// See the module. Clones share the partitions.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<BTreeSet<Handle>>>);

/// A partition that nobody else rewrites until this is dropped.
pub struct Turn {
    partition: Handle,
    turns: Turns,
}

impl Turns {
    /// Takes a partition; none while another job has it. What is to be done there is to be looked up after that.
    pub fn take(&self, partition: Handle) -> Option<Turn> {
        let is_free = self.0.lock().insert(partition);
        is_free.then(|| Turn { partition, turns: self.clone() })
    }

    /// Whether a job has it now.
    pub fn is_taken(&self, partition: Handle) -> bool {
        self.0.lock().contains(&partition)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.0.lock().remove(&self.partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_one_jobs_until_that_is_done() {
        let turns = Turns::default();
        let turn = turns.take(7).expect("it is free");
        assert!(turns.take(7).is_none() && turns.is_taken(7));
        assert!(turns.take(8).is_some() && !turns.is_taken(8), "and given back at once");
        drop(turn);
        assert!(turns.take(7).is_some());
    }
}
