//! `kafscale topics create|list|describe|alter|delete`.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Command};
use krafka::{
    admin::{
        ConfigOp, ConfigResource, CreatePartitionsOptions, CreateTopicsOptions, DeleteTopicsOptions,
        DescribeConfigsOptions, DescribeTopicsOptions, IncrementalAlterConfigsOptions, ListTopicsOptions, NewTopic,
        OffsetSpec, TopicDescription,
    },
    error::{ErrorCode, KrafkaError},
};
use serde::Serialize;

use super::arguments::{at_least, dry_run, joined, many, one, pairs, positional_many, switch};
use crate::{
    client::{self, Session, failure_of, offsets, session},
    exit::{Exit, Failure},
    output::{self, Format, Row},
};

/// The command with its subcommands.
pub fn command() -> Command {
    let create = Command::new("create")
        .about("Create topics")
        .arg(positional_many("name", "NAME", "Topics to create").required(true))
        .arg(one("partitions", "N", "Partitions; the broker's default if not given").short('p'))
        .arg(one("replication-factor", "N", "Replicas; the broker's default if not given").short('r'))
        .arg(many("config", "KEY=VALUE", "A setting of the topic; may be given several times").short('c'))
        .arg(switch("if-not-exists", "It is no error if the topic is there already"))
        .arg(dry_run());
    let list = Command::new("list")
        .about("List topics")
        .arg(Arg::new("pattern").value_name("PATTERN").help("Only names that match; * and ? stand for anything"))
        .arg(switch("internal", "Internal topics too"));
    let describe = Command::new("describe")
        .about("Show partitions, replicas, offsets and settings of topics")
        .arg(positional_many("name", "NAME", "Topics to show; all if none is given"))
        .arg(switch("no-offsets", "Leave out the partitions' offsets"));
    let alter = Command::new("alter")
        .about("Add partitions, or change settings")
        .arg(Arg::new("name").value_name("NAME").required(true).help("Topic to change"))
        .arg(one("partitions", "N", "Raise the number of partitions to N").short('p'))
        .arg(many("config", "KEY=VALUE", "Set a setting; may be given several times").short('c'))
        .arg(many("delete-config", "KEY", "Put a setting back to its default; may be given several times"))
        .arg(dry_run());
    let delete = Command::new("delete")
        .about("Delete topics and all their records")
        .arg(positional_many("name", "NAME", "Topics to delete").required(true))
        .arg(switch("if-exists", "It is no error if the topic is not there"));
    Command::new("topics")
        .about("Create, list, describe, alter and delete topics")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([create, list, describe, alter, delete].map(super::arguments::client))
}

/// Runs one of them.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((name, matches)) = matches.subcommand() else { unreachable!("clap requires a subcommand") };
    session::run(matches, async |session| match name {
        "create" => create(session, matches).await,
        "list" => list(session, matches).await,
        "describe" => describe(session, matches).await,
        "alter" => alter(session, matches).await,
        _ => delete(session, matches).await,
    })
}

/// What became of a topic.
#[derive(Serialize)]
struct Outcome {
    topic: String,
    outcome: &'static str,
}

impl Row for Outcome {
    const HEADINGS: &'static [&'static str] = &["TOPIC", "OUTCOME"];
    fn cells(&self) -> Vec<String> {
        vec![self.topic.clone(), self.outcome.into()]
    }
}

async fn create(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let partitions = at_least::<i32>(matches, "partitions", 1)?.unwrap_or(-1);
    let replicas = at_least::<i16>(matches, "replication-factor", 1)?.unwrap_or(-1);
    let configs = pairs(matches, "config")?;
    let mut topics = Vec::new();
    for name in joined(matches, "name") {
        let what = format!("cannot create topic {name}");
        let topic = NewTopic::new(name, partitions, replicas).map_err(failure_of(what))?;
        topics.push(configs.iter().fold(topic, |topic, (key, value)| topic.with_config(key, value)));
    }
    let dry = matches.get_flag("dry-run");
    let results = session.admin.create_topics(topics, CreateTopicsOptions::default().validate_only(dry)).await;
    let done = if dry { "would be created" } else { "created" };
    let tolerated = matches.get_flag("if-not-exists").then_some((ErrorCode::TopicAlreadyExists, "exists already"));
    tell(matches, results.map_err(failure_of("cannot create topics"))?, done, tolerated, "cannot create topic")
}

async fn delete(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let results = session.admin.delete_topics(joined(matches, "name"), DeleteTopicsOptions::default()).await;
    let tolerated = matches.get_flag("if-exists").then_some((ErrorCode::UnknownTopicOrPartition, "was not there"));
    tell(matches, results.map_err(failure_of("cannot delete topics"))?, "deleted", tolerated, "cannot delete topic")
}

/// Prints what became of each topic; an error with the tolerated code counts as done.
fn tell(
    matches: &ArgMatches,
    results: impl IntoIterator<Item = (String, Result<(), KrafkaError>)>,
    done: &'static str,
    tolerated: Option<(ErrorCode, &'static str)>,
    what: &str,
) -> Result<(), Failure> {
    let judge = |result: Result<(), KrafkaError>| match (result, tolerated) {
        (Ok(()), _) => Ok(done),
        (Err(KrafkaError::Broker { code, .. }), Some((accepted, outcome))) if code == accepted => Ok(outcome),
        (Err(error), _) => Err(error),
    };
    let results = results.into_iter().map(|(topic, result)| (topic, judge(result)));
    let (good, outcome) = session::sort_out(results, |topic| format!("{what} {topic}"));
    let rows: Vec<Outcome> = good.into_iter().map(|(topic, outcome)| Outcome { topic, outcome }).collect();
    output::rows(Format::of(matches), &rows)?;
    outcome
}

/// A topic in the list.
#[derive(Serialize)]
struct Listed {
    topic: String,
    id: String,
    partitions: usize,
    replication_factor: usize,
    internal: bool,
}

impl Row for Listed {
    const HEADINGS: &'static [&'static str] = &["TOPIC", "PARTITIONS", "REPLICATION", "INTERNAL", "ID"];
    fn cells(&self) -> Vec<String> {
        let internal = if self.internal { "yes" } else { "" };
        let numbers = [self.partitions.to_string(), self.replication_factor.to_string()];
        [vec![self.topic.clone()], numbers.into(), vec![internal.into(), self.id.clone()]].concat()
    }
}

async fn list(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let pattern = matches.get_one::<String>("pattern");
    let internal = matches.get_flag("internal");
    let names = session.admin.list_topics(ListTopicsOptions::default().include_internal(internal)).await;
    let mut names = names.map_err(failure_of("cannot list topics"))?;
    names.retain(|name| pattern.is_none_or(|pattern| matches_pattern(pattern, name)));
    // The list has brought everything about the topics along; this looks at it and asks nobody.
    let consumer = session.kafka.consumer_without_group().metrics_push(false).build().await;
    let consumer = consumer.map_err(failure_of("cannot list topics"))?;
    let known = consumer.fetch_metadata(None).await.map_err(failure_of("cannot list topics"))?;
    let known: BTreeMap<&str, &krafka::TopicInfo> = known.topics.iter().map(|topic| (&*topic.name, topic)).collect();
    let row = |name: &String| {
        let topic = known.get(&**name)?;
        let replication = topic.partition(0).map_or(0, |partition| partition.replicas.len());
        Some(Listed {
            topic: name.clone(),
            id: super::arguments::uuid(topic.topic_id),
            partitions: topic.partition_count(),
            replication_factor: replication,
            internal: topic.is_internal,
        })
    };
    let rows: Vec<Listed> = names.iter().filter_map(row).collect();
    output::rows(Format::of(matches), &rows)
}

/// Whether a name matches a pattern in which `*` stands for any text and `?` for any character.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Where to go on after the last star: the pattern behind it, and how much of the name it took.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((behind, taken)) => {
                    star = Some((behind, taken + 1));
                    (p, n) = (behind, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Everything about a topic.
#[derive(Serialize)]
struct Described {
    topic: String,
    id: String,
    internal: bool,
    /// Only settings that differ from their defaults.
    configs: BTreeMap<String, Option<String>>,
    partitions: Vec<Part>,
}

#[derive(Serialize)]
struct Part {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: Option<i32>,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest: Option<i64>,
}

impl Row for Part {
    const HEADINGS: &'static [&'static str] =
        &["PARTITION", "LEADER", "REPLICAS", "ISR", "EARLIEST", "LATEST", "RECORDS"];
    fn cells(&self) -> Vec<String> {
        let list = |ids: &[i32]| ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        let offset = |offset: Option<i64>| offset.map_or("-".to_owned(), |offset| offset.to_string());
        vec![
            self.partition.to_string(),
            self.leader.map_or("none".to_owned(), |leader| leader.to_string()),
            list(&self.replicas),
            list(&self.isr),
            offset(self.earliest),
            offset(self.latest),
            offset(self.latest.zip(self.earliest).map(|(latest, earliest)| latest - earliest)),
        ]
    }
}

async fn describe(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let mut names = joined(matches, "name");
    if names.is_empty() {
        let all = session.admin.list_topics(ListTopicsOptions::default()).await;
        names = all.map_err(failure_of("cannot list topics"))?;
    }
    let results = session.admin.describe_topics(&names, DescribeTopicsOptions::default()).await;
    let results = results.map_err(failure_of("cannot describe topics"))?;
    let (topics, outcome) = session::sort_out(results, |topic| format!("topic {topic}"));
    let topics: Vec<TopicDescription> = topics.into_iter().map(|(_, topic)| topic).collect();
    let wanted: Vec<offsets::Partition> = topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name.clone(), partition.partition)))
        .collect();
    let (mut earliest, mut latest) = Default::default();
    if !matches.get_flag("no-offsets") {
        earliest = offsets::try_list(&session.admin, &wanted, OffsetSpec::Earliest).await?;
        latest = offsets::try_list(&session.admin, &wanted, OffsetSpec::Latest).await?;
    }
    let mut configs = changed_configs(session, &topics).await?;
    let described: Vec<Described> = topics
        .iter()
        .map(|topic| {
            let offset = |of: &BTreeMap<offsets::Partition, Result<i64, KrafkaError>>, partition: i32| {
                of.get(&(topic.name.clone(), partition)).and_then(|offset| offset.as_ref().ok().copied())
            };
            let part = |partition: &krafka::admin::PartitionDescription| Part {
                partition: partition.partition,
                leader: partition.leader,
                leader_epoch: partition.leader_epoch,
                replicas: partition.replicas.clone(),
                isr: partition.isr.clone(),
                earliest: offset(&earliest, partition.partition),
                latest: offset(&latest, partition.partition),
            };
            Described {
                topic: topic.name.clone(),
                id: super::arguments::uuid(topic.topic_id),
                internal: topic.is_internal,
                configs: configs.remove(&topic.name).unwrap_or_default(),
                partitions: topic.partitions.iter().map(part).collect(),
            }
        })
        .collect();
    print(Format::of(matches), &described)?;
    outcome
}

fn print(format: Format, described: &[Described]) -> Result<(), Failure> {
    if format == Format::Json {
        return output::json(&described);
    }
    for (index, topic) in described.iter().enumerate() {
        let configs =
            topic.configs.iter().map(|(key, value)| format!("{key}={}", value.as_deref().unwrap_or("(secret)")));
        let mut head = format!("{}topic {}, id {}", if index > 0 { "\n" } else { "" }, topic.topic, topic.id);
        let configs: Vec<String> = configs.collect();
        if !configs.is_empty() {
            head.push_str(&format!(", {}", configs.join(", ")));
        }
        output::line(&head)?;
        output::rows(format, &topic.partitions)?;
    }
    Ok(())
}

/// The settings of topics that differ from their defaults. A Kafka that does not tell them is no error.
async fn changed_configs(
    session: &Session,
    topics: &[TopicDescription],
) -> Result<BTreeMap<String, BTreeMap<String, Option<String>>>, Failure> {
    let resources = topics.iter().map(|topic| ConfigResource::topic(&*topic.name));
    let described = session.admin.describe_configs(resources, DescribeConfigsOptions::default()).await;
    let described = described.map_err(failure_of("cannot describe settings"))?;
    let own = |entry: &krafka::admin::ConfigEntry| entry.config_source == super::configs::SOURCE_TOPIC;
    let changed = |entries: Vec<krafka::admin::ConfigEntry>| {
        entries.into_iter().filter(own).map(|entry| (entry.name, entry.value)).collect()
    };
    Ok(described.into_iter().filter_map(|(of, entries)| Some((of.name, changed(entries.ok()?)))).collect())
}

async fn alter(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let name = matches.get_one::<String>("name").expect("it is required");
    let partitions = at_least::<i32>(matches, "partitions", 1)?;
    let dry = matches.get_flag("dry-run");
    let sets = pairs(matches, "config")?.into_iter().map(|(key, value)| ConfigOp::set(key, value));
    let ops: Vec<ConfigOp> = sets.chain(joined(matches, "delete-config").into_iter().map(ConfigOp::delete)).collect();
    if partitions.is_none() && ops.is_empty() {
        let text = "nothing to change: give --partitions, --config or --delete-config";
        return Err(Failure::new(Exit::Usage, anyhow::anyhow!(text)));
    }
    let what = format!("cannot change topic {name}");
    if let Some(total) = partitions {
        let options = CreatePartitionsOptions::default().validate_only(dry);
        let results = session.admin.create_partitions([(name, total)], options).await.map_err(failure_of(&what))?;
        session::sort_out(results, |_| what.clone()).1?;
    }
    if !ops.is_empty() {
        let options = IncrementalAlterConfigsOptions::default().validate_only(dry);
        let results = session.admin.incremental_alter_configs([(ConfigResource::topic(name), ops)], options).await;
        for result in results.map_err(failure_of(&what))?.into_values() {
            result.map_err(|error| client::failure(error, &what))?;
        }
    }
    let outcome = if dry { "would be changed" } else { "changed" };
    output::rows(Format::of(matches), &[Outcome { topic: name.clone(), outcome }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*", "anything", true),
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("ord*", "orders", true),
            ("*rs", "orders", true),
            ("o?d*s", "orders", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "ab-a", false),
            ("?", "", false),
        ] {
            assert_eq!(matches_pattern(pattern, name), expected, "{pattern} {name}");
        }
    }
}
