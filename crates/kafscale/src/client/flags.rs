//! The flags by which every client command is told where the Kafka is and how to talk to it.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{
    file,
    properties::{Properties, usage},
};
use crate::{exit::Failure, logging};

/// Names the brokers where no flag does.
pub const BOOTSTRAP_VARIABLE: &str = "KAFSCALE_BOOTSTRAP";
/// Names the file of properties where no flag does.
pub const COMMAND_CONFIG_VARIABLE: &str = "KAFSCALE_COMMAND_CONFIG";
/// The variables of client commands; `kafscale serve` passes them over.
pub const VARIABLES: &[&str] = &[BOOTSTRAP_VARIABLE, COMMAND_CONFIG_VARIABLE];

const HEADING: &str = "Connection";

/// Adds the flags.
pub fn add_to(command: Command) -> Command {
    command
        .arg(
            Arg::new("bootstrap-server")
                .short('b')
                .long("bootstrap-server")
                .visible_alias("bootstrap")
                .value_name("HOST:PORT,...")
                .help_heading(HEADING)
                .help(format!("Kafka to connect to\n[env: {BOOTSTRAP_VARIABLE}] [default: 127.0.0.1:9092]")),
        )
        .arg(
            Arg::new("command-config")
                .long("command-config")
                .value_name("FILE")
                .help_heading(HEADING)
                .help(format!(
                    "File of client properties, as Kafka's tools read it: TLS, SASL and the rest\n[env: {COMMAND_CONFIG_VARIABLE}]"
                )),
        )
        .arg(
            Arg::new("set")
                .short('X')
                .long("set")
                .value_name("KEY=VALUE")
                .action(ArgAction::Append)
                .help_heading(HEADING)
                .help("Set one client property by the name that Kafka gives it; may be given several times"),
        )
}

/// Reads the flags, the variables and the file: `--bootstrap-server`, then `--set`, then variables, then the file.
pub fn read(matches: &ArgMatches) -> Result<Properties, Failure> {
    let mut properties = Properties::default();
    let file = matches.get_one::<String>("command-config").cloned().or(variable(COMMAND_CONFIG_VARIABLE));
    if let Some(path) = file.map(PathBuf::from) {
        let unknown = file::read(&path, &mut properties)?;
        if !unknown.is_empty() {
            logging::say(
                "WARN",
                &format!("{}: passed over what is not known here: {}", path.display(), unknown.join(", ")),
            );
        }
    }
    if let Some(servers) = variable(BOOTSTRAP_VARIABLE) {
        properties.set("bootstrap.servers", servers)?;
    }
    for pair in matches.get_many::<String>("set").into_iter().flatten() {
        let (name, value) = pair.split_once('=').ok_or_else(|| usage(format!("--set {pair}: expected KEY=VALUE")))?;
        properties.set(name.trim(), value)?;
    }
    if let Some(servers) = matches.get_one::<String>("bootstrap-server") {
        properties.set("bootstrap.servers", servers)?;
    }
    Ok(properties)
}

/// A variable; an empty one counts as absent.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(arguments: &[&str]) -> Result<Properties, Failure> {
        let command = add_to(Command::new("x"));
        read(&command.get_matches_from([&["x"], arguments].concat()))
    }

    #[test]
    fn flags_come_before_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("client.properties");
        std::fs::write(&path, "bootstrap.servers=file:1\nacks=1\nlinger.ms=3\n").unwrap();
        let path = path.to_str().unwrap();
        let properties = read_from(&["--command-config", path, "-X", "acks=0"]).unwrap();
        assert_eq!(["bootstrap.servers", "acks", "linger.ms"].map(|name| properties.text(name)), ["file:1", "0", "3"]);
        let properties = read_from(&["--command-config", path, "--bootstrap", "flag:1"]).unwrap();
        assert_eq!(properties.text("bootstrap.servers"), "flag:1");
    }

    #[test]
    fn a_wrong_pair_is_a_usage_error() {
        assert!(read_from(&["--set", "acks"]).is_err());
        assert!(read_from(&["--set", "ackz=1"]).is_err());
    }
}
