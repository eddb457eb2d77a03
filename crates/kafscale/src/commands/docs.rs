//! `kafscale docs PART`: prints the parts of `docs/` that are made from the code. Tests compare them with the committed
//! pages, so that what is written is what runs.

use std::fmt::Write;

use clap::{Arg, ArgMatches, Command, builder::PossibleValuesParser};
use kafscale_broker::config::{
    client_metrics,
    definition::{Definition, Kind, Treatment},
    group, topic,
};
use kafscale_protocol::ApiKey;

use super::cli_page;
use crate::{
    exit::{self, Failure},
    output, settings,
};

/// The name of a part and what makes it.
type Part = (&'static str, fn() -> String);

/// Every part.
const PARTS: &[Part] = &[
    ("settings", settings::print::markdown),
    ("cli", cli_page::markdown),
    ("apis", apis),
    ("topic-settings", topic_settings),
    ("named-settings", named_settings),
    ("exit-codes", exit_codes),
];

/// Hidden from the list: it serves those who change the code.
pub fn command() -> Command {
    let names = PossibleValuesParser::new(PARTS.iter().map(|(name, _)| *name));
    let part = Arg::new("part").required(true).value_name("PART").value_parser(names);
    Command::new("docs").about("Print a generated part of docs/").hide(true).arg(part)
}

/// Prints to stdout.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let wanted = matches.get_one::<String>("part").expect("it is required");
    let part = PARTS.iter().find(|(name, _)| name == wanted);
    output::bytes(part.expect("clap accepts these parts only").1().as_bytes())
}

/// What ApiVersions announces.
fn apis() -> String {
    let mut text = "| Key | API | Versions |\n|---|---|---|\n".to_owned();
    for api in ApiKey::ALL {
        let facts = api.facts();
        let versions =
            if facts.min == facts.max { facts.min.to_string() } else { format!("{}-{}", facts.min, facts.max) };
        let announced = if facts.advertised_min == facts.min {
            String::new()
        } else {
            format!(", announced from {}", facts.advertised_min)
        };
        line(&mut text, &format!("| {} | {} | {versions}{announced} |", api.code(), facts.name));
    }
    text
}

/// Every setting of a topic and what becomes of it.
fn topic_settings() -> String {
    table(topic::DEFINITIONS)
}

/// Those of groups and client metrics.
fn named_settings() -> String {
    let all: Vec<Definition> = [group::DEFINITIONS, client_metrics::DEFINITIONS].concat();
    table(&all)
}

fn table(settings: &[Definition]) -> String {
    let mut text = "| Setting | Values | Default | Here | |\n|---|---|---|---|---|\n".to_owned();
    for setting in settings {
        let values = match setting.kind {
            Kind::Boolean => "`true`, `false`".to_owned(),
            Kind::Int(min, max) | Kind::Long(min, max) => match (min, max) {
                (i64::MIN, _) => "a number".to_owned(),
                (min, i64::MAX) => format!("from {min}"),
                (min, max) => format!("{min} to {max}"),
            },
            Kind::Level(min, max) => format!("-1, {min} to {max}"),
            Kind::Double(min, max) => format!("{min} to {max}"),
            Kind::List([]) => "a list".to_owned(),
            Kind::Word(words) | Kind::List(words) => format!("`{}`", words.join("`, `")),
            Kind::WordOr(words, beginning) => format!("`{}`, `{beginning}`...", words.join("`, `")),
            Kind::Replicas => "`*`, a list of replicas".to_owned(),
        };
        let treatment = match setting.treatment {
            Treatment::Enforced => "enforced",
            Treatment::Accepted => "accepted",
        };
        let default = if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
        line(&mut text, &format!("| `{}` | {values} | {default} | {treatment} | {} |", setting.name, setting.doc));
    }
    text
}

/// The exit codes.
fn exit_codes() -> String {
    let mut text = "| Code | The process |\n|---|---|\n".to_owned();
    for (code, meaning) in exit::TABLE {
        line(&mut text, &format!("| {code} | {meaning} |"));
    }
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string does not fail");
}
