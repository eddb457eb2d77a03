//! How what is decided of a group reaches the log, and what follows if it does not, or not for long.

use std::{sync::Arc, time::Duration};

use kafscale_runtime::{Instant, timeout};
use kafscale_state::{
    Verdict,
    entry::{Entry, GroupSaved},
};

use super::{
    Error,
    coordinator::{Shared, Table},
};
use crate::write::STALL;

/// A group that could not be saved has no timer for so long: where saves fail at once, one would follow the other.
const REST: Duration = Duration::from_secs(1);

impl Shared {
    /// Commits that were decided before the save go before it.
    pub fn save(self: &Arc<Self>, stay: u64, entry: GroupSaved) {
        self.commits.submit(self);
        let id = entry.group.clone();
        let has_members = entry.content.has_members();
        let verdict = self.writer.submit_until_decided(Entry::GroupSaved(entry), !has_members);
        let shared = Arc::clone(self);
        let finish = async move {
            let mut verdict = std::pin::pin!(verdict);
            let decided = match timeout(&*shared.runtime, STALL, verdict.as_mut()).await {
                Ok(decided) => decided,
                Err(_) => {
                    shared.doubt(&id, stay);
                    verdict.await
                }
            };
            let outcome = match decided {
                Ok(Verdict::GroupSaved { revision }) => Ok(revision),
                Ok(Verdict::Refused(refused)) => Err(refused.into()),
                Ok(other) => unreachable!("apply answers a save so: {other:?}"),
                Err(error) => Err(error.into()),
            };
            shared.saved(&id, stay, outcome);
        };
        self.runtime.spawn("group save", Box::pin(finish));
    }

    /// The store has not confirmed a save for long: whoever waits for it hears so, and nobody else is answered before it
    /// is known. What was saved before may not count any more.
    fn doubt(&self, id: &str, stay: u64) {
        let mut table = self.table.lock();
        if table.rows.get(id).is_none_or(|row| row.stay != stay) {
            return;
        }
        tracing::warn!(group = id, "it is not known whether a group was saved; it waits for the store");
        table.undecided.insert(id.to_owned());
        if let Some(mut row) = table.remove(id) {
            row.group.fail(Error::NotAvailable);
        }
    }

    fn saved(self: &Arc<Self>, id: &str, stay: u64, outcome: Result<u64, Error>) {
        let now = self.runtime.now();
        let mut table = self.table.lock();
        let table = &mut *table;
        if table.undecided.remove(id) {
            // Whoever waited was told, and the state knows by now what counts.
            return self.reload(table, id, now);
        }
        let Some(row) = table.rows.get_mut(id).filter(|row| row.stay == stay) else { return };
        match outcome {
            Ok(revision) => row.group.saved(revision, now),
            Err(error) => {
                tracing::warn!(group = id, %error, "a group was not saved; it goes on as it was saved before");
                if let Some(mut row) = table.remove(id) {
                    row.group.fail(error);
                }
                self.reload(table, id, now);
                return;
            }
        }
        self.settle(table, id, now);
    }

    /// The group goes on as it is in the state, after a rest.
    fn reload(self: &Arc<Self>, table: &mut Table, id: &str, now: Instant) {
        if let Some(group) = self.load(id, now).filter(|group| group.member_count() > 0 && !table.ended) {
            table.insert(group, now + REST);
            self.settle(table, id, now);
        }
    }
}
