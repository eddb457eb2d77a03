//! Tells stories of the catalogue over many seeds and prints the seeds that fail.

use std::{collections::BTreeMap, ops::Range, process::ExitCode};

use kafscale_sim::scenario::{self, Scenario};

const USAGE: &str = "usage: kafscale-sim [--seeds FROM..TO] [--scenario NAME] [--twice] [--verbose] | --list";

struct Order {
    scenarios: Vec<&'static Scenario>,
    seeds: Range<u64>,
    twice: bool,
    verbose: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for scenario in scenario::all() {
            println!("{:<24} {}", scenario.name, scenario.about);
        }
        return ExitCode::SUCCESS;
    }
    let order = match parse(&arguments) {
        Ok(order) => order,
        Err(wrong) => {
            eprintln!("{wrong}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if order.verbose {
        let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::DEBUG);
        log.without_time().init();
    }
    let failures: usize = order.scenarios.iter().map(|scenario| tell(scenario, &order)).sum();
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tells one story over all seeds; how many failed.
fn tell(scenario: &Scenario, order: &Order) -> usize {
    let mut failures = 0;
    let mut marks: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in order.seeds.clone() {
        let run = if order.verbose { scenario.run_verbosely(seed) } else { scenario.run(seed) };
        for (mark, count) in &run.marks {
            *marks.entry(mark).or_default() += count;
        }
        let differs = order.twice && scenario.run(seed).trace != run.trace;
        let outcome = if differs { Err("two runs of this seed differ".to_owned()) } else { run.outcome };
        if let Err(wrong) = outcome {
            failures += 1;
            println!("FAILED {} {seed}: {wrong}", scenario.name);
        }
    }
    let told: Vec<_> = marks.iter().map(|(mark, count)| format!("{mark} {count}")).collect();
    println!("{}: {} seeds, {failures} failed; {}", scenario.name, order.seeds.clone().count(), told.join(", "));
    let missing: Vec<_> = scenario.marks.iter().filter(|mark| !marks.contains_key(**mark)).collect();
    if !missing.is_empty() && order.seeds.clone().count() >= 200 {
        println!("FAILED {}: never happened: {missing:?}", scenario.name);
        failures += 1;
    }
    failures
}

fn parse(arguments: &[String]) -> Result<Order, String> {
    let mut order = Order { scenarios: scenario::all().iter().collect(), seeds: 0..100, twice: false, verbose: false };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--seeds" => order.seeds = seeds(value()?)?,
            "--scenario" => {
                let name = value()?;
                let scenario = scenario::named(name).ok_or_else(|| format!("there is no scenario {name}"))?;
                order.scenarios = vec![scenario];
            }
            "--twice" => order.twice = true,
            "--verbose" => order.verbose = true,
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(order)
}

/// `7` or `0..1000`.
fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is no seed"));
    match text.split_once("..") {
        Some((from, to)) => Ok(number(from)?..number(to)?),
        None => number(text).map(|seed| seed..seed + 1),
    }
}
