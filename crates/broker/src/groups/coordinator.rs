//! The table of groups, and the tasks that belong to it.
//!
//! One lock over all groups, held for a step of one group's state machine. After each step the group's next timer is
//! noted, and what it wants saved is handed to the write path while the lock is still held: saves and commits reach the
//! log in the order in which they were decided.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use kafscale_log::lone::Lone;
use kafscale_runtime::{Handle as Runtime, Instant};
use kafscale_state::{
    Verdict,
    entry::{Entry, GroupDeleted},
};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::{
    Error, STALE, WEIGHT_MAX,
    classic::{JoinAnswer, JoinRequest, Leaving, SyncAnswer, SyncRequest},
    commits::Commits,
    consumer,
    group::Group,
    retention,
};
use crate::{replica::Replica, settings::GroupSettings, write::Writer};

/// See the module. Clones share it.
#[derive(Clone)]
pub struct Coordinator {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub runtime: Runtime,
    pub lone: Arc<Lone>,
    pub replica: Arc<Replica>,
    pub writer: Writer,
    pub settings: GroupSettings,
    pub table: Mutex<Table>,
    pub commits: Commits,
    /// A timer may be due earlier than it was.
    changed: Notify,
    /// When the replica was last seen to be current.
    current_at: Mutex<Option<Instant>>,
}

/// A group and what the table knows of it.
pub(super) struct Row {
    pub group: Group,
    wake_at: Option<Instant>,
    /// It is not woken before.
    rests_until: Instant,
    weight: u64,
    /// Numbers this stay of the group in memory: an answer that belongs to an earlier one is nobody's.
    pub stay: u64,
}

/// Groups in memory: those that have members, or are about to.
#[derive(Default)]
pub(super) struct Table {
    pub rows: BTreeMap<String, Row>,
    /// Groups whose save may have been appended or not: nobody speaks for them until that is known.
    pub undecided: BTreeSet<String>,
    wakes: BTreeSet<(Instant, String)>,
    weight: u64,
    stays: u64,
    pub ended: bool,
}

impl Coordinator {
    /// A coordinator over a replica that has applied everything. Groups that have members go on.
    pub fn start(
        runtime: Runtime,
        lone: Arc<Lone>,
        replica: Arc<Replica>,
        writer: Writer,
        settings: GroupSettings,
    ) -> Self {
        let shared = Arc::new(Shared {
            runtime: Arc::clone(&runtime),
            lone,
            replica,
            writer,
            settings,
            table: Mutex::default(),
            commits: Commits::default(),
            changed: Notify::new(),
            current_at: Mutex::default(),
        });
        shared.load_all();
        runtime.spawn("group timers", Box::pin(run_timers(Arc::clone(&shared))));
        runtime.spawn("offset commits", Box::pin(super::commits::run(Arc::clone(&shared))));
        runtime.spawn("offset retention", Box::pin(retention::run(Arc::clone(&shared))));
        Self { shared }
    }

    /// Whether this broker coordinates a group. The lone broker owns every slot.
    pub fn is_coordinator(&self, group: &str) -> bool {
        self.shared.owns(super::slot_of(group))
    }

    /// Waits until this broker may speak for a group: it owns the slot, and its replica is not older than five seconds.
    pub async fn ready(&self, group: &str) -> Result<(), Error> {
        if !self.is_coordinator(group) {
            return Err(Error::NotCoordinator);
        }
        self.shared.be_current(STALE).await?;
        let is_undecided = self.shared.table.lock().undecided.contains(group);
        if is_undecided { Err(Error::NotAvailable) } else { Ok(()) }
    }

    /// A client joins a group. The answer may take as long as a rebalance.
    pub fn join(&self, group: &str, request: JoinRequest) -> oneshot::Receiver<JoinAnswer> {
        let (answer, answered) = oneshot::channel();
        let shared = &self.shared;
        let known = request.member_id.clone();
        if group.is_empty() {
            let _ = answer.send(Err((Error::InvalidGroupId, known)));
            return answered;
        }
        let settings = &shared.settings;
        let bounds = settings.session_timeout_min..=settings.session_timeout_max;
        if !bounds.contains(&request.session_timeout) {
            let _ = answer.send(Err((Error::InvalidSessionTimeout, known)));
            return answered;
        }
        let prefix = request.instance_id.as_deref().unwrap_or(&request.client_id);
        let new_id = format!("{prefix}-{}", uuid(shared.runtime.random_u128()));
        let mut answer = Some(answer);
        let may_create = request.member_id.is_empty();
        let found = shared.step(group, may_create, |row, now| {
            if let Some(answer) = answer.take() {
                shared.replica.read(|state| row.join(request, new_id, answer, state, now, settings));
            }
        });
        if let (Err(error), Some(answer)) = (found, answer) {
            let error = if error == Error::GroupNotFound { Error::UnknownMember } else { error };
            let _ = answer.send(Err((error, known)));
        }
        answered
    }

    /// A member asks for its assignment.
    pub fn sync(&self, group: &str, request: SyncRequest) -> oneshot::Receiver<SyncAnswer> {
        let (answer, answered) = oneshot::channel();
        if group.is_empty() {
            let _ = answer.send(Err(Error::InvalidGroupId));
            return answered;
        }
        let mut answer = Some(answer);
        let found = self.shared.step(group, false, |row, now| {
            if let Some(answer) = answer.take() {
                self.shared.replica.read(|state| row.sync(request, answer, state, now));
            }
        });
        if let (Err(error), Some(answer)) = (found, answer) {
            let error = if error == Error::GroupNotFound { Error::UnknownMember } else { error };
            let _ = answer.send(Err(error));
        }
        answered
    }

    /// A member says that it lives.
    pub fn heartbeat(
        &self,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), Error> {
        if group.is_empty() {
            return Err(Error::InvalidGroupId);
        }
        let beaten = self.shared.look(group, |row, now| match row {
            Group::Classic(row) => Some(row.heartbeat(member_id, instance_id, generation, now)),
            Group::Consumer(_) => None,
        });
        if let Some(Some(beaten)) = beaten {
            return beaten;
        }
        // In a KIP-848 group the answer may start a timer.
        let beaten = self.shared.step(group, false, |row, now| {
            let row = row.as_consumer().ok_or(Error::UnknownMember)?;
            let replica = &self.shared.replica;
            replica.read(|state| row.heartbeat_classic(member_id, instance_id, generation, state, now))
        });
        match beaten.flatten() {
            Err(Error::GroupNotFound) => Err(Error::UnknownMember),
            beaten => beaten,
        }
    }

    /// Members leave; the answers are in the order of the request.
    pub fn leave(&self, group: &str, leaving: &[Leaving]) -> Result<Vec<Result<(), Error>>, Error> {
        if group.is_empty() {
            return Err(Error::InvalidGroupId);
        }
        let settings = &self.shared.settings;
        let left = self
            .shared
            .step(group, false, |row, now| self.shared.replica.read(|state| row.leave(leaving, state, now, settings)));
        match left {
            Err(Error::GroupNotFound) => Ok(vec![Err(Error::UnknownMember); leaving.len()]),
            left => left,
        }
    }

    /// An id for a member that has none.
    pub fn member_id(&self) -> String {
        uuid(self.shared.runtime.random_u128())
    }

    /// A member of a KIP-848 group joins, lives or leaves. What has changed is saved before the answer.
    pub async fn consumer_heartbeat(
        &self,
        group: &str,
        beat: &consumer::Heartbeat<'_>,
    ) -> Result<consumer::Answer, Error> {
        let shared = &self.shared;
        let reply = shared.step(group, beat.joins(), |row, now| {
            shared.replica.read(|state| row.consumer_heartbeat(beat, state, now, &shared.settings))
        });
        match reply.flatten()? {
            consumer::Reply::Now(answer) => Ok(answer),
            consumer::Reply::Later(answer) => answer.await.unwrap_or(Err(Error::NotCoordinator)),
        }
    }

    /// Whether a client may ask for offsets as a member in this epoch. Classic groups do not ask for it.
    pub fn may_fetch(&self, group: &str, member_id: Option<&str>, epoch: i32) -> Result<(), Error> {
        if member_id.is_none() && epoch < 0 {
            return Ok(());
        }
        let judged = self.shared.look(group, |row, _| match row.as_consumer() {
            Some(row) => row.check_epoch_of(member_id.unwrap_or_default(), epoch),
            None => Ok(()),
        });
        judged.unwrap_or(Ok(()))
    }

    /// Deletes a group that has no members, and its offsets.
    pub async fn delete(&self, group: &str) -> Result<(), Error> {
        let shared = &self.shared;
        let deleted = {
            let mut table = shared.table.lock();
            if table.rows.get(group).is_some_and(|row| row.group.member_count() > 0) {
                return Err(Error::GroupNotEmpty);
            }
            // Who was invited is unknown afterwards, as in Kafka.
            table.remove(group);
            shared.commits.submit(shared);
            let entry = GroupDeleted { group: group.to_owned(), unless_used: false };
            shared.writer.submit(None, Entry::GroupDeleted(entry), false)
        };
        match deleted.await? {
            Verdict::Refused(refused) => Err(refused.into()),
            _ => Ok(()),
        }
    }

    /// How many groups and members are in memory.
    pub fn counts(&self) -> (u64, u64) {
        let table = self.shared.table.lock();
        let members = table.rows.values().map(|row| row.group.member_count() as u64).sum();
        (table.rows.len() as u64, members)
    }

    /// No more rebalances: whoever waits is sent to look for another coordinator.
    pub fn end(&self) {
        let mut table = self.shared.table.lock();
        table.ended = true;
        let ids: Vec<String> = table.rows.keys().cloned().collect();
        for id in ids {
            if let Some(mut row) = table.remove(&id) {
                row.group.fail(Error::NotCoordinator);
            }
        }
        self.shared.commits.submit(&self.shared);
    }
}

impl Shared {
    fn owns(&self, slot: usize) -> bool {
        debug_assert!(slot < kafscale_state::SLOTS);
        !self.writer.is_stopped()
    }

    /// Waits for a barrier if the last one is older than this.
    pub async fn be_current(&self, tolerance: Duration) -> Result<(), Error> {
        let now = self.runtime.now();
        if self.current_at.lock().is_some_and(|at| now.saturating_sub(at) < tolerance) {
            return Ok(());
        }
        self.replica.barrier(&*self.lone).await.map_err(|_| Error::NotAvailable)?;
        let mut current_at = self.current_at.lock();
        *current_at = (*current_at).max(Some(now));
        Ok(())
    }

    fn load_all(self: &Arc<Self>) {
        let now = self.runtime.now();
        let loaded: Vec<Group> = self.replica.read(|state| {
            let groups = state.groups().filter(|(_, group)| group.content().has_members());
            groups.map(|(id, group)| Group::load(id, group, now, state)).collect()
        });
        let mut table = self.table.lock();
        for group in loaded {
            let id = group.id().to_owned();
            table.insert(group, Instant::ZERO);
            self.settle(&mut table, &id, now);
        }
    }

    /// One step of a group that may change it. It is loaded from the state if it is not in memory, and made if nobody
    /// knows it and it may be.
    pub fn step<R>(
        self: &Arc<Self>,
        id: &str,
        may_create: bool,
        step: impl FnOnce(&mut Group, Instant) -> R,
    ) -> Result<R, Error> {
        let now = self.runtime.now();
        let mut table = self.table.lock();
        let table = &mut *table;
        self.bring(table, id, may_create, now)?;
        let row = table.rows.get_mut(id).expect("it was brought");
        let result = step(&mut row.group, now);
        self.settle(table, id, now);
        Ok(result)
    }

    /// One step that only notes a sign of life: timers move to later, and need not be noted. None if nobody knows it.
    pub fn look<R>(self: &Arc<Self>, id: &str, step: impl FnOnce(&mut Group, Instant) -> R) -> Option<R> {
        let now = self.runtime.now();
        let mut table = self.table.lock();
        if let Some(row) = table.rows.get_mut(id) {
            return Some(step(&mut row.group, now));
        }
        let mut loaded = self.load(id, now)?;
        Some(step(&mut loaded, now))
    }

    pub fn load(&self, id: &str, now: Instant) -> Option<Group> {
        self.replica.read(|state| state.group(id).map(|saved| Group::load(id, saved, now, state)))
    }

    fn bring(&self, table: &mut Table, id: &str, may_create: bool, now: Instant) -> Result<(), Error> {
        if table.ended {
            return Err(Error::NotCoordinator);
        }
        if table.undecided.contains(id) {
            return Err(Error::NotAvailable);
        }
        if table.rows.contains_key(id) {
            return Ok(());
        }
        let group = self.load(id, now).or_else(|| may_create.then(|| Group::new(id))).ok_or(Error::GroupNotFound)?;
        if table.weight >= WEIGHT_MAX {
            return Err(Error::GroupFull);
        }
        table.insert(group, Instant::ZERO);
        Ok(())
    }

    /// Notes the group's weight and next timer, hands over what it wants saved, and forgets it if nothing is lost by that.
    pub fn settle(self: &Arc<Self>, table: &mut Table, id: &str, now: Instant) {
        let Some(row) = table.rows.get_mut(id) else { return };
        if let Some(entry) = row.group.take_save(now) {
            self.save(row.stay, entry);
        }
        if row.group.is_idle() {
            table.remove(id);
            return;
        }
        let wake_at = row.group.wake_at().map(|at| at.max(row.rests_until));
        let weight = row.group.weight();
        table.weight = table.weight - row.weight + weight;
        row.weight = weight;
        let before = std::mem::replace(&mut row.wake_at, wake_at);
        if before != wake_at {
            before.map(|at| table.wakes.remove(&(at, id.to_owned())));
            let earlier = wake_at.is_some_and(|at| table.wakes.first().is_none_or(|(first, _)| at < *first));
            table.wakes.extend(wake_at.map(|at| (at, id.to_owned())));
            if earlier {
                self.changed.notify_one();
            }
        }
    }

    /// Timers that are due; the next one.
    fn tick(self: &Arc<Self>) -> Option<Instant> {
        let now = self.runtime.now();
        let mut table = self.table.lock();
        let table = &mut *table;
        while let Some((at, id)) = table.wakes.first().cloned() {
            if at > now {
                return Some(at);
            }
            table.wakes.pop_first();
            if let Some(row) = table.rows.get_mut(&id) {
                row.wake_at = None;
                self.replica.read(|state| row.group.tick(state, now, &self.settings));
            }
            self.settle(table, &id, now);
        }
        None
    }
}

impl Table {
    /// Its timer and its weight are noted when it is settled.
    pub fn insert(&mut self, group: Group, rests_until: Instant) {
        self.stays += 1;
        let id = group.id().to_owned();
        self.rows.insert(id, Row { group, wake_at: None, rests_until, weight: 0, stay: self.stays });
    }

    pub fn remove(&mut self, id: &str) -> Option<Row> {
        let row = self.rows.remove(id)?;
        self.weight -= row.weight;
        row.wake_at.map(|at| self.wakes.remove(&(at, id.to_owned())));
        Some(row)
    }
}

async fn run_timers(shared: Arc<Shared>) {
    loop {
        let mut changed = std::pin::pin!(shared.changed.notified());
        changed.as_mut().enable();
        match shared.tick() {
            None => changed.await,
            Some(until) => tokio::select! {
                biased;
                () = changed => {}
                () = shared.runtime.sleep_until(until) => {}
            },
        }
        if shared.writer.is_stopped() {
            return;
        }
    }
}

/// A random UUID as text.
fn uuid(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
