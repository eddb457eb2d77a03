//! The mutation board: each bug that product code lets us plant is caught within a bounded number of seeds, and the seed
//! that catches it passes without the bug. A seed catches a bug if the story fails, or if its replay differs. Switches are
//! global or of a thread, so there is one test on one thread. `PLANTED=word` narrows to the bugs with this word in their name.

use std::sync::atomic::Ordering::SeqCst;

use kafscale_broker::planted as broker;
use kafscale_log::planted as log;
use kafscale_sim::scenario::{self, Scenario};
use kafscale_state::planted as state;
use kafscale_store::planted as store;

struct Planted {
    name: &'static str,
    plant: fn(bool),
    scenario: &'static str,
    /// Of this many seeds at least one must fail.
    seeds: u64,
}

const BOARD: &[Planted] = &[
    Planted {
        name: "one fsync removed",
        plant: |on| store::NO_PARENT_FLUSH.store(on, SeqCst),
        scenario: "log-power-cuts",
        seeds: 20,
    },
    Planted {
        name: "a hole taken for the tail",
        plant: |on| log::plant(on.then_some(log::Bug::HoleTakenForTail)),
        scenario: "log-lost-object",
        seeds: 3,
    },
    Planted {
        name: "a create believed without reading the write id",
        plant: |on| log::plant(on.then_some(log::Bug::CreateBelievedUnread)),
        scenario: "log-chaos",
        seeds: 20,
    },
    Planted {
        name: "acknowledged before the log counts",
        plant: |on| broker::plant(on.then_some(broker::Bug::AcknowledgesEarly)),
        scenario: "broker-crashes",
        seeds: 20,
    },
    Planted {
        name: "committed before the data object is stored",
        plant: |on| broker::plant(on.then_some(broker::Bug::CommitsBeforeData)),
        scenario: "broker-crashes",
        seeds: 40,
    },
    Planted {
        name: "no de-duplication of producer sequences",
        plant: |on| state::plant(on.then_some(state::Bug::NoDeduplication)),
        scenario: "broker-crashes",
        seeds: 20,
    },
    Planted {
        name: "an iterated hash map",
        plant: |on| state::plant(on.then_some(state::Bug::IteratedHashMap)),
        scenario: "broker-crashes",
        seeds: 20,
    },
    Planted {
        name: "a time answered with the batch's first record",
        plant: |on| broker::plant(on.then_some(broker::Bug::TimeOfBatch)),
        scenario: "broker-times",
        seeds: 5,
    },
    Planted {
        name: "an acks=0 failure swallowed",
        plant: |on| broker::plant(on.then_some(broker::Bug::SilentFailure)),
        scenario: "broker-acks-0",
        seeds: 10,
    },
    Planted {
        name: "a commit under an older generation accepted",
        plant: |on| {
            broker::plant(on.then_some(broker::Bug::NoGenerationCheck));
            state::plant(on.then_some(state::Bug::NoGenerationCheck));
        },
        scenario: "groups-classic",
        seeds: 8,
    },
    Planted {
        name: "a commit under an older epoch accepted",
        plant: |on| {
            broker::plant(on.then_some(broker::Bug::NoGenerationCheck));
            state::plant(on.then_some(state::Bug::NoGenerationCheck));
        },
        scenario: "groups-kip-848",
        seeds: 8,
    },
    Planted {
        name: "the assignment of an older generation",
        plant: |on| broker::plant(on.then_some(broker::Bug::OldAssignment)),
        scenario: "groups-classic",
        seeds: 8,
    },
    Planted {
        name: "a static member not fenced",
        plant: |on| broker::plant(on.then_some(broker::Bug::StaticMemberNotFenced)),
        scenario: "groups-classic",
        seeds: 8,
    },
    Planted {
        name: "a partition that another has not given up",
        plant: |on| {
            broker::plant(on.then_some(broker::Bug::NotGivenUp));
            state::plant(on.then_some(state::Bug::TwoOwners));
        },
        scenario: "groups-kip-848",
        seeds: 8,
    },
    Planted {
        name: "memory of answered requests kept",
        plant: |on| broker::plant(on.then_some(broker::Bug::MemoryKept)),
        scenario: "broker-outage",
        seeds: 3,
    },
    Planted {
        name: "no memory set aside for small requests",
        plant: |on| broker::plant(on.then_some(broker::Bug::NoReserve)),
        scenario: "broker-outage",
        seeds: 5,
    },
    Planted {
        name: "half frames waited for without end",
        plant: |on| broker::plant(on.then_some(broker::Bug::HalfFramesKept)),
        scenario: "broker-outage",
        seeds: 5,
    },
    Planted {
        name: "a snapshot read without its last part",
        plant: |on| broker::plant(on.then_some(broker::Bug::LastPartForgotten)),
        scenario: "broker-snapshot-parts",
        seeds: 3,
    },
    Planted {
        name: "a fetch session forgets a partition",
        plant: |on| broker::plant(on.then_some(broker::Bug::SessionForgets)),
        scenario: "broker-sessions",
        seeds: 10,
    },
    Planted {
        name: "deletes by wall clock",
        plant: |on| broker::plant(on.then_some(broker::Bug::DeletesByWallClock)),
        scenario: "broker-life",
        seeds: 5,
    },
    Planted {
        name: "merged names without id",
        plant: |on| broker::plant(on.then_some(broker::Bug::NameWithoutId)),
        scenario: "broker-life",
        seeds: 40,
    },
    Planted {
        name: "a swap applied twice",
        plant: |on| state::plant(on.then_some(state::Bug::SwapAppliedTwice)),
        scenario: "broker-life",
        seeds: 3,
    },
    Planted {
        name: "retention takes one extent too many",
        plant: |on| state::plant(on.then_some(state::Bug::CutsTooMuch)),
        scenario: "broker-life",
        seeds: 10,
    },
    Planted {
        name: "a claim executed with other bytes",
        plant: |on| broker::plant(on.then_some(broker::Bug::ClaimWithOtherBytes)),
        scenario: "broker-life",
        seeds: 40,
    },
    Planted {
        name: "the path of a deleted topic used again at once",
        plant: |on| state::plant(on.then_some(state::Bug::PathUsedAtOnce)),
        scenario: "broker-life",
        seeds: 20,
    },
    Planted {
        name: "the last value of a key compacted away",
        plant: |on| broker::plant(on.then_some(broker::Bug::LastValueCleaned)),
        scenario: "broker-compaction",
        seeds: 3,
    },
    Planted {
        name: "tombstones that go before their time",
        plant: |on| broker::plant(on.then_some(broker::Bug::TombstonesGoAtOnce)),
        scenario: "broker-compaction",
        seeds: 20,
    },
];

/// What gives the bug away, if anything does.
fn alarm(scenario: &Scenario, seed: u64) -> Option<String> {
    let run = scenario.run(seed);
    run.outcome.err().or_else(|| (scenario.run(seed).trace != run.trace).then(|| "its replay differs".into()))
}

#[test]
fn every_planted_bug_is_caught() {
    let word = std::env::var("PLANTED").unwrap_or_default();
    for planted in BOARD.iter().filter(|planted| planted.name.contains(&word)) {
        let scenario = scenario::named(planted.scenario).expect("in the catalogue");
        (planted.plant)(true);
        let caught = (0..planted.seeds).find_map(|seed| Some((seed, alarm(scenario, seed)?)));
        (planted.plant)(false);
        let (seed, wrong) = caught.unwrap_or_else(|| panic!("{}: not caught by {}", planted.name, planted.scenario));
        println!("{}: seed {seed} of {} says: {wrong}", planted.name, planted.scenario);
        assert_eq!(alarm(scenario, seed), None, "{}: seed {seed} fails without the bug as well", planted.name);
    }
}
