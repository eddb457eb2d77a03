//! Every story over a few seeds, the seeds that once failed, and the meta-test that makes a seed worth keeping.
//!
//! `SEEDS=7` or `SEEDS=0..500` replays or widens, `SCENARIO=name` narrows.

use std::ops::Range;

use kafscale_sim::scenario::{self, Scenario};

fn seeds(scenario: &Scenario) -> Range<u64> {
    let Ok(text) = std::env::var("SEEDS") else { return 0..scenario.seeds };
    let number = |text: &str| text.trim().parse::<u64>().expect("SEEDS is a number or FROM..TO");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&text)..number(&text) + 1,
    }
}

fn chosen() -> impl Iterator<Item = &'static Scenario> {
    let name = std::env::var("SCENARIO").ok();
    let is_known = |name: &String| scenario::all().iter().any(|scenario| scenario.name == name);
    assert!(name.as_ref().is_none_or(is_known), "no story is called {name:?}; `kafscale-sim --list` names them");
    scenario::all().iter().filter(move |scenario| name.as_deref().is_none_or(|name| name == scenario.name))
}

fn failures(scenario: &Scenario, seeds: impl Iterator<Item = u64>) -> Vec<String> {
    let failed = seeds.filter_map(|seed| Some((seed, scenario.run(seed).outcome.err()?)));
    failed.map(|(seed, wrong)| format!("SCENARIO={} SEEDS={seed}: {wrong}", scenario.name)).collect()
}

#[test]
fn a_seed_gives_the_same_trace_twice() {
    for scenario in chosen() {
        for seed in 1..3 {
            let (first, second) = (scenario.run(seed), scenario.run(seed));
            assert_eq!(first.trace, second.trace, "{} {seed}: two runs differ", scenario.name);
            assert_eq!(first.marks, second.marks, "{} {seed}", scenario.name);
        }
    }
}

#[test]
fn every_story_ends_well() {
    let failed: Vec<_> = chosen().flat_map(|scenario| failures(scenario, seeds(scenario))).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn seeds_that_once_failed_pass() {
    let kept = include_str!("../regressions.txt").lines().filter(|line| !line.trim().is_empty());
    let failed: Vec<_> = kept
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| {
            let mut words = line.split_whitespace();
            let scenario = words.next().and_then(scenario::named).expect("a line is: scenario, seed, what it was");
            let seed = words.next().and_then(|seed| seed.parse().ok()).expect("the second word is a seed");
            failures(scenario, std::iter::once(seed))
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
