//! `kafscale docs PAGE`: prints the pages of `docs/` that are made from the code. Tests compare them with the committed
//! files.

use clap::{Arg, ArgMatches, Command, builder::PossibleValuesParser};

use crate::{exit::Failure, settings};

/// Hidden from the list: it serves those who change the code.
pub fn command() -> Command {
    let page = Arg::new("page").required(true).value_name("PAGE").value_parser(PossibleValuesParser::new(["settings"]));
    Command::new("docs").about("Print a generated page of docs/").hide(true).arg(page)
}

/// Prints to stdout.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    match matches.get_one::<String>("page").map(String::as_str) {
        Some("settings") => print!("{}", settings::print::markdown()),
        _ => unreachable!("clap accepts the pages above only"),
    }
    Ok(())
}
