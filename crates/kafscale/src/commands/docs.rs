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
use kafscale_store::profile::{AfterDelete, ConditionalCreate, Limits, Provider};

use super::cli_page;
use crate::{
    exit::{self, Failure},
    output, settings,
    storage::tested,
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
    ("storage-profiles", storage_profiles),
    ("storage-tested", tested::markdown),
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

/// What is assumed of each provider.
fn storage_profiles() -> String {
    let mut text = "| Profile | Endpoints | Create-if-absent | Deletes at once | Requests a second | Kept after deletion | PUT / GET / LIST | TB, month |\n\
                    |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for profile in Provider::ALL.map(Provider::profile) {
        let create = match profile.conditional_create {
            ConditionalCreate::Native => "yes",
            ConditionalCreate::Probe => "asked for",
            ConditionalCreate::None => "no: needs --log",
        };
        let deletes = profile.bulk_delete.map_or("1".to_owned(), |bulk| bulk.names_max.to_string());
        let kept = match (profile.storage_days_min, profile.after_delete) {
            (0, AfterDelete::Nothing) => String::new(),
            (0, AfterDelete::SoftDeleted) => "for days, by default".to_owned(),
            (0, AfterDelete::Version) => "as a version, until a rule removes it".to_owned(),
            (days, _) => format!("billed for {days} days"),
        };
        let prices = &profile.prices;
        let usd = |millionths_a_thousand: u64| format!("{:.2}", millionths_a_thousand as f64 / 1e3);
        let requests = [prices.puts_1000, prices.gets_1000, prices.lists_1000];
        let requests = if requests == [0; 3] { "0".to_owned() } else { requests.map(usd).join(" / ") };
        line(
            &mut text,
            &format!(
                "| `{}` | {} | {create} | {deletes} | {} | {kept} | {requests} | {:.2} |",
                profile.provider.as_str(),
                profile.hosts.join(", "),
                limits(&profile.limits),
                prices.gb_month as f64 / 1e3,
            ),
        );
    }
    text
}

fn limits(limits: &Limits) -> String {
    let of = |what: &str, limit: Option<u32>| limit.map(|limit| format!("{limit} {what}"));
    let known: Vec<_> = [
        of("in all", limits.total),
        of("writes", limits.writes),
        of("reads", limits.reads),
        of("writes of one name", limits.writes_per_name),
    ]
    .into_iter()
    .flatten()
    .collect();
    known.join(", ")
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
