//! The commands of `kafscale`: one file each, one list here.

mod bench;
mod config;
mod docs;
mod serve;

use clap::{ArgMatches, Command};

use crate::exit::{self, Failure};

/// The whole command line.
pub fn command_line() -> Command {
    Command::new("kafscale")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A Kafka-compatible broker whose only durable store is object storage")
        .after_help(exit_codes())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([serve::command(), config::command(), bench::command(), docs::command()])
}

/// Runs the command that was asked for.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("serve", matches)) => serve::run(matches),
        Some(("config", matches)) => config::run(matches),
        Some(("bench", matches)) => bench::run(matches),
        Some(("docs", matches)) => docs::run(matches),
        _ => unreachable!("clap requires one of the commands above"),
    }
}

/// The exit codes, for help.
fn exit_codes() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for (code, meaning) in exit::TABLE {
        text.push_str(&format!("  {code}  {meaning}\n"));
    }
    text
}
