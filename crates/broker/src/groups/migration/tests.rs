//! A group whose clients speak either protocol, come, go, change, lose answers and are replaced, and a coordinator that
//! dies and takes its time to save.

mod client;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use kafscale_state::{
    FrameFacts, State, Verdict,
    entry::{self, Entry, GroupSaved, TopicCreated},
    group::Partitions,
    topic::Settings,
};
use proptest::{collection::vec, prelude::*};
use tokio::sync::oneshot::{self, error::TryRecvError};

use self::client::{Client, Speech, Wait, lead, words};
use crate::{
    groups::{
        Error, Group,
        classic::{JoinRequest, Leaving, SyncRequest},
        consumer::{Heartbeat, Reply},
        subscription,
    },
    settings::GroupSettings,
};

const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
const REBALANCE_TIMEOUT: Duration = Duration::from_secs(20);

fn settings() -> GroupSettings {
    GroupSettings { initial_rebalance_delay: Duration::from_secs(1), ..GroupSettings::default() }
}

struct World {
    state: State,
    group: Group,
    now: Duration,
    clients: BTreeMap<usize, Client>,
    lives: usize,
    /// A save that the log has not taken yet, and whether it may take its time.
    in_flight: Option<GroupSaved>,
    is_slow: bool,
}

impl World {
    fn new() -> Self {
        let (state, group, now) = (State::new(), Group::new("g"), Duration::from_secs(1));
        let (clients, in_flight) = (BTreeMap::new(), None);
        let mut world = Self { state, group, now, clients, lives: 0, in_flight, is_slow: false };
        for (name, id, partitions) in [("a", 1, 5), ("b", 2, 3)] {
            let settings = Settings::new();
            let entry = TopicCreated { namespace: String::new(), name: name.into(), id, partitions, settings };
            world.say(Entry::TopicCreated(entry));
        }
        world
    }

    fn say(&mut self, entry: Entry) -> Verdict {
        let facts = FrameFacts { position: self.state.position() + 1, session: 1, cluster_time_ms: 1, payload_at: 0 };
        self.state.apply(facts, &entry::encode(&[entry])).expect("it can be applied").verdicts.remove(0)
    }

    /// What is to be saved is handed over, and lands unless the log is slow.
    fn save(&mut self) {
        loop {
            if self.in_flight.is_none() {
                self.in_flight = self.group.take_save(self.now);
            }
            if self.is_slow {
                return;
            }
            let Some(entry) = self.in_flight.take() else { return };
            match self.say(Entry::GroupSaved(entry)) {
                Verdict::GroupSaved { revision } => self.group.saved(revision, self.now),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The coordinator dies; the save that was under way has landed, or not.
    fn restart(&mut self, lands: bool) {
        if let Some(entry) = self.in_flight.take().filter(|_| lands) {
            self.say(Entry::GroupSaved(entry));
        }
        self.group.fail(Error::NotCoordinator);
        self.group = match self.state.group("g") {
            Some(saved) => Group::load("g", saved, self.now, &self.state),
            None => Group::new("g"),
        };
    }

    fn start(&mut self, at: usize, speech: Speech, instance: Option<String>, topics: Vec<&'static str>) {
        self.lives += 1;
        let id = if speech == Speech::Consumer { format!("member-{}", self.lives) } else { String::new() };
        let (epoch, owned, must_join, wait) = (0, Partitions::new(), true, Wait::Nothing);
        let client = Client { speech, instance, topics, id, epoch, owned, must_join, wait };
        self.clients.insert(at, client);
    }

    /// A client's next step.
    fn live(&mut self, at: usize) {
        let Some(mut client) = self.clients.remove(&at) else { return };
        if self.go(&mut client) {
            self.clients.insert(at, client);
        }
        self.save();
    }

    /// False if the client ends.
    fn go(&mut self, client: &mut Client) -> bool {
        match std::mem::take(&mut client.wait) {
            Wait::Nothing => match client.speech {
                Speech::Consumer => self.beat(client),
                Speech::Eager | Speech::Cooperative if client.must_join => self.join(client),
                Speech::Eager | Speech::Cooperative => match self.beat_classic(client) {
                    Ok(()) => true,
                    Err(error) => client.told(error),
                },
            },
            Wait::Beat(mut receiver) => match receiver.try_recv() {
                Ok(answer) => client.beaten(answer),
                Err(TryRecvError::Closed) => true,
                Err(TryRecvError::Empty) => client.waits(Wait::Beat(receiver)),
            },
            Wait::Join(mut receiver) => match receiver.try_recv() {
                Ok(Ok(joined)) => {
                    (client.id, client.epoch, client.must_join) = (joined.member_id, joined.generation, false);
                    let members = joined.members.iter().map(|member| (member.id.clone(), member.metadata.clone()));
                    let assignments = lead(&members.collect::<Vec<_>>(), &self.state);
                    self.sync(client, assignments)
                }
                Ok(Err((Error::MemberIdRequired, id))) => {
                    client.id = id;
                    true
                }
                Ok(Err((error, _))) => client.told(error),
                Err(TryRecvError::Closed) => true,
                Err(TryRecvError::Empty) => client.waits(Wait::Join(receiver)),
            },
            Wait::Sync(mut receiver) => match receiver.try_recv() {
                Ok(Ok(synced)) => {
                    let read = subscription::Assignment::read(&synced.assignment);
                    let assigned = read.map(|read| subscription::existing(&read.partitions, &self.state));
                    let assigned = assigned.unwrap_or_default();
                    // A cooperative client that gives something up says so.
                    client.must_join = !client.owned.is_subset(&assigned);
                    client.owned = assigned;
                    true
                }
                Ok(Err(error)) => client.told(error),
                Err(TryRecvError::Closed) => client.told(Error::NotCoordinator),
                Err(TryRecvError::Empty) => client.waits(Wait::Sync(receiver)),
            },
        }
    }

    fn beat(&mut self, client: &mut Client) -> bool {
        let joins = client.epoch == 0;
        let beat = Heartbeat {
            member_id: &client.id,
            epoch: client.epoch,
            instance_id: client.instance.as_deref(),
            rebalance_timeout_ms: joins.then_some(REBALANCE_TIMEOUT.as_millis() as i32),
            topics: Some(client.topics.clone()),
            owned: Some(client.owned.clone()),
            ..Heartbeat::default()
        };
        match self.group.consumer_heartbeat(&beat, &self.state, self.now, &settings()) {
            Ok(Reply::Now(answer)) => client.beaten(Ok(answer)),
            Ok(Reply::Later(receiver)) => client.waits(Wait::Beat(receiver)),
            Err(error) => client.beaten(Err(error)),
        }
    }

    fn beat_classic(&mut self, client: &Client) -> Result<(), Error> {
        let instance = client.instance.as_deref();
        match &mut self.group {
            Group::Classic(group) => group.heartbeat(&client.id, instance, client.epoch, self.now),
            Group::Consumer(group) => {
                group.heartbeat_classic(&client.id, instance, client.epoch, &self.state, self.now)
            }
        }
    }

    fn join(&mut self, client: &mut Client) -> bool {
        if client.speech == Speech::Eager {
            client.owned.clear();
        }
        let request = JoinRequest {
            member_id: client.id.clone(),
            instance_id: client.instance.clone(),
            client_id: "c".into(),
            client_host: "/h".into(),
            session_timeout: SESSION_TIMEOUT,
            rebalance_timeout: REBALANCE_TIMEOUT,
            protocol_type: "consumer".into(),
            protocols: vec![("mine".into(), words(client, &self.state))],
            requires_known_id: true,
            can_skip_assignment: true,
        };
        self.lives += 1;
        let (answer, receiver) = oneshot::channel();
        let new_id = format!("member-{}", self.lives);
        self.group.join(request, new_id, answer, &self.state, self.now, &settings());
        client.waits(Wait::Join(receiver))
    }

    fn sync(&mut self, client: &mut Client, assignments: Vec<(String, Bytes)>) -> bool {
        let request = SyncRequest {
            member_id: client.id.clone(),
            instance_id: client.instance.clone(),
            generation: client.epoch,
            protocol_type: Some("consumer".into()),
            protocol: Some("mine".into()),
            assignments,
        };
        let (answer, receiver) = oneshot::channel();
        self.group.sync(request, answer, &self.state, self.now);
        client.waits(Wait::Sync(receiver))
    }

    fn leave(&mut self, at: usize) {
        let Some(client) = self.clients.remove(&at) else { return };
        let instance_id = client.instance.clone();
        if client.speech == Speech::Consumer {
            let (member_id, instance_id) = (client.id.as_str(), instance_id.as_deref());
            let beat = Heartbeat { member_id, epoch: -1, instance_id, ..Heartbeat::default() };
            let _ = self.group.consumer_heartbeat(&beat, &self.state, self.now, &settings());
        } else {
            let leaving = [Leaving { member_id: client.id, instance_id }];
            self.group.leave(&leaving, &self.state, self.now, &settings());
        }
        self.save();
    }

    /// Clients that are removed for their silence notice by their own clocks.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        while self.group.wake_at().is_some_and(|at| at <= self.now) {
            self.group.tick(&self.state, self.now, &settings());
            self.save();
        }
        self.save();
        let group = &self.group;
        let is_member = |id: &str| match group {
            Group::Classic(group) => group.members().any(|member| member.id == id),
            Group::Consumer(group) => group.content().member(id).is_some(),
        };
        for client in self.clients.values_mut().filter(|client| !is_member(&client.id)) {
            client.owned.clear();
            // An answer that it has not read yet is too old to be believed.
            match (client.speech, &client.wait) {
                (Speech::Consumer, _) => (client.epoch, client.wait) = (0, Wait::Nothing),
                (_, Wait::Sync(_)) => (client.must_join, client.wait) = (true, Wait::Nothing),
                _ => {}
            }
        }
    }

    fn check(&self) {
        let mut owners = BTreeMap::new();
        for (at, client) in &self.clients {
            for handle in &client.owned {
                let other = owners.insert(*handle, at);
                assert_eq!(other, None, "{handle} is owned by {at} as well\n{:?}\n{:?}", self.clients, self.group);
            }
        }
    }

    fn settle(&mut self) {
        self.is_slow = false;
        self.save();
        // As long as a session of KIP-848 and a rebalance may take.
        for _ in 0..60 {
            for at in self.clients.keys().copied().collect::<Vec<_>>() {
                for _ in 0..4 {
                    self.live(at);
                    self.check();
                }
            }
            self.pass(Duration::from_secs(2));
            self.check();
        }
    }
}

#[derive(Debug, Clone)]
enum Op {
    /// A client starts, if there is none; static ones take the place of those that have crashed.
    Start(usize, Speech, bool, bool),
    Live(usize),
    Leave(usize),
    Crash(usize),
    /// A client ends and starts again with the other protocol, as in a rolling upgrade; a static one without leaving.
    Roll(usize, Speech),
    Pass(u64),
    Restart(bool),
    Slow(bool),
}

fn op() -> impl Strategy<Value = Op> {
    let client = || 0..5usize;
    let speech = || prop_oneof![2 => Just(Speech::Consumer), 1 => Just(Speech::Eager), 1 => Just(Speech::Cooperative)];
    prop_oneof![
        6 => (client(), speech(), any::<bool>(), any::<bool>()).prop_map(|(at, speech, is_static, wide)| Op::Start(at, speech, is_static, wide)),
        30 => client().prop_map(Op::Live),
        2 => client().prop_map(Op::Leave),
        1 => client().prop_map(Op::Crash),
        3 => (client(), speech()).prop_map(|(at, speech)| Op::Roll(at, speech)),
        4 => prop_oneof![3 => Just(1u64), 1 => Just(5), 1 => Just(25)].prop_map(Op::Pass),
        1 => any::<bool>().prop_map(Op::Restart),
        2 => any::<bool>().prop_map(Op::Slow),
    ]
}

impl World {
    fn play(&mut self, op: &Op) {
        match op {
            Op::Start(at, speech, is_static, wide) if !self.clients.contains_key(at) => {
                let instance = is_static.then(|| format!("i{at}"));
                self.start(*at, *speech, instance, if *wide { vec!["a", "b"] } else { vec!["a"] });
            }
            Op::Start(at, ..) | Op::Live(at) => self.live(*at),
            Op::Leave(at) => self.leave(*at),
            Op::Crash(at) => drop(self.clients.remove(at)),
            Op::Roll(at, speech) => {
                let Some(client) = self.clients.get(at) else { return };
                let (instance, topics) = (client.instance.clone(), client.topics.clone());
                match (&instance, client.speech) {
                    (None, _) => self.leave(*at),
                    (Some(instance), Speech::Consumer) => {
                        let member_id = client.id.clone();
                        let (member_id, instance_id) = (member_id.as_str(), Some(instance.as_str()));
                        let beat = Heartbeat { member_id, epoch: -2, instance_id, ..Heartbeat::default() };
                        let _ = self.group.consumer_heartbeat(&beat, &self.state, self.now, &settings());
                        self.save();
                    }
                    (Some(_), _) => {}
                }
                self.start(*at, *speech, instance, topics);
            }
            Op::Pass(seconds) => self.pass(Duration::from_secs(*seconds)),
            Op::Restart(lands) => self.restart(*lands),
            Op::Slow(is_slow) => {
                self.is_slow = *is_slow;
                self.save();
            }
        }
    }

    /// What happens, until all is quiet.
    fn tell(ops: &[Op]) -> Self {
        let mut world = Self::new();
        for op in ops {
            world.play(op);
            world.check();
        }
        world.settle();
        world
    }

    fn owned(&self, at: usize) -> usize {
        self.clients[&at].owned.len()
    }
}

#[test]
fn a_group_changes_its_type_with_its_members() {
    for speech in [Speech::Eager, Speech::Cooperative] {
        let mut world = World::new();
        let both = || vec!["a", "b"];
        world.start(0, speech, None, both());
        world.start(1, speech, None, both());
        world.settle();
        assert_eq!((world.group.kind(), world.owned(0) + world.owned(1)), ("classic", 8));
        world.start(2, Speech::Consumer, None, both());
        world.settle();
        assert_eq!((world.group.kind(), world.owned(2)), ("consumer", 2));
        world.play(&Op::Roll(0, Speech::Consumer));
        world.play(&Op::Roll(1, Speech::Consumer));
        world.settle();
        assert_eq!((world.group.kind(), world.owned(0) + world.owned(1) + world.owned(2)), ("consumer", 8));
        for at in 0..3 {
            assert_eq!(world.group.kind(), "consumer");
            world.play(&Op::Roll(at, speech));
            world.settle();
        }
        assert_eq!((world.group.kind(), world.owned(0) + world.owned(1) + world.owned(2)), ("classic", 8));
    }
}

#[test]
fn what_a_cooperative_member_has_yet_to_give_up_is_nobody_elses() {
    use Op::{Live, Start};
    let mut ops = vec![Start(0, Speech::Cooperative, true, true), Live(0), Op::Pass(5), Live(0), Live(0)];
    // Another joins, and the first one, which leads, gives it half; it has not heard yet that it has done so.
    ops.extend([Start(1, Speech::Cooperative, true, true), Live(1), Live(0), Live(0), Live(0)]);
    ops.extend([Start(4, Speech::Consumer, true, true), Live(4), Live(4)]);
    let world = World::tell(&ops);
    assert_eq!((world.group.kind(), world.owned(0) + world.owned(1) + world.owned(4)), ("consumer", 8));
}

#[test]
fn what_a_member_has_at_a_downgrade_is_its_own_at_an_upgrade_that_follows() {
    use Op::{Live, Roll, Start};
    let mut ops = vec![Start(2, Speech::Consumer, false, false), Start(4, Speech::Eager, true, false)];
    ops.extend([Live(4), Live(2), Live(4), Live(4), Live(4)]);
    ops.extend([Start(3, Speech::Eager, true, false), Live(3), Op::Leave(2), Roll(3, Speech::Consumer)]);
    // It has not heard of the epoch that gives a part of what it has to the other one.
    ops.extend([Live(3), Live(3), Live(3)]);
    let world = World::tell(&ops);
    assert_eq!((world.group.kind(), world.owned(3) + world.owned(4)), ("consumer", 5));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_partition_has_two_owners_and_all_find_one(ops in vec(op(), 1..80)) {
        let world = World::tell(&ops);
        kafscale_state::invariants::check(&world.state).expect("invariants hold");
        let reads = |topic: &str| world.clients.values().any(|client| client.topics.contains(&topic));
        let wanted = if reads("a") { 5 } else { 0 } + if reads("b") { 3 } else { 0 };
        let owned: usize = world.clients.values().map(|client| client.owned.len()).sum();
        prop_assert_eq!(owned, wanted, "{:?}\n{:?}", world.clients, world.group);
        let phase = if world.clients.is_empty() { "Empty" } else { "Stable" };
        prop_assert_eq!(world.group.phase(), phase);
        let consumers = world.clients.values().filter(|client| client.speech == Speech::Consumer).count();
        if !world.clients.is_empty() {
            prop_assert_eq!(world.group.kind(), if consumers > 0 { "consumer" } else { "classic" });
        }
    }
}
