//! The members of one group in a story: who lives, who sleeps, who is dead, and whether all is well in the end.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use super::deployment::Deployment;
use crate::{
    client::{
        Partition,
        group::{Birth, Plan},
    },
    executor::{Call, Node},
    group_history::{Life, Outcome, What},
    history::Line,
    rng::Rng,
};

/// How long a group may take after everything was healed.
const PATIENCE: Duration = Duration::from_secs(400);

/// The members' protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// One of them assigns, and all give everything up first.
    Eager,
    /// One of them assigns, and they give up what others shall have.
    Cooperative,
    /// The coordinator assigns (KIP-848).
    Consumer,
}

/// See the module.
pub(super) struct Crowd {
    deployment: Deployment,
    group: Arc<str>,
    protocol: Protocol,
    topics: Vec<Arc<str>>,
    session: Duration,
    lies: u64,
    lives: Vec<Living>,
}

struct Living {
    node: Node,
    life: Life,
    /// Who it is in the history of reads.
    client: u64,
    instance: Option<Arc<str>>,
    stop: Arc<AtomicBool>,
    call: Call<Result<(), String>>,
}

impl Crowd {
    pub fn new(
        deployment: &Deployment,
        rng: &mut Rng,
        number: u64,
        protocol: Protocol,
        partitions: &[Partition],
    ) -> Self {
        let topics: BTreeSet<Arc<str>> = partitions.iter().map(|partition| Arc::clone(&partition.topic)).collect();
        Self {
            deployment: deployment.clone(),
            group: format!("group-{number}").into(),
            protocol,
            topics: topics.into_iter().collect(),
            session: Duration::from_secs(rng.within(6..=15)),
            lies: *rng.pick(&[0, 100, 300]),
            lives: Vec::new(),
        }
    }

    /// Somebody comes, perhaps as a static member.
    pub fn come(&mut self, rng: &mut Rng) {
        let instance = rng.chance(500).then(|| format!("instance-{}", self.lives.len()).into());
        self.come_as(rng, instance);
    }

    /// Somebody comes with this instance id, whoever else has it.
    fn come_as(&mut self, rng: &mut Rng, instance: Option<Arc<str>>) {
        let stage = &self.deployment.stage;
        let life = stage.groups.life();
        let birth = Birth {
            node: stage.world.node(format!("member-{life}")),
            brokers: self.deployment.brokers.clone(),
            history: stage.history.clone(),
            deeds: stage.groups.clone(),
            life,
            stop: Arc::default(),
        };
        let plan = Plan {
            group: Arc::clone(&self.group),
            topics: self.topics.clone(),
            instance: instance.clone(),
            session: self.session,
            beat: Duration::from_millis(rng.within(200..=2_000)),
            fragile: *rng.pick(&[0, 0, 10]),
            lies: self.lies,
        };
        let (client, call) = match self.protocol {
            Protocol::Consumer => {
                let pattern = rng.chance(400).then(|| "topic-[0-9]+".to_owned());
                let member = birth.consumer(plan, pattern);
                (member.client(), birth.node.call("member", member.run()))
            }
            classic => {
                let member = birth.classic(plan, classic == Protocol::Cooperative);
                (member.client(), birth.node.call("member", member.run()))
            }
        };
        let (node, stop) = (birth.node, birth.stop);
        self.lives.push(Living { node, life, client, instance, stop, call });
    }

    /// Something happens to somebody.
    pub fn stir(&mut self, rng: &mut Rng) {
        let world = self.deployment.stage.world.clone();
        let alive: Vec<usize> = (0..self.lives.len()).filter(|at| self.lives[*at].node.is_alive()).collect();
        if alive.is_empty() || (alive.len() < 5 && rng.chance(400)) {
            return self.come(rng);
        }
        let index = *rng.pick(&alive);
        let living = &self.lives[index];
        match (rng.below(5), living.instance.clone()) {
            (0, Some(instance)) => {
                world.mark("place taken");
                self.come_as(rng, Some(instance));
            }
            (0 | 1, _) => living.stop.store(true, Relaxed),
            (2, _) => self.kill(index),
            _ => {
                world.mark("member suspended");
                living.node.pause();
                let node = living.node.clone();
                let most = *rng.pick(&[2, 20, 90]);
                world.after(Duration::from_secs(rng.within(1..=most)), move || node.resume());
            }
        }
    }

    fn kill(&self, index: usize) {
        let (living, stage) = (&self.lives[index], &self.deployment.stage);
        if living.node.is_alive() {
            stage.world.mark("member killed");
            living.node.kill();
            stage.groups.note(&self.group, living.life, What::Died);
            stage.history.bury(living.client);
        }
    }

    /// What is cut if the broker dies now.
    pub fn mark_what_is_cut(&self) {
        let stage = &self.deployment.stage;
        let Some(running) = self.deployment.brokers.alive().pop() else { return };
        let listed = running.broker.groups().list();
        let phase = listed.iter().find(|listed| listed.id == *self.group).map_or("", |listed| listed.phase);
        match phase {
            "PreparingRebalance" => stage.world.mark("join cut by a restart"),
            "CompletingRebalance" => stage.world.mark("rebalance cut by a restart"),
            "Reconciling" => stage.world.mark("reconciliation cut by a restart"),
            _ => {}
        }
        let groups = stage.groups.groups();
        let pending = groups.get(&self.group).into_iter().flat_map(|group| &group.deeds).any(|deed| {
            let is_commit = matches!(deed.what, What::Committed { outcome: Outcome::Unknown, .. });
            is_commit && deed.end.is_none() && self.lives.iter().any(|one| one.life == deed.life && one.node.is_alive())
        });
        if pending {
            stage.world.mark("commit cut by a restart");
        }
    }

    /// After the healing: everybody wakes up, somebody is there, every partition has one owner, and the group has committed
    /// all that there is.
    pub async fn settle(mut self, rng: &mut Rng, partitions: &[Partition], ends: &[u64]) -> Result<(), String> {
        for living in self.lives.iter().filter(|living| living.node.is_alive()) {
            living.node.resume();
        }
        self.come(rng);
        let stage = self.deployment.stage.clone();
        let until = stage.world.now() + PATIENCE;
        while let Err(missing) = self.is_complete(partitions, ends) {
            if stage.world.now() > until {
                return Err(format!("stuck: {} after {PATIENCE:?}: {missing}", self.group));
            }
            stage.world.sleep(Duration::from_secs(1)).await;
        }
        stage.world.mark("group complete");
        for (partition, end) in partitions.iter().zip(ends) {
            stage.groups.ended(&self.group, &partition.line(), *end);
        }
        for index in 0..self.lives.len() {
            self.kill(index);
        }
        for living in self.lives {
            if let Some(Err(wrong)) = living.call.await {
                return Err(format!("life {} of {}: {wrong}", living.life, self.group));
            }
        }
        Ok(())
    }

    fn is_complete(&self, partitions: &[Partition], ends: &[u64]) -> Result<(), String> {
        let running = self.deployment.brokers.alive().pop().ok_or("no broker")?;
        let listed = running.broker.groups().list();
        let phase = listed.iter().find(|listed| listed.id == *self.group).map_or("unknown", |listed| listed.phase);
        if phase != "Stable" {
            return Err(format!("the group is {phase}"));
        }
        let deeds = self.deployment.stage.groups.groups().remove(&self.group).unwrap_or_default().deeds;
        let alive: BTreeSet<Life> =
            self.lives.iter().filter(|living| living.node.is_alive()).map(|living| living.life).collect();
        for (partition, end) in partitions.iter().zip(ends) {
            let line = partition.line();
            let mut owners: BTreeSet<Life> = BTreeSet::new();
            for deed in &deeds {
                match &deed.what {
                    What::Took(of) if *of == line => drop(owners.insert(deed.life)),
                    What::Dropped(of) if *of == line => drop(owners.remove(&deed.life)),
                    _ => {}
                }
            }
            owners.retain(|life| alive.contains(life));
            if owners.len() != 1 {
                return Err(format!("{} has the owners {owners:?}", line.name));
            }
            if *end > 0 && !is_committed(&deeds, &line, *end) {
                return Err(format!("{} is not committed up to {end}", line.name));
            }
        }
        Ok(())
    }
}

fn is_committed(deeds: &[crate::group_history::Deed], line: &Line, end: u64) -> bool {
    deeds.iter().any(|deed| match &deed.what {
        What::Committed { offsets, outcome: Outcome::Accepted, .. } => offsets.get(line) == Some(&end),
        What::Asked { line: of, answer: Some(Some(told)) } => of == line && *told == end,
        _ => false,
    })
}
