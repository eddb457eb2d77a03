//! `kafscale serve`: the broker.

use clap::{ArgMatches, Command};

use crate::{commands::exit_codes, exit::Failure, logging, settings};

/// The command's flags: the settings.
pub fn command() -> Command {
    let command = Command::new("serve").about("Run a broker").after_help(exit_codes());
    settings::flags::add_to(command)
}

/// Serves until a signal or a fatal error.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let resolved = settings::from_process(matches)?;
    logging::start(&resolved.settings);
    Ok(())
}
