//! Arguments that several client commands share, and how their values are read.

use std::{fmt::Display, str::FromStr};

use clap::{Arg, ArgAction, ArgMatches, Command};
use kafscale_protocol::Uuid;

use crate::{
    client::flags,
    exit::{Exit, Failure},
    output,
};

/// A client command with `-o` and the flags of the connection.
pub fn client(command: Command) -> Command {
    flags::add_to(command.arg(output::flag()))
}

/// A flag with one value. A negative number is a value too, so that it is refused in our words and not as an unknown flag.
pub fn one(name: &'static str, placeholder: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(placeholder).help(help).allow_negative_numbers(true)
}

/// A flag with a value that may be given several times.
pub fn many(name: &'static str, placeholder: &'static str, help: &'static str) -> Arg {
    one(name, placeholder, help).action(ArgAction::Append)
}

/// A flag without a value.
pub fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// `--dry-run`.
pub fn dry_run() -> Arg {
    switch("dry-run", "Let the Kafka check the request, and change nothing")
}

/// Positional values.
pub fn positional_many(name: &'static str, placeholder: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(placeholder).num_args(1..).help(help)
}

/// All values of an argument, in order and each once.
pub fn joined(matches: &ArgMatches, name: &str) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for value in matches.get_many::<String>(name).into_iter().flatten() {
        if !values.contains(value) {
            values.push(value.clone());
        }
    }
    values
}

/// A number.
pub fn number<T: FromStr>(matches: &ArgMatches, name: &str) -> Result<Option<T>, Failure> {
    let parse = |text: &String| {
        text.parse().map_err(|_| usage(format!("--{name} {text}: expected a whole number in its range")))
    };
    matches.get_one::<String>(name).map(parse).transpose()
}

/// A number that may not be smaller than this.
pub fn at_least<T: FromStr + PartialOrd + Display>(
    matches: &ArgMatches,
    name: &str,
    least: T,
) -> Result<Option<T>, Failure> {
    match number(matches, name)? {
        Some(number) if number < least => Err(usage(format!("--{name} {number}: expected at least {least}"))),
        number => Ok(number),
    }
}

/// A value that a function reads.
pub fn parsed<T>(
    matches: &ArgMatches,
    name: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, Failure> {
    let read = |text: &String| parse(text).map_err(|reason| usage(format!("--{name}: {reason}")));
    matches.get_one::<String>(name).map(read).transpose()
}

/// Pairs `KEY=VALUE`.
pub fn pairs(matches: &ArgMatches, name: &str) -> Result<Vec<(String, String)>, Failure> {
    let split = |text: &String| {
        let pair = text.split_once('=').ok_or_else(|| usage(format!("--{name} {text}: expected KEY=VALUE")))?;
        Ok((pair.0.to_owned(), pair.1.to_owned()))
    };
    matches.get_many::<String>(name).into_iter().flatten().map(split).collect()
}

/// A wrong command line.
pub fn usage(text: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, anyhow::anyhow!(text.into()))
}

/// An id in Kafka's form: 22 characters of URL-safe base64.
pub fn uuid(id: [u8; 16]) -> String {
    Uuid(id).to_string()
}
