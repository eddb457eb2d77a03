//! `kafscale`: the broker, its settings and its tools in one binary.
//!
//! This crate is the shell around the others: the command line, settings, log lines, HTTP, signals and exit codes. What
//! the broker does with a request is not here. Words are Kafka's; data goes to stdout, talk to stderr.

#![allow(clippy::disallowed_methods, reason = "the binary owns the process's clocks and tasks")]

mod bench;
mod client;
mod commands;
mod consume;
mod exit;
mod logging;
mod offline;
mod output;
mod serve;
mod settings;
mod storage;
mod text;
mod top;

use std::process::ExitCode;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match commands::run(&commands::command_line().get_matches()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            logging::say("ERROR", &format!("kafscale: {failure}"));
            failure.exit.into()
        }
    }
}
