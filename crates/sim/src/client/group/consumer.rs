//! A member of a KIP-848 group: it heartbeats, says what it owns, and goes where it is told: it gives up first, and then takes.

use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc};

use kafscale_protocol::{
    ErrorCode, Uuid,
    messages::consumer_group_heartbeat as heartbeat,
    messages::consumer_group_heartbeat::{Request, TopicPartitions},
};
use kafscale_runtime::{Instant, Runtime};

use super::{BACKOFF, Broken, Seat};
use crate::{
    client::{Partition, admin},
    group_history::What,
    history::Line,
};

const VERSION: i16 = 1;
const JOIN: i32 = 0;
const LEAVE: i32 = -1;
const LEAVE_FOR_NOW: i32 = -2;

type Place = (Uuid, i32);

/// See the module.
pub struct Member {
    seat: Seat,
    id: Arc<str>,
    epoch: i32,
    /// It subscribes by this expression, and not by the names of its topics.
    pattern: Option<String>,
    assignor: Option<&'static str>,
    target: BTreeSet<Place>,
    known: BTreeMap<Place, Partition>,
    /// The next heartbeat says everything: it is the first, or an answer was lost.
    says_all: bool,
    /// What it has said that it owns, and the coordinator has heard.
    said: BTreeMap<Uuid, Vec<i32>>,
    beats_at: Instant,
}

impl Member {
    pub(super) fn new(seat: Seat, pattern: Option<String>) -> Self {
        let random = seat.node.random_u64();
        let id = format!("member-{random:x}").into();
        let assignor = [None, Some("uniform"), Some("range")][usize::try_from(random % 3).expect("below three")];
        let (target, known, said, beats_at) = Default::default();
        Self { seat, id, epoch: JOIN, pattern, assignor, target, known, says_all: true, said, beats_at }
    }

    /// Who it is in the history of reads.
    pub fn client(&self) -> u64 {
        self.seat.client()
    }

    /// Lives until it is told to leave, or another process takes its place.
    pub async fn run(mut self) -> Result<(), String> {
        loop {
            match self.live().await {
                Ok(()) => return Ok(()),
                Err(Broken::Lost) => {
                    self.says_all = true;
                    self.seat.reconnect().await;
                }
                Err(Broken::Displaced(ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch)) => self.begin_anew(),
                // Such as its epoch: the next heartbeat tells.
                Err(Broken::Displaced(_)) => {
                    self.beats_at = Instant::ZERO;
                    self.seat.node.sleep(BACKOFF).await;
                }
                Err(Broken::Fenced) => {
                    self.seat.mark("static member fenced");
                    self.seat.drop_all();
                    return Ok(());
                }
                Err(Broken::Wrong(wrong)) => return Err(wrong),
            }
        }
    }

    fn begin_anew(&mut self) {
        self.seat.mark("member fenced");
        self.seat.drop_all();
        self.target.clear();
        (self.epoch, self.says_all, self.beats_at) = (JOIN, true, Instant::ZERO);
    }

    async fn live(&mut self) -> Result<(), Broken> {
        while !self.seat.is_stopped() {
            if self.seat.node.now() >= self.beats_at {
                self.beat().await?;
            }
            self.reconcile().await?;
            self.seat.read().await?;
            if self.epoch != JOIN && self.seat.node.random_u64().is_multiple_of(3) {
                self.seat.commit().await?;
            }
        }
        self.leave().await
    }

    async fn beat(&mut self) -> Result<(), Broken> {
        self.beats_at = self.seat.node.now() + self.seat.plan.beat;
        let is_full = self.epoch == JOIN || std::mem::take(&mut self.says_all);
        let plan = self.seat.plan.clone();
        let subscribes = || plan.topics.iter().map(|topic| &**topic).collect();
        let now_owned = self.owned();
        let owned = now_owned
            .iter()
            .map(|(topic_id, indexes)| TopicPartitions { topic_id: *topic_id, partitions: indexes.as_slice().into() });
        let (id, pattern) = (Arc::clone(&self.id), self.pattern.clone());
        let says_owned = is_full || now_owned != self.said || self.seat.node.random_u64().is_multiple_of(4);
        let rebalance_timeout_ms = i32::try_from(plan.session.as_millis()).expect("short");
        let request = Request {
            group_id: &plan.group,
            member_id: &id,
            member_epoch: self.epoch,
            instance_id: plan.instance.as_deref(),
            rebalance_timeout_ms: if is_full { rebalance_timeout_ms } else { -1 },
            subscribed_topic_names: (is_full && pattern.is_none()).then(subscribes),
            subscribed_topic_regex: pattern.as_deref().filter(|_| is_full),
            server_assignor: self.assignor.filter(|_| is_full),
            topic_partitions: says_owned.then(|| owned.collect()),
            ..Default::default()
        };
        let began = self.seat.node.now();
        let asked = self.seat.asks();
        let deed = self.seat.begin(What::Beat { name: self.seat.name.clone(), is_accepted: false });
        let link = self.seat.link().await;
        let frame = link.ask(VERSION, &request).await?;
        let response: heartbeat::Response<'_> = link.read(VERSION, &frame);
        let is_accepted = response.error_code == ErrorCode::None;
        let is_join = self.epoch == JOIN;
        self.seat.end(deed, |what| {
            if let What::Beat { is_accepted: told, .. } = what {
                *told = is_accepted && !is_join;
            }
        });
        if !self.heed(response.error_code)? {
            return Ok(());
        }
        if is_join {
            self.seat.mark("joined");
        }
        self.said = now_owned.clone();
        self.epoch = response.member_epoch;
        self.seat.told(asked, &id, response.member_epoch);
        self.seat.sure(began);
        if let Some(assignment) = &response.assignment {
            let topics = assignment.topic_partitions.iter();
            let places =
                topics.flat_map(|topic| topic.partitions.iter().map(|at| (topic.topic_id, at)).collect::<Vec<_>>());
            self.target = places.collect();
        }
        self.give_up().await?;
        if self.seat.lies_now() {
            self.seat.lie(true).await?;
        }
        Ok(())
    }

    /// What a client makes of an answer's error: whether the rest of the answer counts.
    fn heed(&self, error: ErrorCode) -> Result<bool, Broken> {
        match error {
            ErrorCode::None => Ok(true),
            ErrorCode::FencedInstanceId => Err(Broken::Fenced),
            ErrorCode::UnreleasedInstanceId => {
                self.seat.mark("instance not released");
                Ok(false)
            }
            ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch => Err(Broken::Displaced(error)),
            _ if error.is_retriable() => Err(Broken::Lost),
            _ => Err(Broken::Wrong(format!("fatal for a client: heartbeat answers {error:?}"))),
        }
    }

    fn owned(&self) -> BTreeMap<Uuid, Vec<i32>> {
        let mut owned: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for partition in self.seat.owned() {
            owned.entry(partition.id).or_default().push(partition.index);
        }
        owned
    }

    /// What it shall not have any more it gives up at once, its offsets committed if that can be.
    async fn give_up(&mut self) -> Result<(), Broken> {
        let kept: BTreeSet<Line> = self
            .seat
            .owned()
            .iter()
            .filter(|partition| self.target.contains(&(partition.id, partition.index)))
            .map(Partition::line)
            .collect();
        if kept.len() == self.seat.owned().len() {
            return Ok(());
        }
        let committed = self.seat.commit().await;
        self.seat.keep_only(&kept);
        self.seat.mark("partition given up");
        self.beats_at = Instant::ZERO;
        committed
    }

    /// Takes what it was given.
    async fn reconcile(&mut self) -> Result<(), Broken> {
        if self.seat.owned().len() == self.target.len() {
            return Ok(());
        }
        if self.target.iter().any(|place| !self.known.contains_key(place)) {
            for topic in self.seat.plan.topics.clone() {
                let found = admin::partitions(self.seat.link().await, &topic).await?;
                self.known.extend(found.into_iter().map(|partition| ((partition.id, partition.index), partition)));
            }
        }
        let new: Vec<Partition> = self.target.iter().filter_map(|place| self.known.get(place)).cloned().collect();
        if new.len() < self.target.len() {
            return Err(Broken::Wrong(format!("assigned what does not exist: {:?}", self.target)));
        }
        self.seat.take(&new, Some(self.epoch)).await?;
        self.beats_at = Instant::ZERO;
        Ok(())
    }

    /// A static member says that it will be back; nobody waits for the answer to arrive.
    async fn leave(&mut self) -> Result<(), Broken> {
        if self.epoch == JOIN {
            return Ok(());
        }
        drop(self.seat.commit().await);
        self.seat.drop_all();
        let plan = self.seat.plan.clone();
        let member_epoch = if plan.instance.is_some() { LEAVE_FOR_NOW } else { LEAVE };
        let request = Request {
            group_id: &plan.group,
            member_id: &self.id,
            member_epoch,
            instance_id: plan.instance.as_deref(),
            rebalance_timeout_ms: -1,
            ..Default::default()
        };
        drop(self.seat.link().await.ask(VERSION, &request).await);
        self.seat.mark(if plan.instance.is_some() { "static member left for a while" } else { "left" });
        Ok(())
    }
}
