//! Members of consumer groups: what both protocols share.
//!
//! A member reads what it was given from the committed offsets on, commits where it is, and writes down what it believes.
//! It runs on a node of its own, so that it can be killed or suspended at any moment; what it did not live to see stays
//! unknown. Some members also lie: they commit under generations that are over, as others, or as nobody.

mod assignment;
pub mod classic;
pub mod consumer;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use kafscale_protocol::{
    ErrorCode, Uuid,
    messages::{offset_commit, offset_fetch},
};
use kafscale_runtime::{Instant, Runtime};

use super::{
    Partition,
    consumer::{Consumer, Habits},
    link::{Brokers, Link, Lost},
};
use crate::{
    executor::Node,
    group_history::{DeedId, GroupHistory, Life, Name, Outcome, What},
    history::{History, Line, Place},
};

/// The first version of OffsetCommit and OffsetFetch that names topics by id.
const TOPIC_IDS: i16 = 10;
/// OffsetFetch by name, and by id.
const OFFSET_FETCH: [i16; 2] = [9, TOPIC_IDS];

/// Pause after an answer that asks for patience.
const BACKOFF: Duration = Duration::from_millis(100);

/// What a member is like.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its group.
    pub group: Arc<str>,
    /// The topics that it reads.
    pub topics: Vec<Arc<str>>,
    /// Its `group.instance.id`.
    pub instance: Option<Arc<str>>,
    /// After so much silence it is removed, and so long it may take to rebalance.
    pub session: Duration,
    /// Pause between heartbeats.
    pub beat: Duration,
    /// Permille of requests with which the connection breaks.
    pub fragile: u64,
    /// Permille of heartbeats after which it lies.
    pub lies: u64,
}

/// The world that members are born into.
#[derive(Clone)]
pub struct Birth {
    /// Where it runs.
    pub node: Node,
    /// Whom it may ask.
    pub brokers: Brokers,
    /// What it reads is written down here.
    pub history: History,
    /// What it does otherwise is written down here.
    pub deeds: GroupHistory,
    /// Its number among all lives.
    pub life: Life,
    /// Set when it shall leave.
    pub stop: Arc<AtomicBool>,
}

impl Birth {
    /// A member of a classic group.
    pub fn classic(&self, plan: Plan, is_cooperative: bool) -> classic::Member {
        classic::Member::new(Seat::new(self, plan), is_cooperative)
    }

    /// A member of a KIP-848 group, that subscribes by this expression if there is one.
    pub fn consumer(&self, plan: Plan, pattern: Option<String>) -> consumer::Member {
        consumer::Member::new(Seat::new(self, plan), pattern)
    }
}

/// Why a member stops what it is doing.
#[derive(Debug)]
pub(super) enum Broken {
    /// Its connection was lost.
    Lost,
    /// It is not what it thought it is any more; it begins anew.
    Displaced(ErrorCode),
    /// Another process has its instance id: a client reports that and ends.
    Fenced,
    /// Something that may not be.
    Wrong(String),
}

impl From<Lost> for Broken {
    fn from(Lost: Lost) -> Self {
        Self::Lost
    }
}

/// One member, whatever its protocol.
pub(super) struct Seat {
    pub node: Node,
    pub plan: Plan,
    deeds: GroupHistory,
    life: Life,
    brokers: Brokers,
    consumer: Consumer,
    data: Option<Link>,
    link: Option<Link>,
    /// Who it was told to be.
    pub name: Name,
    /// Who it was told to be before.
    older: Option<Name>,
    /// What it owns, and where it has committed.
    owned: BTreeMap<Line, Option<Place>>,
    stop: Arc<AtomicBool>,
}

impl Seat {
    fn new(birth: &Birth, plan: Plan) -> Self {
        let Birth { node, brokers, history, deeds, life, stop } = birth.clone();
        let consumer = Consumer::new(node.clone(), brokers.clone(), history, &[], Habits::default());
        let (data, link, owned, older) = Default::default();
        let name = Name { member: "".into(), epoch: -1 };
        Self { node, plan, deeds, life, brokers, consumer, data, link, name, older, owned, stop }
    }

    fn client(&self) -> u64 {
        self.consumer.client()
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    pub fn mark(&self, what: &'static str) {
        self.node.world().mark(what);
    }

    pub fn note(&self, what: What) {
        self.deeds.note(&self.plan.group, self.life, what);
    }

    pub fn begin(&self, what: What) -> DeedId {
        self.deeds.begin(&self.plan.group, self.life, what)
    }

    pub fn end(&self, deed: DeedId, answer: impl FnOnce(&mut What)) {
        self.deeds.end(deed, answer);
    }

    /// Whether it lies after this heartbeat.
    pub fn lies_now(&self) -> bool {
        self.node.random_u64() % 1_000 < self.plan.lies
    }

    /// Its connection to the coordinator.
    pub async fn link(&mut self) -> &mut Link {
        if self.link.is_none() {
            self.link = Some(self.brokers.connect(&self.node).await.fragile(self.plan.fragile));
        }
        self.link.as_mut().expect("connected above")
    }

    /// It connects again, after a pause.
    pub async fn reconnect(&mut self) {
        self.link = None;
        self.node.sleep(BACKOFF).await;
    }

    /// It asks who it is.
    pub fn asks(&self) -> DeedId {
        self.begin(What::Told { name: self.name.clone(), instance: self.plan.instance.clone() })
    }

    /// It was told who it is.
    pub fn told(&mut self, asked: DeedId, member: &str, epoch: i32) {
        let name = Name { member: member.into(), epoch };
        let before = std::mem::replace(&mut self.name, name);
        if !before.member.is_empty() && before.epoch >= 0 && before.epoch < epoch {
            self.older = Some(before);
        }
        self.end(asked, |what| {
            if let What::Told { name, .. } = what {
                *name = self.name.clone();
            }
        });
    }

    /// A request that the coordinator answered began then: it knows this member, and lets it be for a session.
    pub fn sure(&self, began: Instant) {
        self.note(What::Sure(began + self.plan.session));
    }

    pub fn has(&self, line: &Line) -> bool {
        self.owned.contains_key(line)
    }

    pub fn owned(&self) -> Vec<Partition> {
        self.consumer.places().iter().map(|(partition, _)| partition.clone()).collect()
    }

    /// It no longer reads what is not among these.
    pub fn keep_only(&mut self, lines: &BTreeSet<Line>) {
        let lost: Vec<Line> = self.owned.keys().filter(|line| !lines.contains(line)).cloned().collect();
        for line in lost {
            self.owned.remove(&line);
            self.note(What::Dropped(line));
        }
        let places = self.consumer.places().iter().filter(|(partition, _)| lines.contains(&partition.line()));
        let places = places.cloned().collect();
        self.consumer.assign(places);
    }

    pub fn drop_all(&mut self) {
        self.keep_only(&BTreeSet::new());
    }

    /// From here on it reads these as well, from where the group is.
    pub async fn take(&mut self, partitions: &[Partition], epoch: Option<i32>) -> Result<(), Broken> {
        let new: Vec<Partition> = partitions.iter().filter(|found| !self.has(&found.line())).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        let committed = self.ask_committed(&new, epoch).await?;
        let mut places = self.consumer.places().to_vec();
        for (partition, committed) in new.into_iter().zip(committed) {
            let line = partition.line();
            self.note(What::Took(line.clone()));
            self.owned.insert(line, committed);
            places.push((partition, committed.unwrap_or(0)));
        }
        self.consumer.assign(places);
        Ok(())
    }

    /// What the group has committed for these.
    async fn ask_committed(
        &mut self,
        partitions: &[Partition],
        epoch: Option<i32>,
    ) -> Result<Vec<Option<Place>>, Broken> {
        let (group, life, deeds) = (Arc::clone(&self.plan.group), self.life, self.deeds.clone());
        let member = Arc::clone(&self.name.member);
        let version = OFFSET_FETCH[usize::from(self.node.random_u64().is_multiple_of(2))];
        loop {
            let topics = partitions.iter().map(|partition| offset_fetch::OffsetFetchRequestTopics {
                name: if version < TOPIC_IDS { &partition.topic } else { "" },
                topic_id: if version < TOPIC_IDS { Uuid::ZERO } else { partition.id },
                partition_indexes: vec![partition.index].into(),
            });
            let asked = offset_fetch::OffsetFetchRequestGroup {
                group_id: &group,
                member_id: epoch.map(|_| &*member),
                member_epoch: epoch.unwrap_or(-1),
                topics: Some(topics.collect()),
            };
            let request =
                offset_fetch::Request { groups: vec![asked].into(), require_stable: true, ..Default::default() };
            let ask =
                |partition: &Partition| deeds.begin(&group, life, What::Asked { line: partition.line(), answer: None });
            let ids: Vec<_> = partitions.iter().map(ask).collect();
            let link = self.link().await;
            let frame = link.ask(version, &request).await?;
            let response: offset_fetch::Response<'_> = link.read(version, &frame);
            let told = response.groups.iter().next().ok_or_else(|| Broken::Wrong("no answer for the group".into()))?;
            match told.error_code {
                ErrorCode::None => {}
                error if error.is_retriable() => {
                    self.node.sleep(BACKOFF).await;
                    continue;
                }
                error => return Err(Broken::Displaced(error)),
            }
            let mut committed = Vec::new();
            for (partition, id) in partitions.iter().zip(ids) {
                let offset = committed_of(&told, partition)?;
                deeds.end(id, |what| {
                    if let What::Asked { answer, .. } = what {
                        *answer = Some(offset);
                    }
                });
                committed.push(offset);
            }
            return Ok(committed);
        }
    }

    /// Reads on, once.
    pub async fn read(&mut self) -> Result<(), Broken> {
        if self.owned.is_empty() {
            self.node.sleep(BACKOFF).await;
            return Ok(());
        }
        let mut link = match self.data.take() {
            Some(link) => link,
            None => self.brokers.connect(&self.node).await.fragile(self.plan.fragile),
        };
        let before: BTreeMap<Line, Place> =
            self.consumer.places().iter().map(|(partition, at)| (partition.line(), *at)).collect();
        match self.consumer.poll(&mut link).await {
            Ok(None) => self.data = Some(link),
            Ok(Some(wrong)) => return Err(Broken::Wrong(wrong)),
            Err(Lost) => self.node.sleep(BACKOFF).await,
        }
        for (partition, to) in self.consumer.places() {
            let line = partition.line();
            let from = before.get(&line).copied().unwrap_or(*to);
            if from < *to {
                let (epoch, to) = (self.name.epoch, *to);
                self.note(What::Delivered { epoch, line, from, to });
            }
        }
        Ok(())
    }

    /// Commits where it is. Errors that another attempt may not have are left to the next one.
    pub async fn commit(&mut self) -> Result<(), Broken> {
        let committed = |line: &Line| self.owned.get(line).copied().flatten();
        let moved =
            self.consumer.places().iter().filter(|(partition, at)| *at > committed(&partition.line()).unwrap_or(0));
        let moved: Vec<(Partition, Place)> = moved.cloned().collect();
        let name = self.name.clone();
        match self.commit_as(&name, &moved).await? {
            None => return Ok(()),
            Some(ErrorCode::None) => {}
            Some(ErrorCode::FencedInstanceId) => return Err(Broken::Fenced),
            Some(error) => return Err(Broken::Displaced(error)),
        }
        for (partition, at) in moved {
            self.owned.insert(partition.line(), Some(at));
        }
        Ok(())
    }

    /// Commits under any name; the answer, or none if there was nothing to do or it may be tried again.
    pub async fn commit_as(&mut self, name: &Name, places: &[(Partition, Place)]) -> Result<Option<ErrorCode>, Broken> {
        if places.is_empty() {
            return Ok(None);
        }
        let offsets = places.iter().map(|(partition, at)| (partition.line(), *at)).collect();
        let what = What::Committed { name: name.clone(), offsets, outcome: Outcome::Unknown };
        let id = self.deeds.begin(&self.plan.group, self.life, what);
        let version = if self.node.random_u64().is_multiple_of(2) { 9 } else { TOPIC_IDS };
        let topics = places.iter().map(|(partition, at)| offset_commit::OffsetCommitRequestTopic {
            name: if version < TOPIC_IDS { &partition.topic } else { "" },
            topic_id: if version < TOPIC_IDS { Uuid::ZERO } else { partition.id },
            partitions: vec![offset_commit::OffsetCommitRequestPartition {
                partition_index: partition.index,
                committed_offset: i64::try_from(*at).expect("small"),
                ..Default::default()
            }]
            .into(),
        });
        let (group, instance) = (Arc::clone(&self.plan.group), self.plan.instance.clone());
        let request = offset_commit::Request {
            group_id: &group,
            generation_id_or_member_epoch: name.epoch,
            member_id: &name.member,
            group_instance_id: instance.as_deref().filter(|_| !name.member.is_empty()),
            topics: topics.collect(),
            ..Default::default()
        };
        let link = self.link().await;
        let frame = link.ask(version, &request).await?;
        let response: offset_commit::Response<'_> = link.read(version, &frame);
        let rows = response.topics.iter().flat_map(|topic| topic.partitions.iter().collect::<Vec<_>>());
        let codes: Vec<ErrorCode> = rows.map(|row| row.error_code).collect();
        let bad = codes.iter().find(|code| **code != ErrorCode::None).copied();
        let (outcome, answer) = match bad {
            None => (Outcome::Accepted, Some(ErrorCode::None)),
            // Of an older epoch what the member has held since counts, and the rest does not.
            Some(error) if codes.contains(&ErrorCode::None) => (Outcome::Unknown, Some(error)),
            // Some of it may count, or all of it in the end.
            Some(error) if error.is_retriable() => (Outcome::Unknown, None),
            Some(error) => (Outcome::Refused, Some(error)),
        };
        self.deeds.end(id, |what| {
            if let What::Committed { outcome: told, .. } = what {
                *told = outcome;
            }
        });
        self.mark(match bad {
            None => "commit accepted",
            Some(ErrorCode::IllegalGeneration | ErrorCode::StaleMemberEpoch) => "commit refused for its generation",
            Some(ErrorCode::UnknownMemberId) => "commit of a stranger refused",
            Some(ErrorCode::FencedInstanceId) => "commit of a fenced member refused",
            Some(ErrorCode::RebalanceInProgress) => "commit refused during a rebalance",
            Some(_) => "commit failed",
        });
        Ok(answer)
    }

    /// Commits as somebody that it is not: under an older generation, as a stranger, as nobody. It must be refused, and the
    /// offset would do harm: it moves the group back, or beyond records that nobody has read. Under an older *epoch* a member
    /// may commit what it has held since: there it tells the truth, and the auditor says whether that may count.
    pub async fn lie(&mut self, has_epochs: bool) -> Result<(), Broken> {
        let Some((partition, at)) = self.consumer.places().first().cloned() else { return Ok(()) };
        let beyond = at + 1_000_000;
        // A generation that was told and then lost with its coordinator comes again: to name that is no lie.
        let older = self.older.as_ref().filter(|older| **older != self.name);
        let (name, place) = match (self.node.random_u64() % 4, older) {
            (0, _) => (Name { member: "nobody-here".into(), epoch: self.name.epoch }, beyond),
            // The group may have lost its members by now: then it is no lie.
            (1, _) => (Name { member: "".into(), epoch: -1 }, 0),
            (_, Some(older)) if has_epochs => (older.clone(), at),
            (2, Some(older)) => (older.clone(), 0),
            (_, Some(older)) => (older.clone(), beyond),
            (_, None) => (Name { epoch: self.name.epoch + 1_000, ..self.name.clone() }, beyond),
        };
        self.mark("lied");
        self.commit_as(&name, &[(partition, place)]).await.map(|_| ())
    }
}

/// What an answer says of one partition, by its topic's name or id.
fn committed_of(
    told: &offset_fetch::OffsetFetchResponseGroup<'_>,
    partition: &Partition,
) -> Result<Option<Place>, Broken> {
    let topics = told.topics.iter();
    let mut named = topics.filter(|topic| *topic.name == *partition.topic || topic.topic_id == partition.id);
    let found = named.find_map(|topic| {
        let mut rows = topic.partitions.iter();
        rows.find(|row| row.partition_index == partition.index).map(|row| (row.error_code, row.committed_offset))
    });
    match found {
        Some((ErrorCode::None, offset)) => Ok(Place::try_from(offset).ok()),
        _ => Err(Broken::Displaced(ErrorCode::UnknownTopicOrPartition)),
    }
}
