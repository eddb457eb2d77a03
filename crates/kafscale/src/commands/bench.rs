//! `kafscale bench produce|consume|e2e`.

use clap::{ArgMatches, Command};

use crate::{
    bench::{self, options},
    exit::Failure,
    output,
};

/// The three kinds of run.
pub fn command() -> Command {
    let produce = Command::new("produce").about("Write records; latency is from when a record is due to its answer");
    let consume = Command::new("consume").about("Read all partitions from their start to their end, by assignment");
    let e2e = Command::new("e2e").about("Write and read; latency is from when a record is due to when it is read");
    Command::new("bench")
        .about("Measure a Kafka: throughput and latency percentiles")
        .after_help(
            "Exit code 1 if records failed or are missing. Runs against any Kafka; the report names the client's settings.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([options::producing(produce), options::common(consume), options::producing(e2e)])
}

/// Runs and prints the report to stdout.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let (report, matches) = match matches.subcommand() {
        Some(("produce", matches)) => {
            let (options, load) = options::read_producing(matches, 0)?;
            (bench::produce(&options, &load)?, matches)
        }
        Some(("consume", matches)) => (bench::consume(&options::read(matches, &[])?)?, matches),
        Some(("e2e", matches)) => {
            let (options, load) = options::read_producing(matches, options::STAMP_BYTES)?;
            (bench::e2e(&options, &load)?, matches)
        }
        _ => unreachable!("clap requires one of the kinds above"),
    };
    match output::Format::of(matches) {
        output::Format::Table => output::bytes(report.table().as_bytes())?,
        output::Format::Json => output::json(&report)?,
    }
    if report.is_whole() { Ok(()) } else { Err(anyhow::anyhow!("not every record made it").into()) }
}
