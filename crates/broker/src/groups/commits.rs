//! Offsets on their way into the log.
//!
//! Commits gather for 25 ms, those of one member in one entry, and may then wait for the flush timer together with data:
//! a thousand groups that commit every few seconds cost no more requests than one. A group that commits again within the
//! flush interval of its last answer is in a loop that the timer would slow down to half its pace or worse: such commits are
//! flushed early, as a producer's batches are. An offset that is committed already is left
//! out of the entry; a commit of nothing else is acknowledged after a barrier, since somebody else may have committed
//! since.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kafscale_runtime::Instant;
use kafscale_state::{
    Handle, State, Verdict,
    entry::{Committer, Entry, OffsetChange, OffsetsSaved},
    group::Content,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::{
    Error, OffsetError,
    coordinator::{Coordinator, Shared},
};
use crate::write::FLUSH_INTERVAL;

/// How long commits gather.
const GATHER: Duration = Duration::from_millis(25);
/// Commits of nothing new are confirmed together, so often at most.
const CONFIRM: Duration = Duration::from_millis(250);

/// What a client commits.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Its member id; empty for none.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// The generation, or the epoch of a member of a KIP-848 group; -1 for none.
    pub generation: i32,
    /// Whether its request has epochs.
    pub knows_epochs: bool,
    /// What becomes of the offset of which partition.
    pub offsets: Vec<(Handle, OffsetChange)>,
}

type Outcome = Result<BTreeMap<Handle, Result<(), OffsetError>>, Error>;

/// Group, member id (empty for none) and generation.
type Key = (String, String, i32);

#[derive(Default)]
struct Gathered {
    offsets: BTreeMap<Handle, OffsetChange>,
    waiting: Vec<oneshot::Sender<Outcome>>,
    /// Somebody waits for it who commits again as soon as it is answered.
    is_urgent: bool,
}

/// Commits that gather, and how many are on their way.
#[derive(Default)]
pub(super) struct Commits {
    state: Mutex<Gathering>,
    changed: Notify,
}

#[derive(Default)]
struct Gathering {
    open: BTreeMap<Key, Gathered>,
    /// Entries on their way, by group.
    in_flight: BTreeMap<String, usize>,
    /// Groups whose commits were answered within the last flush interval, and when.
    answered: BTreeMap<String, Instant>,
}

impl Coordinator {
    /// Commits offsets: each with what became of it, in the order of the commit. Nobody is told before it is durable.
    pub async fn commit(&self, group: &str, commit: Commit) -> Result<Vec<Result<(), OffsetError>>, Error> {
        let handles: Vec<Handle> = commit.offsets.iter().map(|(handle, _)| *handle).collect();
        let outcome = self.shared.begin(group, commit)?;
        let outcome = match outcome {
            Begun::Unchanged => {
                self.shared.be_current(CONFIRM).await?;
                return Ok(vec![Ok(()); handles.len()]);
            }
            Begun::Gathers(outcome) => outcome.await.map_err(|_| Error::NotCoordinator)??,
        };
        Ok(handles.iter().map(|handle| outcome.get(handle).copied().unwrap_or(Ok(()))).collect())
    }

    /// Deletes offsets on an operator's word.
    pub async fn delete_offsets(&self, group: &str, handles: &[Handle]) -> Result<(), Error> {
        let verdict = {
            let _table = self.shared.table.lock();
            self.shared.commits.submit(&self.shared);
            let offsets = handles.iter().map(|handle| (*handle, OffsetChange::Delete)).collect();
            let entry = OffsetsSaved { group: group.to_owned(), by: Committer::Operator, offsets };
            self.shared.writer.submit(None, Entry::OffsetsSaved(entry), false)
        };
        match verdict.await? {
            Verdict::Refused(refused) => Err(refused.into()),
            _ => Ok(()),
        }
    }
}

enum Begun {
    /// All of it is committed already.
    Unchanged,
    /// It waits for its entry.
    Gathers(oneshot::Receiver<Outcome>),
}

impl Shared {
    /// Judges a commit and lets it gather, in one step.
    fn begin(self: &Arc<Self>, id: &str, commit: Commit) -> Result<Begun, Error> {
        let by_member = match self.look(id, |group, now| group.may_commit(&commit, now)) {
            Some(judged) => judged?,
            None if commit.generation < 0 => None,
            None => return Err(Error::GroupNotFound),
        };
        let Commit { member_id, mut offsets, .. } = commit;
        let key = match by_member {
            Some(generation) => (id.to_owned(), member_id, generation),
            None => (id.to_owned(), String::new(), -1),
        };
        let mut state = self.commits.state.lock();
        let pending = state.in_flight.contains_key(id) || state.open.keys().any(|(group, ..)| group == id);
        if !pending {
            let young = self.settings.offsets_retention / 8;
            self.replica.read(|replica| {
                if is_current(replica, &key) {
                    offsets.retain(|(handle, change)| !is_unchanged(replica, id, *handle, change, young));
                }
            });
        }
        if offsets.is_empty() {
            return Ok(Begun::Unchanged);
        }
        let (sender, outcome) = oneshot::channel();
        let answered_at = state.answered.get(id).copied();
        let is_urgent = answered_at.is_some_and(|at| self.runtime.now().saturating_sub(at) < FLUSH_INTERVAL);
        let gathered = state.open.entry(key).or_default();
        gathered.is_urgent |= is_urgent;
        gathered.offsets.extend(offsets);
        gathered.waiting.push(sender);
        self.commits.changed.notify_one();
        Ok(Begun::Gathers(outcome))
    }
}

/// Whether apply would take a commit of this committer.
fn is_current(state: &State, (group, member, generation): &Key) -> bool {
    match state.group(group).map(|group| group.content()) {
        None => false,
        Some(content) if member.is_empty() => !content.has_members(),
        Some(Content::Classic(classic)) => classic.generation == *generation && classic.member(member).is_some(),
        Some(Content::Consumer(consumer)) => consumer.member(member).is_some_and(|member| member.epoch == *generation),
    }
}

/// Whether the state says the same, and has for so short a time that the offset does not begin to look old.
fn is_unchanged(state: &State, group: &str, handle: Handle, change: &OffsetChange, young: Duration) -> bool {
    let (OffsetChange::Commit { offset, leader_epoch, metadata, expires_ms: None }, Some(known)) =
        (change, state.committed(group, handle))
    else {
        return false;
    };
    let age_ms = state.cluster_time_ms().saturating_sub(known.committed_ms);
    known.offset == *offset
        && known.leader_epoch == *leader_epoch
        && *known.metadata == **metadata
        && known.expires_ms.is_none()
        && u128::from(age_ms.unsigned_abs()) < young.as_millis()
}

impl Commits {
    /// Hands all that has gathered to the write path.
    pub(super) fn submit(&self, shared: &Arc<Shared>) {
        let now = shared.runtime.now();
        let mut state = self.state.lock();
        state.answered.retain(|_, at| now.saturating_sub(*at) < FLUSH_INTERVAL);
        for ((group, member, epoch), gathered) in std::mem::take(&mut state.open) {
            let by = match member.is_empty() {
                true => Committer::Outsider,
                false => Committer::Member { id: member, epoch },
            };
            let handles: Vec<Handle> = gathered.offsets.keys().copied().collect();
            let offsets = gathered.offsets.into_iter().collect();
            let entry = OffsetsSaved { group: group.clone(), by, offsets };
            let verdict = shared.writer.submit(None, Entry::OffsetsSaved(entry), !gathered.is_urgent);
            *state.in_flight.entry(group.clone()).or_default() += 1;
            let shared = Arc::clone(shared);
            let runtime = Arc::clone(&shared.runtime);
            let finish = async move {
                let outcome: Outcome = match verdict.await {
                    Ok(Verdict::OffsetsSaved(verdicts)) => {
                        let verdicts = verdicts.into_iter().map(|verdict| verdict.map_err(OffsetError::from));
                        Ok(handles.into_iter().zip(verdicts).collect())
                    }
                    Ok(Verdict::Refused(refused)) => Err(refused.into()),
                    Ok(other) => unreachable!("apply answers a commit so: {other:?}"),
                    Err(error) => Err(error.into()),
                };
                shared.commits.landed(&group, shared.runtime.now());
                for waiting in gathered.waiting {
                    let _ = waiting.send(outcome.clone());
                }
            };
            runtime.spawn("offsets", Box::pin(finish));
        }
    }

    fn landed(&self, group: &str, now: Instant) {
        let mut state = self.state.lock();
        state.answered.insert(group.to_owned(), now);
        if let Some(count) = state.in_flight.get_mut(group) {
            *count -= 1;
            if *count == 0 {
                state.in_flight.remove(group);
            }
        }
    }
}

/// Submits what has gathered, 25 ms after its first.
pub(super) async fn run(shared: Arc<Shared>) {
    while !shared.writer.is_stopped() {
        shared.commits.changed.notified().await;
        shared.runtime.sleep(GATHER).await;
        // Under the lock of the table, so that commits and saves are in one order.
        let _table = shared.table.lock();
        shared.commits.submit(&shared);
    }
}
