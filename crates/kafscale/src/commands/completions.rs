//! `kafscale completions SHELL` and `kafscale man`: made from the definition of the command line.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use super::command_line;
use crate::{exit::Failure, output};

/// `completions`.
pub fn command() -> Command {
    Command::new("completions")
        .about("Print the completions of a shell")
        .after_help(
            "For example:\n  \
            kafscale completions bash > ~/.local/share/bash-completion/completions/kafscale\n  \
            kafscale completions fish > ~/.config/fish/completions/kafscale.fish",
        )
        .arg(
            Arg::new("shell").value_name("SHELL").required(true).value_parser(value_parser!(Shell)).help("Which shell"),
        )
}

/// Prints to stdout.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let shell = *matches.get_one::<Shell>("shell").expect("it is required");
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command_line(), "kafscale", &mut text);
    output::bytes(&text)
}

/// `man`.
pub fn man_command() -> Command {
    Command::new("man")
        .about("Print the manual page, or write the pages of all commands to a folder")
        .arg(Arg::new("dir").long("dir").value_name("DIR").help("Folder for the pages, one per command"))
}

/// Prints to stdout, or writes the folder.
pub fn run_man(matches: &ArgMatches) -> Result<(), Failure> {
    let Some(folder) = matches.get_one::<String>("dir").map(PathBuf::from) else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command_line()).render(&mut page).context("cannot make the page")?;
        return output::bytes(&page);
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    clap_mangen::generate_to(command_line(), &folder)
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    Ok(())
}
