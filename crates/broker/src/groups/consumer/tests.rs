//! A group with clients that come, go, pause, lose answers and change their minds, and a coordinator that dies.

mod interval;
mod play;

use std::{collections::BTreeMap, time::Duration};

use kafscale_state::{
    FrameFacts, State, Verdict,
    entry::{self, Change, Entry, NamedConfigSet, PartitionsAdded, TopicCreated},
    group::{Content, Partitions},
    topic::{Named, Settings},
};

use super::{Answer, Error, Group, Heartbeat, Phase, Reply};
use crate::{
    groups::{migration::Succession, removed::tests::lines},
    settings::GroupSettings,
};

/// As a group has it that nobody configured.
const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
const REBALANCE_TIMEOUT: Duration = Duration::from_secs(60);

fn settings() -> GroupSettings {
    GroupSettings { consumer_max_size: 6, ..GroupSettings::default() }
}

/// A client that does as KIP-848 says.
#[derive(Debug, Clone, Default)]
struct Client {
    instance: Option<String>,
    topics: Vec<&'static str>,
    pattern: Option<&'static str>,
    epoch: i32,
    owned: Partitions,
}

/// A coordinator with its log.
struct World {
    state: State,
    group: Group,
    now: Duration,
    clients: BTreeMap<String, Client>,
    saves: usize,
}

impl World {
    /// Targets are made whenever something changes.
    fn new() -> Self {
        let mut world = Self::with_interval();
        world.set("consumer.assignment.interval.ms", "0");
        world
    }

    /// As a group is that nobody configured.
    fn with_interval() -> Self {
        let state = State::new();
        let (group, clients) = (Group::new("g", 0, Succession::default()), BTreeMap::new());
        let mut world = Self { state, group, now: Duration::from_secs(1), clients, saves: 0 };
        world.topic("a", 1, 5);
        world.topic("b", 2, 3);
        world
    }

    fn set(&mut self, name: &str, value: &str) {
        let changes = vec![Change { name: name.into(), value: Some(value.into()) }];
        self.say(Entry::NamedConfigSet(NamedConfigSet { kind: Named::Group, name: "g".into(), changes }));
    }

    fn say(&mut self, entry: Entry) -> Verdict {
        let facts = FrameFacts { position: self.state.position() + 1, session: 1, cluster_time_ms: 1, payload_at: 0 };
        self.state.apply(facts, &entry::encode(&[entry])).expect("it can be applied").verdicts.remove(0)
    }

    fn topic(&mut self, name: &str, id: u128, partitions: u32) {
        let settings = Settings::new();
        let entry = TopicCreated { namespace: String::new(), name: name.into(), id, partitions, settings };
        assert!(matches!(self.say(Entry::TopicCreated(entry)), Verdict::TopicCreated { .. }));
    }

    fn grow(&mut self, id: u128, before: u32, after: u32) {
        let verdict = self.say(Entry::PartitionsAdded(PartitionsAdded { id, before, after }));
        assert!(!matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
    }

    /// Everything that waits is saved and answered.
    fn save(&mut self) {
        while let Some(entry) = self.group.take_save(self.now) {
            self.saves += 1;
            match self.say(Entry::GroupSaved(entry)) {
                Verdict::GroupSaved { revision } => self.group.saved(revision),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The coordinator dies, and another goes on from what was saved.
    fn restart(&mut self) {
        self.group.fail(Error::NotCoordinator);
        self.group = match self.state.group("g").map(|group| (group.content(), group.revision())) {
            Some((Content::Consumer(content), revision)) => {
                let succession = Succession { revision, is_saving: false };
                Group::load("g", content, succession, self.now, &self.state)
            }
            _ => Group::new("g", 0, Succession::default()),
        };
    }

    fn beat(&mut self, id: &str, beat: &Heartbeat<'_>) -> Result<Answer, Error> {
        let beat = Heartbeat { member_id: id, client_id: "c", client_host: "/h", ..beat.clone() };
        match self.group.heartbeat(&beat, &self.state, self.now, &settings())? {
            Reply::Now(answer) => Ok(answer),
            Reply::Later(mut answer) => {
                assert!(answer.try_recv().is_err(), "nothing is told before it is saved");
                self.save();
                answer.try_recv().expect("it was saved")
            }
        }
    }

    fn join(&mut self, id: &str, client: Client) {
        self.clients.insert(id.into(), Client { epoch: 0, owned: Partitions::new(), ..client });
        self.live(id, false);
    }

    /// A client's heartbeat; its answer may be lost.
    fn live(&mut self, id: &str, is_lost: bool) {
        let Some(client) = self.clients.get(id).cloned() else { return };
        let joins = client.epoch == 0;
        let beat = Heartbeat {
            epoch: client.epoch,
            instance_id: client.instance.as_deref(),
            rebalance_timeout_ms: joins.then_some(REBALANCE_TIMEOUT.as_millis() as i32),
            topics: Some(client.topics.clone()),
            pattern: client.pattern,
            owned: Some(client.owned.clone()),
            ..Heartbeat::default()
        };
        let answer = self.beat(id, &beat);
        if is_lost {
            return;
        }
        let client = self.clients.get_mut(id).expect("it lives");
        match answer {
            Ok(answer) => {
                client.epoch = answer.epoch;
                if let Some(assignment) = answer.assignment {
                    client.owned = assignment;
                }
            }
            Err(Error::UnknownMember | Error::FencedMemberEpoch) => {
                client.epoch = 0;
                client.owned.clear();
            }
            Err(Error::UnreleasedInstance | Error::FencedInstance | Error::GroupFull) => {
                self.clients.remove(id);
            }
            Err(other) => panic!("{id}: {other}"),
        }
    }

    fn leave(&mut self, id: &str) {
        if let Some(client) = self.clients.remove(id).filter(|client| client.epoch > 0) {
            let instance_id = client.instance.as_deref();
            let _ = self.beat(id, &Heartbeat { epoch: -1, instance_id, ..Heartbeat::default() });
        }
    }

    /// Clients that are removed for their silence notice by their own clocks.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.group.tick(&self.state, self.now, &settings());
        self.save();
        let members = self.group.content();
        for (_, client) in self.clients.iter_mut().filter(|(id, _)| members.member(id).is_none()) {
            client.epoch = 0;
            client.owned.clear();
        }
    }

    fn check(&self) {
        assert_eq!(self.group.weight(), 256 + self.group.content().weight(), "it is kept along");
        let mut owners = BTreeMap::new();
        for (id, client) in &self.clients {
            for handle in &client.owned {
                let other = owners.insert(*handle, id);
                assert_eq!(other, None, "{handle} is owned by {id} as well");
            }
        }
    }

    /// All that live heartbeat until nothing changes.
    fn settle(&mut self) {
        self.pass(SESSION_TIMEOUT / 2);
        for _ in 0..8 {
            self.now += Duration::from_secs(5);
            for id in self.clients.keys().cloned().collect::<Vec<_>>() {
                self.live(&id, false);
                self.check();
            }
            self.pass(Duration::ZERO);
        }
        self.pass(SESSION_TIMEOUT / 2);
        for _ in 0..8 {
            self.now += Duration::from_secs(5);
            for id in self.clients.keys().cloned().collect::<Vec<_>>() {
                self.live(&id, false);
                self.check();
            }
            self.pass(Duration::ZERO);
        }
    }

    fn owned(&self, id: &str) -> usize {
        self.clients[id].owned.len()
    }
}

fn names(topics: &[&'static str]) -> Client {
    Client { topics: topics.to_vec(), ..Client::default() }
}

#[test]
fn one_three_one() {
    let mut world = World::new();
    world.join("m1", names(&["a", "b"]));
    assert_eq!((world.owned("m1"), world.group.phase()), (8, Phase::Stable));
    world.join("m2", names(&["a", "b"]));
    world.join("m3", names(&["a", "b"]));
    assert_eq!((world.owned("m1"), world.owned("m2"), world.owned("m3")), (8, 0, 0));
    world.settle();
    let mut shares = [world.owned("m1"), world.owned("m2"), world.owned("m3")];
    shares.sort_unstable();
    assert_eq!((shares, world.group.phase()), ([2, 3, 3], Phase::Stable));
    world.leave("m1");
    world.leave("m3");
    world.settle();
    assert_eq!(world.owned("m2"), 8);
    world.leave("m2");
    assert_eq!((world.group.phase(), world.group.is_idle()), (Phase::Empty, true));
}

#[test]
fn a_heartbeat_that_changes_nothing_is_not_saved() {
    let mut world = World::new();
    world.join("m1", names(&["a"]));
    let saves = world.saves;
    for _ in 0..10 {
        world.live("m1", false);
    }
    let answer = world.beat("m1", &Heartbeat { epoch: 1, ..Heartbeat::default() }).expect("it lives");
    assert_eq!((world.saves, answer.epoch, answer.assignment), (saves, 1, None));
}

#[test]
fn many_members_that_wait_are_saved_at_once() {
    let mut world = World::new();
    let mut waiting = Vec::new();
    for id in ["m1", "m2", "m3"] {
        let topics = Some(vec!["a"]);
        let beat = Heartbeat { member_id: id, topics, owned: Some(Partitions::new()), ..Heartbeat::default() };
        match world.group.heartbeat(&beat, &world.state, world.now, &settings()) {
            Ok(Reply::Later(answer)) => waiting.push(answer),
            other => panic!("{other:?}"),
        }
    }
    world.save();
    assert_eq!(world.saves, 1);
    assert!(waiting.iter_mut().all(|answer| matches!(answer.try_recv(), Ok(Ok(_)))));
}

#[test]
fn a_partition_is_given_only_after_it_was_given_up() {
    let mut world = World::new();
    world.join("m1", names(&["a"]));
    world.join("m2", names(&["a"]));
    assert_eq!(world.owned("m2"), 0);
    // The old owner is told, and still owns.
    let owned = world.clients["m1"].owned.clone();
    let beat = Heartbeat { epoch: 1, owned: Some(owned), ..Heartbeat::default() };
    let answer = world.beat("m1", &beat).expect("it lives");
    assert_eq!((answer.epoch, answer.assignment.as_ref().map(Partitions::len)), (1, Some(3)));
    world.live("m2", false);
    assert_eq!(world.owned("m2"), 0);
    // It says nothing of what it owns: it may own it still.
    world.beat("m1", &Heartbeat { epoch: 1, ..Heartbeat::default() }).expect("it lives");
    world.live("m2", false);
    assert_eq!(world.owned("m2"), 0);
    let answer = world.beat("m1", &Heartbeat { epoch: 1, owned: answer.assignment, ..Heartbeat::default() });
    assert_eq!(answer.expect("it lives").epoch, 2);
    world.live("m2", false);
    assert_eq!(world.owned("m2"), 2);
}

#[test]
fn who_does_not_give_up_in_time_is_removed() {
    let mut world = World::new();
    let owned = |world: &World| world.clients["m1"].owned.clone();
    world.join("m1", names(&["a"]));
    world.join("m2", names(&["a"]));
    for _ in 0..11 {
        let beat = Heartbeat { epoch: 1, owned: Some(owned(&world)), ..Heartbeat::default() };
        world.beat("m1", &beat).expect("it lives");
        world.live("m2", false);
        world.pass(Duration::from_secs(5));
    }
    world.pass(Duration::from_secs(5));
    let beat = Heartbeat { epoch: 1, owned: Some(owned(&world)), ..Heartbeat::default() };
    assert_eq!(world.beat("m1", &beat), Err(Error::UnknownMember));
    world.live("m2", false);
    assert_eq!(world.owned("m2"), 5);
}

#[test]
fn a_group_that_expires_writes_one_line() {
    let mut world = World::new();
    for index in 0..5 {
        world.join(&format!("m{index}"), names(&["a"]));
    }
    assert_eq!(lines(|| world.pass(SESSION_TIMEOUT)), 1);
    assert_eq!(world.group.phase(), Phase::Empty);
}

#[test]
fn epochs_are_checked() {
    let mut world = World::new();
    world.join("m1", names(&["a"]));
    let beat = |epoch| Heartbeat { epoch, ..Heartbeat::default() };
    assert_eq!(world.beat("m2", &beat(1)), Err(Error::UnknownMember));
    assert_eq!(world.beat("m1", &beat(2)), Err(Error::FencedMemberEpoch));
    world.join("m2", names(&["a"]));
    world.settle();
    let epoch = world.clients["m1"].epoch;
    assert_eq!(world.beat("m1", &beat(epoch - 1)), Err(Error::FencedMemberEpoch), "it does not say what it owns");
    let owned = Some(world.clients["m1"].owned.clone());
    assert!(world.beat("m1", &Heartbeat { owned, ..beat(epoch - 1) }).is_ok(), "its answer was lost");
    let owned = Some(Partitions::from([99]));
    assert_eq!(world.beat("m1", &Heartbeat { owned, ..beat(epoch - 1) }), Err(Error::FencedMemberEpoch));
}

#[test]
fn words_are_checked() {
    let mut world = World::new();
    let join = |topics| Heartbeat { topics: Some(topics), owned: Some(Partitions::new()), ..Heartbeat::default() };
    let beat = Heartbeat { assignor: Some("sticky"), ..join(vec!["a"]) };
    assert_eq!(world.beat("m1", &beat), Err(Error::UnsupportedAssignor));
    let beat = Heartbeat { pattern: Some("(?=a)"), ..join(vec![]) };
    assert_eq!(world.beat("m1", &beat), Err(Error::InvalidPattern));
    assert!(world.group.is_idle(), "what is refused changes nothing");
    for id in 0..settings().consumer_max_size {
        world.join(&format!("m{id}"), names(&["a"]));
    }
    assert_eq!(world.beat("m9", &join(vec!["a"])), Err(Error::GroupFull));
}

#[test]
fn a_static_member_comes_back_to_its_partitions_without_a_rebalance() {
    let mut world = World::new();
    let fixed = |instance: &str| Client { instance: Some(instance.into()), ..names(&["a"]) };
    world.join("m1", fixed("i1"));
    world.join("m2", fixed("i2"));
    world.settle();
    let (epoch, owned) = (world.clients["m1"].epoch, world.clients["m1"].owned.clone());
    let join = Heartbeat { instance_id: Some("i1"), topics: Some(vec!["a"]), ..Heartbeat::default() };
    assert_eq!(world.beat("m3", &join), Err(Error::UnreleasedInstance));
    assert_eq!(world.beat("m3", &Heartbeat { epoch, ..join.clone() }), Err(Error::FencedInstance));
    let left = world.beat("m1", &Heartbeat { epoch: -2, instance_id: Some("i1"), ..Heartbeat::default() });
    assert_eq!(left.expect("it leaves").epoch, -2);
    world.clients.remove("m1");
    world.join("m3", fixed("i1"));
    assert_eq!((world.clients["m3"].epoch, &world.clients["m3"].owned), (epoch, &owned));
    assert_eq!(world.group.content().epoch, epoch);
    let late = Heartbeat { epoch, instance_id: Some("i1"), ..Heartbeat::default() };
    assert_eq!(world.beat("m1", &late), Err(Error::FencedInstance));
}

#[test]
fn topics_that_come_and_grow_are_shared() {
    let mut world = World::new();
    world.join("m1", Client { pattern: Some("n.*"), ..names(&["a", "later"]) });
    assert_eq!(world.owned("m1"), 5);
    world.grow(1, 5, 7);
    world.topic("later", 3, 2);
    world.topic("new", 4, 4);
    world.now += Duration::from_secs(11);
    world.live("m1", false);
    assert_eq!(world.owned("m1"), 13);
    let epoch = world.group.content().epoch;
    world.restart();
    world.live("m1", false);
    assert_eq!(world.group.content().epoch, epoch, "a restart is no rebalance");
}
