//! A member of a classic group: joins, is given partitions by the leader, or gives them out itself, and heartbeats.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kafscale_protocol::{
    ErrorCode,
    messages::{heartbeat, join_group, leave_group, sync_group},
};
use kafscale_runtime::Runtime;

use super::{
    BACKOFF, Broken, Seat,
    assignment::{self, Place, Subscription},
};
use crate::{
    client::{Partition, admin},
    group_history::What,
    history::Line,
};

const JOIN_GROUP: i16 = 9;
const SYNC_GROUP: i16 = 5;
const HEARTBEAT: i16 = 4;
const LEAVE_GROUP: i16 = 5;

const CONSUMER: &str = "consumer";

/// Heartbeats after which a leader looks for new partitions.
const LOOKS_EVERY: u64 = 4;

/// See the module.
pub struct Member {
    seat: Seat,
    /// Whether it keeps what it has while the others rebalance (KIP-429).
    is_cooperative: bool,
    is_joined: bool,
    is_leader: bool,
    /// The partitions of its topics as it knows them.
    known: BTreeMap<Place, Partition>,
    beats: u64,
}

impl Member {
    pub(super) fn new(seat: Seat, is_cooperative: bool) -> Self {
        Self { seat, is_cooperative, is_joined: false, is_leader: false, known: BTreeMap::new(), beats: 0 }
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
                Err(Broken::Lost) => self.seat.reconnect().await,
                Err(Broken::Displaced(error)) => self.displaced(error).await,
                Err(Broken::Fenced) => {
                    self.seat.mark("static member fenced");
                    self.seat.drop_all();
                    return Ok(());
                }
                Err(Broken::Wrong(wrong)) => return Err(wrong),
            }
        }
    }

    async fn live(&mut self) -> Result<(), Broken> {
        while !self.seat.is_stopped() {
            if !self.is_joined {
                self.join().await?;
            }
            let due = self.seat.node.now() + self.seat.plan.beat;
            while self.seat.node.now() < due && !self.seat.is_stopped() {
                self.seat.read().await?;
                if self.seat.node.random_u64().is_multiple_of(3) {
                    self.seat.commit().await?;
                }
            }
            self.beat().await?;
        }
        self.leave().await
    }

    async fn displaced(&mut self, error: ErrorCode) {
        self.is_joined = false;
        match error {
            ErrorCode::RebalanceInProgress => return,
            ErrorCode::UnknownMemberId => {
                self.seat.mark("member unknown");
                self.seat.name.member = "".into();
            }
            ErrorCode::IllegalGeneration => self.seat.mark("member of an old generation"),
            _ => {}
        }
        self.seat.drop_all();
        self.seat.node.sleep(BACKOFF).await;
    }

    /// What goes before a join: offsets are committed while they may be, and who is not cooperative gives all up.
    async fn prepare(&mut self) -> Result<(), Broken> {
        match self.seat.commit().await {
            Err(Broken::Displaced(ErrorCode::UnknownMemberId)) => {
                self.seat.name.member = "".into();
                self.seat.drop_all();
            }
            Err(Broken::Displaced(ErrorCode::IllegalGeneration)) => self.seat.drop_all(),
            Err(Broken::Displaced(_) | Broken::Lost) | Ok(()) => {}
            Err(broken) => return Err(broken),
        }
        if !self.is_cooperative {
            self.seat.drop_all();
        }
        Ok(())
    }

    async fn join(&mut self) -> Result<(), Broken> {
        self.prepare().await?;
        let protocol = if self.is_cooperative { "cooperative" } else { "eager" };
        let (plan, name) = (self.seat.plan.clone(), self.seat.name.clone());
        let owned = self.seat.owned().into_iter().map(|partition| (partition.topic, partition.index)).collect();
        let subscription = Subscription { topics: plan.topics.clone(), owned, generation: name.epoch }.encode();
        let timeout_ms = i32::try_from(plan.session.as_millis()).expect("short");
        let request = join_group::Request {
            group_id: &plan.group,
            session_timeout_ms: timeout_ms,
            rebalance_timeout_ms: timeout_ms,
            member_id: &name.member,
            group_instance_id: plan.instance.as_deref(),
            protocol_type: CONSUMER,
            protocols: vec![join_group::JoinGroupRequestProtocol { name: protocol, metadata: &subscription }].into(),
            ..Default::default()
        };
        if let (true, Some(instance)) = (name.member.is_empty(), &plan.instance) {
            self.seat.note(What::Claims(Arc::clone(instance)));
        }
        let asked = self.seat.asks();
        let link = self.seat.link().await;
        let frame = link.ask(JOIN_GROUP, &request).await?;
        let response: join_group::Response<'_> = link.read(JOIN_GROUP, &frame);
        match response.error_code {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.seat.name.member = response.member_id.into();
                return Err(Broken::Displaced(ErrorCode::RebalanceInProgress));
            }
            error => return Err(broken_by(error, "JoinGroup")),
        }
        self.seat.told(asked, response.member_id, response.generation_id);
        self.seat.mark("joined");
        self.is_leader = response.leader == response.member_id;
        self.look_at_topics().await?;
        let members = response.members.iter().map(|member| {
            Subscription::decode(member.metadata).map(|subscription| (Arc::from(member.member_id), subscription))
        });
        let members: Option<BTreeMap<Arc<str>, Subscription>> = members.collect();
        let members = members.ok_or_else(|| Broken::Wrong("a subscription came back damaged".into()))?;
        let instances = response.members.iter().filter_map(|member| {
            member.group_instance_id.map(|instance| (Arc::from(member.member_id), Arc::from(instance)))
        });
        let instances = instances.collect();
        let proposal = (self.is_leader && !response.skip_assignment).then(|| self.propose(&members, instances));
        self.sync(protocol, proposal.unwrap_or_default()).await
    }

    fn propose(
        &mut self,
        members: &BTreeMap<Arc<str>, Subscription>,
        instances: BTreeMap<Arc<str>, Arc<str>>,
    ) -> BTreeMap<Arc<str>, BTreeSet<Place>> {
        let given = assignment::assign(members, &self.known.keys().cloned().collect(), self.is_cooperative);
        let lines = |places: &BTreeSet<Place>| places.iter().map(|place| self.known[place].line()).collect();
        let assignments = given.iter().map(|(id, places)| (Arc::clone(id), lines(places))).collect();
        self.seat.note(What::Proposed { epoch: self.seat.name.epoch, assignments, instances });
        given
    }

    async fn sync(&mut self, protocol: &str, given: BTreeMap<Arc<str>, BTreeSet<Place>>) -> Result<(), Broken> {
        let (plan, name) = (self.seat.plan.clone(), self.seat.name.clone());
        let given: Vec<_> = given.iter().map(|(id, places)| (id, assignment::encode(places))).collect();
        let assignments =
            given.iter().map(|(id, bytes)| sync_group::SyncGroupRequestAssignment { member_id: id, assignment: bytes });
        let request = sync_group::Request {
            group_id: &plan.group,
            generation_id: name.epoch,
            member_id: &name.member,
            group_instance_id: plan.instance.as_deref(),
            protocol_type: Some(CONSUMER),
            protocol_name: Some(protocol),
            assignments: assignments.collect(),
        };
        let began = self.seat.node.now();
        let deed = self.seat.begin(What::Assigned { name: name.clone(), lines: BTreeSet::new() });
        let link = self.seat.link().await;
        let frame = link.ask(SYNC_GROUP, &request).await?;
        let response: sync_group::Response<'_> = link.read(SYNC_GROUP, &frame);
        if response.error_code != ErrorCode::None {
            return Err(broken_by(response.error_code, "SyncGroup"));
        }
        let places = assignment::decode(response.assignment);
        let places = places.ok_or_else(|| Broken::Wrong("an assignment came back damaged".into()))?;
        if places.iter().any(|place| !self.known.contains_key(place)) {
            self.look_at_topics().await?;
        }
        let partitions: Option<Vec<_>> = places.iter().map(|place| self.known.get(place).cloned()).collect();
        let partitions =
            partitions.ok_or_else(|| Broken::Wrong(format!("assigned what does not exist: {places:?}")))?;
        let mine: BTreeSet<Line> = partitions.iter().map(Partition::line).collect();
        self.seat.end(deed, |what| {
            if let What::Assigned { lines, .. } = what {
                lines.clone_from(&mine);
            }
        });
        self.seat.sure(began);
        let before = self.seat.owned().len();
        self.seat.keep_only(&mine);
        let gave_up = self.seat.owned().len() < before;
        self.seat.take(&partitions, None).await?;
        if gave_up {
            self.seat.mark("cooperative member gave partitions up");
        }
        // What was given up is given away by another rebalance.
        self.is_joined = !gave_up;
        Ok(())
    }

    async fn look_at_topics(&mut self) -> Result<(), Broken> {
        self.known = self.topics().await?;
        Ok(())
    }

    async fn topics(&mut self) -> Result<BTreeMap<Place, Partition>, Broken> {
        let mut known = BTreeMap::new();
        for topic in self.seat.plan.topics.clone() {
            let found = admin::partitions(self.seat.link().await, &topic).await?;
            known.extend(found.into_iter().map(|partition| ((Arc::clone(&topic), partition.index), partition)));
        }
        Ok(known)
    }

    async fn beat(&mut self) -> Result<(), Broken> {
        let (plan, name) = (self.seat.plan.clone(), self.seat.name.clone());
        let request = heartbeat::Request {
            group_id: &plan.group,
            generation_id: name.epoch,
            member_id: &name.member,
            group_instance_id: plan.instance.as_deref(),
        };
        let began = self.seat.node.now();
        let deed = self.seat.begin(What::Beat { name: name.clone(), is_accepted: false });
        let link = self.seat.link().await;
        let frame = link.ask(HEARTBEAT, &request).await?;
        let response: heartbeat::Response = link.read(HEARTBEAT, &frame);
        let error = response.error_code;
        self.seat.end(deed, |what| {
            if let What::Beat { is_accepted, .. } = what {
                *is_accepted = matches!(error, ErrorCode::None | ErrorCode::RebalanceInProgress);
            }
        });
        if error != ErrorCode::None {
            return Err(broken_by(error, "Heartbeat"));
        }
        self.seat.sure(began);
        if self.seat.lies_now() {
            self.seat.lie(false).await?;
        }
        self.beats += 1;
        if self.is_leader && self.beats.is_multiple_of(LOOKS_EVERY) && self.topics().await? != self.known {
            self.seat.mark("leader saw new partitions");
            self.is_joined = false;
        }
        Ok(())
    }

    /// Static members do not say that they go.
    async fn leave(&mut self) -> Result<(), Broken> {
        drop(self.seat.commit().await);
        self.seat.drop_all();
        if self.seat.plan.instance.is_some() {
            return Ok(());
        }
        let (plan, name) = (self.seat.plan.clone(), self.seat.name.clone());
        let member = leave_group::MemberIdentity { member_id: &name.member, ..Default::default() };
        let request =
            leave_group::Request { group_id: &plan.group, members: vec![member].into(), ..Default::default() };
        // Whether that arrives or not: it is gone.
        drop(self.seat.link().await.ask(LEAVE_GROUP, &request).await);
        self.seat.mark("left");
        Ok(())
    }
}

fn broken_by(error: ErrorCode, what: &str) -> Broken {
    match error {
        ErrorCode::FencedInstanceId => Broken::Fenced,
        ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration | ErrorCode::RebalanceInProgress => {
            Broken::Displaced(error)
        }
        error if error.is_retriable() => Broken::Lost,
        error => Broken::Wrong(format!("fatal for a client: {what} answers {error:?}")),
    }
}
