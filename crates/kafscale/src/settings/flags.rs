//! The flags of the settings, for every command that takes them.

use clap::{Arg, Command, builder::PossibleValuesParser};

use super::{catalogue::DEFINITIONS, define::Definition, resolve::CONFIG_VARIABLE};

/// Adds `--config` and one flag per setting that is not a secret.
pub fn add_to(command: Command) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help(format!("TOML file with settings; each key is the name of a flag\n[env: {CONFIG_VARIABLE}]"));
    command.arg(config).args(DEFINITIONS.iter().filter(|definition| !definition.secret).map(flag))
}

fn flag(definition: &'static Definition) -> Arg {
    let mut help = format!("{}\n[env: {}]", definition.text(), definition.variable());
    if definition.default != "none" {
        help.push_str(&format!(" [default: {}]", definition.default));
    }
    let mut arg = Arg::new(definition.name())
        .long(definition.name())
        .value_name(definition.placeholder)
        .help_heading(definition.section)
        .help(help);
    if !definition.choices.is_empty() {
        arg = arg.value_parser(PossibleValuesParser::new(definition.choices));
    }
    if definition.switch {
        arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true").hide_possible_values(true);
    }
    arg
}
