//! Offsets that expire, and groups that nobody uses any more.
//!
//! Offsets of a group without members expire `offsets.retention.minutes` after the last one left or after their commit,
//! whichever is later; while a group of consumers has members, only those of topics that nobody reads. What is due is
//! found here; apply decides once more, against what is committed and the log's own time by then.

use std::sync::Arc;

use kafscale_state::{
    Handle, State,
    entry::{Committer, Entry, GroupDeleted, OffsetChange, OffsetsSaved},
    group,
};

use super::{coordinator::Shared, group::Group, views};

/// Entries of one round: the rest waits for the next.
const ENTRIES_MAX: usize = 1_000;

pub(super) async fn run(shared: Arc<Shared>) {
    while !shared.writer.is_stopped() {
        shared.runtime.sleep(shared.settings.offsets_retention_check).await;
        for entry in due(&shared) {
            // Nobody waits for it, and what was not written is found again.
            drop(shared.writer.submit(None, entry, true));
        }
    }
}

fn due(shared: &Arc<Shared>) -> Vec<Entry> {
    let retention_ms = i64::try_from(shared.settings.offsets_retention.as_millis()).unwrap_or(i64::MAX);
    let now = shared.runtime.now();
    let table = shared.table.lock();
    shared.replica.read(|state| {
        let now_ms = shared.lone.cluster_time_ms();
        let since_ms = now_ms.saturating_sub(retention_ms);
        let mut entries = Vec::new();
        for (id, saved) in state.groups() {
            if entries.len() >= ENTRIES_MAX {
                break;
            }
            let has_members = saved.content().has_members();
            let loaded = table.rows.get(id);
            let read = match (has_members, loaded) {
                (false, None) => Some(Default::default()),
                (false, Some(_)) => continue,
                (true, Some(row)) if row.group.is_stable() => views::subscribed(&row.group),
                (true, Some(_)) => continue,
                (true, None) => views::subscribed(&Group::load(id, saved, now, state)),
            };
            let Some(read) = read else { continue };
            let unread = |handle: &Handle| {
                state.partition(*handle).is_some_and(|partition| !read.contains(partition.topic().name()))
            };
            let old = saved.offsets().filter(|(_, committed)| is_old(saved, committed, since_ms, now_ms));
            let expired: Vec<Handle> = old.map(|(handle, _)| handle).filter(unread).collect();
            let by = if has_members { Committer::Operator } else { Committer::Outsider };
            if !expired.is_empty() {
                let offsets = expired.iter().map(|handle| (*handle, OffsetChange::Expire { since_ms })).collect();
                entries.push(Entry::OffsetsSaved(OffsetsSaved { group: id.to_owned(), by, offsets }));
            }
            if !has_members && live_offsets(state, saved) == expired.len() {
                entries.push(Entry::GroupDeleted(GroupDeleted { group: id.to_owned(), unless_used: true }));
            }
        }
        entries
    })
}

fn is_old(group: &group::Group, committed: &group::Committed, since_ms: i64, now_ms: i64) -> bool {
    match committed.expires_ms {
        Some(expires_ms) => expires_ms <= now_ms,
        None if group.content().has_members() => committed.committed_ms <= since_ms,
        None => committed.committed_ms.max(group.saved_ms()) <= since_ms,
    }
}

fn live_offsets(state: &State, group: &group::Group) -> usize {
    group.offsets().filter(|(handle, _)| state.partition(*handle).is_some()).count()
}
