//! Whatever happens in whatever order: no partition has two owners, and in the end all have one.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::groups::STALE;

#[derive(Debug, Clone)]
enum Op {
    Join(usize, usize, Option<usize>),
    Live(usize, bool),
    Leave(usize),
    /// A static member leaves for a while, and its next life joins with the member id given.
    Return(usize, usize),
    Crash(usize),
    Pass(u64),
    Restart,
    /// The coordinator dies before it has saved what a heartbeat changes.
    Interrupt(usize),
    Grow,
}

const WISHES: [(&[&str], Option<&str>); 4] =
    [(&["a"], None), (&["a", "b"], None), (&["b", "absent"], None), (&[], Some("[ab]"))];

fn op() -> impl Strategy<Value = Op> {
    let member = || 0..6usize;
    prop_oneof![
        4 => (member(), 0..WISHES.len(), prop::option::weighted(0.3, 0..2usize)).prop_map(|(m, w, i)| Op::Join(m, w, i)),
        20 => (member(), prop::bool::weighted(0.2)).prop_map(|(member, lost)| Op::Live(member, lost)),
        1 => member().prop_map(Op::Leave),
        2 => (member(), member()).prop_map(|(old, new)| Op::Return(old, new)),
        1 => member().prop_map(Op::Crash),
        2 => prop_oneof![Just(1u64), Just(20), Just(50)].prop_map(Op::Pass),
        1 => Just(Op::Restart),
        2 => member().prop_map(Op::Interrupt),
        1 => Just(Op::Grow),
    ]
}

impl World {
    fn play(&mut self, op: &Op, partitions: &mut u32) {
        let name = |member: &usize| format!("m{member}");
        match op {
            Op::Join(member, wish, instance) if !self.clients.contains_key(&name(member)) => {
                let (topics, pattern) = WISHES[*wish];
                let instance = instance.map(|instance| format!("i{instance}"));
                let client = Client { instance, pattern, topics: topics.to_vec(), ..Client::default() };
                self.join(&name(member), client);
            }
            Op::Join(member, wish, _) => {
                let client = self.clients.get_mut(&name(member)).expect("it lives");
                (client.topics, client.pattern) = (WISHES[*wish].0.to_vec(), Some(WISHES[*wish].1.unwrap_or("")));
            }
            Op::Live(member, is_lost) => self.live(&name(member), *is_lost),
            Op::Leave(member) => self.leave(&name(member)),
            Op::Return(old, new) => {
                let free = !self.clients.contains_key(&name(new));
                let is_static = |client: &&Client| client.instance.is_some() && client.epoch > 0;
                if let Some(client) = self.clients.get(&name(old)).filter(is_static).cloned().filter(|_| free) {
                    let instance_id = client.instance.as_deref();
                    let left = self.beat(&name(old), &Heartbeat { epoch: -2, instance_id, ..Heartbeat::default() });
                    self.clients.remove(&name(old));
                    if left.is_ok() {
                        self.join(&name(new), client);
                    }
                }
            }
            Op::Crash(member) => drop(self.clients.remove(&name(member))),
            Op::Pass(seconds) => self.pass(Duration::from_secs(*seconds)),
            Op::Restart => self.restart(),
            Op::Interrupt(member) => {
                if let Some(client) = self.clients.get(&name(member)).cloned() {
                    let owned = Some(client.owned.clone());
                    let (instance_id, topics) = (client.instance.as_deref(), Some(client.topics.clone()));
                    let (id, epoch) = (name(member), client.epoch);
                    let beat = Heartbeat { member_id: &id, epoch, instance_id, topics, owned, ..Heartbeat::default() };
                    let _ = self.group.heartbeat(&beat, &self.state, self.now, &settings());
                }
                self.restart();
            }
            Op::Grow => {
                self.grow(1, *partitions, *partitions + 1);
                *partitions += 1;
            }
        }
    }
}

#[test]
fn the_session_timeout_is_that_of_the_group() {
    let mut world = World::new();
    world.set("consumer.session.timeout.ms", "60000");
    world.play(&Op::Join(3, 0, None), &mut 5);
    let live = |world: &World| world.group.content().member("m3").is_some();
    world.pass(Duration::from_secs(59));
    assert!(live(&world));
    world.restart();
    world.pass(Duration::from_secs(59));
    assert!(live(&world), "a coordinator that starts gives a fresh timeout");
    world.pass(STALE);
    assert!(live(&world), "since the last moment at which the one before may have heard it");
    world.pass(Duration::from_secs(1));
    assert!(!live(&world));
}

#[test]
fn who_joins_anew_leaves_its_former_subscription_behind() {
    let mut world = World::new();
    let with_pattern = WISHES.iter().position(|(_, pattern)| pattern.is_some()).expect("a wish with a pattern");
    let without = WISHES.iter().position(|wish| *wish == (&["b", "absent"], None)).expect("a wish without one");
    let mut partitions = 5;
    for op in [Op::Join(3, with_pattern, None), Op::Crash(3), Op::Join(3, without, None)] {
        world.play(&op, &mut partitions);
    }
    world.settle();
    assert_eq!(world.clients["m3"].owned.len(), 3, "{:?}", world.group);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_partition_has_two_owners_and_all_find_one(ops in vec(op(), 1..60), has_interval in any::<bool>()) {
        let mut world = if has_interval { World::with_interval() } else { World::new() };
        let mut partitions = 5;
        for op in &ops {
            world.play(op, &mut partitions);
            world.check();
            kafscale_state::invariants::check(&world.state).expect("invariants hold");
        }
        world.settle();
        let wants = |name: &str, pattern: &str| {
            let mut clients = world.clients.values();
            clients.any(|client| client.topics.contains(&name) || client.pattern == Some(pattern))
        };
        let mut wanted = 0;
        wanted += if wants("a", "[ab]") { partitions as usize } else { 0 };
        wanted += if wants("b", "[ab]") { 3 } else { 0 };
        let owned: usize = world.clients.values().map(|client| client.owned.len()).sum();
        prop_assert_eq!(owned, wanted, "{:?}\n{:?}", world.clients, world.group);
        let phase = if world.clients.is_empty() { Phase::Empty } else { Phase::Stable };
        prop_assert_eq!(world.group.phase(), phase);
        // Nothing is left to do.
        let saves = world.saves;
        let ids: Vec<_> = world.clients.keys().cloned().collect();
        ids.iter().for_each(|id| world.live(id, false));
        prop_assert_eq!(world.saves, saves);
    }
}
