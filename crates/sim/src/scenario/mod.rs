//! The catalogue of stories. Each is a pure function of its seed: set-up, chaos, calm, and a judge at the end.
//!
//! A story fails if the auditor objects, if it gets stuck, if product code panics, or if it sees something that may never
//! be. Over many seeds each story must also show that the things it is there for did happen: its `marks`.

mod administration;
mod broker;
mod broker_clients;
mod broker_life;
mod broker_outage;
mod compaction;
mod crowd;
mod deployment;
mod groups;
mod log;
mod log_sessions;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use futures_util::future::BoxFuture;

use crate::{
    alarms::Alarms,
    auditor::audit,
    executor::World,
    group_auditor,
    group_history::GroupHistory,
    history::{History, Line},
    registers::Registers,
};

/// One story of the catalogue.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// How the command line calls it.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// What must have happened at least once over a few hundred seeds.
    pub marks: &'static [&'static str],
    /// Words of the ERROR lines that belong to it; any other fails it.
    pub errors: &'static [&'static str],
    /// Over how many seeds an ordinary test run tells it.
    pub seeds: u64,
    /// How much virtual time it may take.
    pub limit: Duration,
    /// Tells it.
    story: fn(Stage) -> BoxFuture<'static, Result<(), String>>,
}

/// What a story is given.
#[derive(Clone)]
pub(crate) struct Stage {
    pub world: World,
    pub history: History,
    pub groups: GroupHistory,
    pub registers: Registers,
}

impl Stage {
    /// The metadata log as a line.
    pub fn log_line() -> Line {
        Line { name: "log".into(), first: 1 }
    }
}

/// What came of one run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The hash of everything that happened; equal for equal seeds.
    pub trace: u64,
    /// What happened how often.
    pub marks: BTreeMap<&'static str, u64>,
    /// Everything that is wrong.
    pub outcome: Result<(), String>,
}

/// All stories.
pub fn all() -> &'static [Scenario] {
    &[
        log::CRASHES,
        log::CHAOS,
        log::RACE,
        log::LOST_OBJECT,
        log::TRIM,
        log::POWER_CUTS,
        broker::CRASHES,
        broker::CHAOS,
        broker::RACE,
        broker::STALE,
        broker::HOURS_OF_LIFE,
        broker::SNAPSHOT_PARTS,
        broker::POWER_CUTS,
        broker_clients::SESSIONS,
        broker_clients::TIMES,
        broker_clients::UNANSWERED,
        broker_outage::OUTAGE,
        groups::CLASSIC,
        groups::CONSUMER,
        administration::ADMINISTRATION,
        broker_life::LIFE,
        compaction::COMPACTION,
    ]
}

/// The story of this name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    all().iter().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// Tells the story with this seed.
    pub fn run(&self, seed: u64) -> Run {
        let alarms = Alarms::listen();
        let mut run = self.run_in(World::new(seed));
        if let (Ok(()), Some(line)) = (&run.outcome, alarms.unexpected(self.errors)) {
            run.outcome = Err(format!("logged: {line}"));
        }
        run
    }

    /// The same, printing every step.
    pub fn run_verbosely(&self, seed: u64) -> Run {
        let world = World::new(seed);
        world.set_verbose(true);
        self.run_in(world)
    }

    fn run_in(&self, world: World) -> Run {
        let (history, registers) = Default::default();
        let stage = Stage { world: world.clone(), history, groups: GroupHistory::new(&world), registers };
        let told = catch_unwind(AssertUnwindSafe(|| world.run(self.limit, (self.story)(stage.clone()))));
        let outcome = match told {
            Ok(Ok(Ok(()))) => judge(&stage),
            Ok(Ok(Err(wrong))) => Err(wrong),
            Ok(Err(halt)) => Err(halt.to_string()),
            Err(panic) => Err(format!("panic: {}", text_of(&*panic))),
        };
        let outcome = outcome.and_then(|()| match world.wrongs().first() {
            Some(wrong) => Err(wrong.clone()),
            None => Ok(()),
        });
        Run { trace: world.trace(), marks: world.marks(), outcome }
    }
}

fn judge(stage: &Stage) -> Result<(), String> {
    let tally = audit(&stage.history).map_err(|wrong| violations(&wrong))?;
    let mut wrong = group_auditor::audit(&stage.groups);
    wrong.extend(stage.registers.audit());
    if !wrong.is_empty() {
        return Err(violations(&wrong));
    }
    for (mark, count) in [
        ("acknowledged", tally.acknowledged),
        ("acknowledged after a retry", tally.acknowledged_after_retry),
        ("outcome unknown", tally.unknown),
        ("unknown but there", tally.unknown_but_there),
        ("refused", tally.refused),
        ("values read", tally.values_read),
        ("end told", tally.ends),
        ("time told", tally.times),
    ] {
        if count > 0 {
            stage.world.mark(mark);
        }
    }
    Ok(())
}

fn violations(wrong: &[String]) -> String {
    let shown: Vec<_> = wrong.iter().take(12).cloned().collect();
    format!("{} violations:\n  {}", wrong.len(), shown.join("\n  "))
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "no text".into())
}
