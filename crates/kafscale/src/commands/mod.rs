//! The commands of `kafscale`: one file each, one list here.

pub mod arguments;
mod backup;
mod bench;
mod cat;
mod cli_page;
mod cluster;
mod completions;
mod config;
mod configs;
mod consume;
mod docs;
mod fsck;
mod groups;
mod import;
mod produce;
mod recover;
mod reset_offsets;
mod restore;
mod serve;
mod storage;
mod top;
mod topics;

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
        .subcommands([
            serve::command(),
            config::command(),
            topics::command(),
            produce::command(),
            consume::command(),
            groups::command(),
            configs::command(),
            cluster::command(),
            top::command(),
            bench::command(),
            storage::command(),
            cat::command(),
            fsck::command(),
            recover::command(),
            backup::command(),
            restore::command(),
            import::command(),
            completions::command(),
            completions::man_command(),
            docs::command(),
        ])
}

/// Runs the command that was asked for.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("serve", matches)) => serve::run(matches),
        Some(("config", matches)) => config::run(matches),
        Some(("topics", matches)) => topics::run(matches),
        Some(("produce", matches)) => produce::run(matches),
        Some(("consume", matches)) => consume::run(matches),
        Some(("groups", matches)) => groups::run(matches),
        Some(("configs", matches)) => configs::run(matches),
        Some(("cluster", matches)) => cluster::run(matches),
        Some(("top", matches)) => top::run(matches),
        Some(("bench", matches)) => bench::run(matches),
        Some(("storage", matches)) => storage::run(matches),
        Some(("cat", matches)) => cat::run(matches),
        Some(("fsck", matches)) => fsck::run(matches),
        Some(("recover", matches)) => recover::run(matches),
        Some(("backup", matches)) => backup::run(matches),
        Some(("restore", matches)) => restore::run(matches),
        Some(("import", matches)) => import::run(matches),
        Some(("completions", matches)) => completions::run(matches),
        Some(("man", matches)) => completions::run_man(matches),
        Some(("docs", matches)) => docs::run(matches),
        _ => unreachable!("clap requires one of the commands above"),
    }
}

/// The exit codes, for help.
fn exit_codes() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for (code, meaning) in exit::TABLE {
        text.push_str(&format!("  {code:>2}  {meaning}\n"));
    }
    text
}
