//! `kafscale config`: the effective settings and where each came from.

use clap::{ArgMatches, Command};

use crate::{exit::Failure, output, settings};

/// The command's flags: those of `serve`, and `-o`.
pub fn command() -> Command {
    let command = Command::new("config")
        .about("Print the effective settings and where each comes from; takes the flags of serve")
        .arg(output::flag());
    settings::flags::add_to(command)
}

/// Prints to stdout.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let resolved = settings::from_process(matches)?;
    match output::Format::of(matches) {
        output::Format::Table => output::bytes(settings::print::table(&resolved.effective).as_bytes()),
        output::Format::Json => output::json(&settings::print::json(&resolved.effective)),
    }
}
