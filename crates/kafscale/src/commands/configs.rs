//! `kafscale configs describe|set|unset`: settings of topics, brokers and groups.

use clap::{Arg, ArgMatches, Command, builder::PossibleValuesParser};
use krafka::admin::{
    ConfigEntry, ConfigOp, ConfigResource, ConfigValue, DescribeConfigsOptions, IncrementalAlterConfigsOptions,
};
use serde::Serialize;

use super::arguments::{dry_run, joined, positional_many, switch, usage};
use crate::{
    client::{Session, failure, failure_of, session},
    exit::{Exit, Failure},
    output::{self, Format, Row},
};

/// The source of a setting that was set on the topic itself, in Kafka's numbering.
pub const SOURCE_TOPIC: i8 = 1;
/// The source of a default, in Kafka's numbering.
const SOURCE_DEFAULT: i8 = 5;

const KINDS: [&str; 5] = ["topic", "broker", "group", "client-metrics", "broker-logger"];

/// The command with its subcommands.
pub fn command() -> Command {
    let about = |command: Command| {
        command
            .arg(
                Arg::new("kind")
                    .value_name("KIND")
                    .required(true)
                    .value_parser(PossibleValuesParser::new(KINDS))
                    .help("What the settings belong to"),
            )
            .arg(
                Arg::new("name")
                    .value_name("NAME")
                    .required(true)
                    .help("Its name; of a broker its id, or `default` for the settings of all brokers"),
            )
    };
    let describe = about(Command::new("describe").about("Show settings"))
        .arg(positional_many("key", "KEY", "Only these settings"))
        .arg(switch("all", "Those that have their defaults too"))
        .arg(switch("documentation", "With what each means, as far as the Kafka tells"));
    let set = about(Command::new("set").about("Set settings"))
        .arg(positional_many("pair", "KEY=VALUE", "Settings and their values").required(true))
        .arg(dry_run());
    let unset = about(Command::new("unset").about("Put settings back to their defaults"))
        .arg(positional_many("key", "KEY", "Settings").required(true))
        .arg(dry_run());
    Command::new("configs")
        .about("Show and change settings of topics, brokers and groups")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([describe, set, unset].map(super::arguments::client))
}

/// Runs one of them.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((name, matches)) = matches.subcommand() else { unreachable!("clap requires a subcommand") };
    let resource = resource(matches)?;
    let ops = match name {
        "set" => joined(matches, "pair").iter().map(|pair| set(pair)).collect::<Result<Vec<_>, _>>()?,
        "unset" => joined(matches, "key").into_iter().map(ConfigOp::delete).collect(),
        _ => Vec::new(),
    };
    session::run(matches, async |session| match name {
        "describe" => describe(session, matches, resource).await,
        _ => change(session, matches, resource, ops).await,
    })
}

fn resource(matches: &ArgMatches) -> Result<ConfigResource, Failure> {
    let (kind, name) = named(matches);
    let id = || name.parse::<i32>().map_err(|_| usage(format!("{name}: expected the id of a broker, or default")));
    Ok(match kind {
        "topic" => ConfigResource::topic(name),
        "broker" if name == "default" => ConfigResource::broker_default(),
        "broker" => ConfigResource::broker(id()?),
        "group" => ConfigResource::group(name),
        "client-metrics" => ConfigResource::client_metrics(name),
        _ => ConfigResource::broker_logger(id()?),
    })
}

fn set(pair: &str) -> Result<ConfigOp, Failure> {
    let (key, value) = pair.split_once('=').ok_or_else(|| usage(format!("{pair}: expected KEY=VALUE")))?;
    Ok(ConfigOp::set(key, value))
}

/// A setting.
#[derive(Serialize)]
struct Setting {
    name: String,
    value: Option<String>,
    source: &'static str,
    sensitive: bool,
    read_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    documentation: Option<String>,
}

impl Row for Setting {
    const HEADINGS: &'static [&'static str] = &["SETTING", "VALUE", "SOURCE", "READ-ONLY"];
    fn cells(&self) -> Vec<String> {
        let value = if self.sensitive { "(secret)".to_owned() } else { self.value.clone().unwrap_or_default() };
        let read_only = if self.read_only { "yes" } else { "" };
        vec![self.name.clone(), value, self.source.into(), read_only.into()]
    }
}

/// A setting with what it means.
#[derive(Serialize)]
#[serde(transparent)]
struct Documented(Setting);

impl Row for Documented {
    const HEADINGS: &'static [&'static str] = &["SETTING", "VALUE", "SOURCE", "READ-ONLY", "MEANING"];
    fn cells(&self) -> Vec<String> {
        let mut cells = self.0.cells();
        cells.push(self.0.documentation.clone().unwrap_or_default());
        cells
    }
}

impl From<ConfigEntry> for Setting {
    fn from(entry: ConfigEntry) -> Self {
        let value = match entry.config_value() {
            ConfigValue::Value(value) => Some(value),
            _ => None,
        };
        Self {
            value,
            source: source(entry.config_source),
            sensitive: entry.is_sensitive,
            read_only: entry.read_only,
            documentation: entry.documentation.filter(|text| !text.is_empty()),
            name: entry.name,
        }
    }
}

/// The numbers of Kafka's protocol in words.
fn source(number: i8) -> &'static str {
    match number {
        SOURCE_TOPIC => "topic",
        2 => "broker",
        3 => "all brokers",
        4 => "broker's file",
        SOURCE_DEFAULT => "default",
        6 => "logger",
        7 => "client metrics",
        8 => "group",
        _ => "unknown",
    }
}

async fn describe(session: &Session, matches: &ArgMatches, resource: ConfigResource) -> Result<(), Failure> {
    let (keys, documented) = (joined(matches, "key"), matches.get_flag("documentation"));
    let all = matches.get_flag("all") || !keys.is_empty();
    let mut entries = entries(session, matches, resource, &keys, documented).await?;
    entries.retain(|entry| all || entry.config_source != SOURCE_DEFAULT);
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let outcome = all_there(matches, &keys, &entries);
    let settings = entries.into_iter().map(Setting::from);
    if documented {
        output::rows(Format::of(matches), &settings.map(Documented).collect::<Vec<_>>())?;
    } else {
        output::rows(Format::of(matches), &settings.collect::<Vec<_>>())?;
    }
    outcome
}

/// The settings with these names, or all of them.
async fn entries(
    session: &Session,
    matches: &ArgMatches,
    resource: ConfigResource,
    keys: &[String],
    documented: bool,
) -> Result<Vec<ConfigEntry>, Failure> {
    let mut options = DescribeConfigsOptions::default().include_documentation(documented);
    if !keys.is_empty() {
        options = options.config_names(keys.to_vec());
    }
    let what = format!("cannot describe {}", told(matches));
    let described = session.admin.describe_configs([resource], options).await.map_err(failure_of(&what))?;
    let mut entries = Vec::new();
    for answered in described.into_values() {
        entries.extend(answered.map_err(|error| failure(error, &what))?);
    }
    Ok(entries)
}

/// Kafka passes over names that it does not know, so their absence from the answer is what tells.
fn all_there(matches: &ArgMatches, keys: &[String], entries: &[ConfigEntry]) -> Result<(), Failure> {
    let absent: Vec<&str> =
        keys.iter().map(String::as_str).filter(|key| !entries.iter().any(|entry| entry.name == *key)).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let (kind, name) = named(matches);
    let (told, absent) = (told(matches), absent.join(", "));
    let advice = format!("`kafscale configs describe {kind} {name} --all` shows what is there.");
    let text = format!("{told} has no setting {absent}\n{advice}");
    Err(Failure::new(Exit::NotFound, anyhow::anyhow!(text)))
}

const ALL_BROKERS: &str = "the default of all brokers";

/// What the settings belong to, in the words of the command line.
fn told(matches: &ArgMatches) -> String {
    match named(matches) {
        ("broker", "default") => ALL_BROKERS.to_owned(),
        (kind, name) => format!("{kind} {name}"),
    }
}

fn named(matches: &ArgMatches) -> (&str, &str) {
    let text = |name: &str| matches.get_one::<String>(name).expect("it is required").as_str();
    (text("kind"), text("name"))
}

/// What became of a setting.
#[derive(Serialize)]
struct Changed {
    setting: String,
    outcome: &'static str,
}

impl Row for Changed {
    const HEADINGS: &'static [&'static str] = &["SETTING", "OUTCOME"];
    fn cells(&self) -> Vec<String> {
        vec![self.setting.clone(), self.outcome.into()]
    }
}

async fn change(
    session: &Session,
    matches: &ArgMatches,
    resource: ConfigResource,
    ops: Vec<ConfigOp>,
) -> Result<(), Failure> {
    let dry = matches.get_flag("dry-run");
    let what = format!("cannot change {}", told(matches));
    let unset: Vec<String> = ops.iter().filter(|op| matches!(op, ConfigOp::Delete { .. })).map(name_of).collect();
    // The default of all brokers holds only what was set there; of what was not there is nothing to say.
    let known_whole = told(matches) != ALL_BROKERS;
    if known_whole && !unset.is_empty() {
        let there = entries(session, matches, resource.clone(), &unset, false).await?;
        all_there(matches, &unset, &there)?;
    }
    let rows: Vec<Changed> = ops
        .iter()
        .map(|op| match (op, dry) {
            (ConfigOp::Set { name, .. }, false) => Changed { setting: name.clone(), outcome: "set" },
            (ConfigOp::Set { name, .. }, true) => Changed { setting: name.clone(), outcome: "would be set" },
            (ConfigOp::Delete { name }, false) => Changed { setting: name.clone(), outcome: "unset" },
            (other, _) => Changed { setting: name_of(other), outcome: "would be unset" },
        })
        .collect();
    let options = IncrementalAlterConfigsOptions::default().validate_only(dry);
    let changed = session.admin.incremental_alter_configs([(resource, ops)], options).await;
    for result in changed.map_err(failure_of(&what))?.into_values() {
        result.map_err(|error| failure(error, &what))?;
    }
    output::rows(Format::of(matches), &rows)
}

fn name_of(op: &ConfigOp) -> String {
    match op {
        ConfigOp::Set { name, .. } | ConfigOp::Delete { name } => name.clone(),
        ConfigOp::Append { name, .. } | ConfigOp::Subtract { name, .. } => name.clone(),
        _ => String::new(),
    }
}
