//! `kafscale groups list|describe|reset-offsets|delete|delete-offsets`.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Command, builder::PossibleValuesParser};
use krafka::{
    admin::{
        ConsumerGroupDescription, DeleteConsumerGroupOffsetsOptions, DeleteConsumerGroupsOptions,
        DescribeConsumerGroupsOptions, GroupOffset, ListConsumerGroupOffsetsOptions, ListConsumerGroupsOptions,
        OffsetSpec, TopicPartition,
    },
    error::{ErrorCode, KrafkaError},
};
use serde::Serialize;

use super::{
    arguments::{joined, many, positional_many, switch},
    reset_offsets,
};
use crate::{
    client::{
        Session, failure, failure_of,
        offsets::{self, Offsets, Partition},
        session,
    },
    exit::{Exit, Failure},
    output::{self, Format, Row},
    text::count::counted,
};

/// The states of groups, as Kafka names them.
const STATES: [&str; 8] =
    ["Stable", "Empty", "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling", "NotReady", "Dead"];
/// The types of groups.
const TYPES: [&str; 4] = ["classic", "consumer", "share", "streams"];

/// A flag for some of these words, in upper or lower case. Kafka answers a filter that it does not know with nothing.
fn any_of(name: &'static str, placeholder: &'static str, help: &'static str, words: &[&'static str]) -> Arg {
    many(name, placeholder, help).value_parser(PossibleValuesParser::new(words.iter().copied())).ignore_case(true)
}

/// The command with its subcommands.
pub fn command() -> Command {
    let list = Command::new("list")
        .about("List groups")
        .arg(any_of("state", "STATE", "Only groups in this state; may be given several times", &STATES))
        .arg(any_of("type", "TYPE", "Only groups of this type; may be given several times", &TYPES));
    let describe = Command::new("describe")
        .about("Show the members of groups, their committed offsets and their lag")
        .arg(positional_many("group", "GROUP", "Groups to show; all if none is given"))
        .arg(switch("members", "Show the members and what they are assigned, not the offsets"));
    let delete = Command::new("delete")
        .about("Delete groups that have no members")
        .arg(positional_many("group", "GROUP", "Groups to delete").required(true));
    let delete_offsets = Command::new("delete-offsets")
        .about("Delete the committed offsets of topics that the group does not read now")
        .arg(Arg::new("group").value_name("GROUP").required(true).help("Group to change"))
        .arg(many("topic", "TOPIC[:PARTITIONS]", "Topic, or some of its partitions (orders:0,2-4)").required(true));
    Command::new("groups")
        .about("List, describe, reset and delete consumer groups")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([list, describe, reset_offsets::command(), delete, delete_offsets].map(super::arguments::client))
}

/// Runs one of them.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((name, matches)) = matches.subcommand() else { unreachable!("clap requires a subcommand") };
    session::run(matches, async |session| match name {
        "list" => list(session, matches).await,
        "describe" => describe(session, matches).await,
        "reset-offsets" => reset_offsets::run(session, matches).await,
        "delete" => delete(session, matches).await,
        _ => delete_offsets(session, matches).await,
    })
}

/// A group in the list.
#[derive(Serialize)]
struct Listed {
    group: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    protocol: String,
    state: Option<String>,
    coordinator: i32,
}

impl Row for Listed {
    const HEADINGS: &'static [&'static str] = &["GROUP", "TYPE", "PROTOCOL", "STATE", "COORDINATOR"];
    fn cells(&self) -> Vec<String> {
        let kind = self.kind.clone().unwrap_or_default();
        let state = self.state.clone().unwrap_or_default();
        vec![self.group.clone(), kind, self.protocol.clone(), state, self.coordinator.to_string()]
    }
}

async fn list(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let (rows, outcome) = listed(session, joined(matches, "state"), joined(matches, "type")).await?;
    output::rows(Format::of(matches), &rows)?;
    outcome
}

/// The groups of all brokers, by name; a broker that does not answer is a failure beside the others' groups.
async fn listed(
    session: &Session,
    states: Vec<String>,
    types: Vec<String>,
) -> Result<(Vec<Listed>, Result<(), Failure>), Failure> {
    let options = ListConsumerGroupsOptions::default().states(states).types(types);
    let by_broker = session.admin.list_consumer_groups(options).await.map_err(failure_of("cannot list groups"))?;
    let (by_broker, outcome) =
        session::sort_out(by_broker, |broker| format!("cannot list the groups of broker {broker}"));
    let mut rows: Vec<Listed> = Vec::new();
    for (coordinator, groups) in by_broker {
        rows.extend(groups.into_iter().map(|group| Listed {
            group: group.group_id,
            kind: group.group_type.map(|kind| kind.to_string()),
            protocol: group.protocol_type,
            state: group.state,
            coordinator,
        }));
    }
    rows.sort_by(|a, b| a.group.cmp(&b.group));
    Ok((rows, outcome))
}

/// A group with its members and offsets.
#[derive(Serialize)]
struct Described {
    group: String,
    #[serde(rename = "type")]
    kind: String,
    state: String,
    assignor: Option<String>,
    epoch: Option<i32>,
    members: Vec<Member>,
    offsets: Vec<Position>,
}

#[derive(Serialize)]
struct Member {
    member: String,
    instance: Option<String>,
    client: String,
    host: String,
    epoch: Option<i32>,
    /// `topic` and its partitions; none where the protocol is not known.
    assignment: Option<BTreeMap<String, Vec<i32>>>,
}

impl Row for Member {
    const HEADINGS: &'static [&'static str] = &["MEMBER", "INSTANCE", "CLIENT", "HOST", "ASSIGNMENT"];
    fn cells(&self) -> Vec<String> {
        let one = |(topic, partitions): (&String, &Vec<i32>)| {
            let partitions: Vec<String> = partitions.iter().map(i32::to_string).collect();
            format!("{topic}:{}", partitions.join(","))
        };
        let assignment = self.assignment.as_ref().map(|all| all.iter().map(one).collect::<Vec<_>>().join(" "));
        vec![
            self.member.clone(),
            self.instance.clone().unwrap_or_else(dash),
            self.client.clone(),
            self.host.clone(),
            assignment.filter(|text| !text.is_empty()).unwrap_or_else(dash),
        ]
    }
}

/// Where a group stands in a partition.
#[derive(Serialize)]
struct Position {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    end: Option<i64>,
    lag: Option<i64>,
    metadata: Option<String>,
    member: Option<String>,
    client: Option<String>,
    host: Option<String>,
}

impl Row for Position {
    const HEADINGS: &'static [&'static str] =
        &["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER", "HOST", "CLIENT"];
    fn cells(&self) -> Vec<String> {
        let number = |number: Option<i64>| number.map_or_else(dash, |number| number.to_string());
        let text = |text: &Option<String>| text.clone().unwrap_or_else(dash);
        vec![
            self.topic.clone(),
            self.partition.to_string(),
            number(self.committed),
            number(self.end),
            number(self.lag),
            text(&self.member),
            text(&self.host),
            text(&self.client),
        ]
    }
}

fn dash() -> String {
    "-".to_owned()
}

async fn describe(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let mut names = joined(matches, "group");
    if names.is_empty() {
        let (all, outcome) = listed(session, Vec::new(), Vec::new()).await?;
        outcome?;
        names = all.into_iter().map(|group| group.group).collect();
    }
    let results = session.admin.describe_consumer_groups(&names, DescribeConsumerGroupsOptions::default()).await;
    let results = results.map_err(failure_of("cannot describe groups"))?;
    let results = results.into_iter().map(|(group, result)| (group, result.and_then(alive)));
    let (groups, outcome) = session::sort_out(results, |group| format!("group {group}"));
    let mut described = Vec::new();
    for (_, group) in groups {
        described.push(with_offsets(session, group).await?);
    }
    print(Format::of(matches), matches.get_flag("members"), &described)?;
    outcome
}

/// A group that must be there.
pub async fn existing(session: &Session, group: &str) -> Result<ConsumerGroupDescription, Failure> {
    let what = format!("group {group}");
    let described = session.admin.describe_consumer_groups([group], DescribeConsumerGroupsOptions::default()).await;
    let mut described = described.map_err(failure_of(&what))?;
    let absent = || KrafkaError::broker(ErrorCode::GroupIdNotFound, "there is no such group");
    let described = described.remove(group).unwrap_or_else(|| Err(absent()));
    described.and_then(alive).map_err(failure_of(what))
}

/// Kafka describes a group that does not exist as dead.
fn alive(group: ConsumerGroupDescription) -> Result<ConsumerGroupDescription, KrafkaError> {
    if group.state.eq_ignore_ascii_case("dead") {
        return Err(KrafkaError::broker(ErrorCode::GroupIdNotFound, "there is no such group"));
    }
    Ok(group)
}

async fn with_offsets(session: &Session, group: ConsumerGroupDescription) -> Result<Described, Failure> {
    let committed = committed(session, &group.group_id).await?;
    let members: Vec<Member> = group.members.iter().map(member).collect();
    let mut owners: BTreeMap<Partition, &Member> = BTreeMap::new();
    for member in &members {
        for (topic, partitions) in member.assignment.iter().flatten() {
            owners.extend(partitions.iter().map(|partition| ((topic.clone(), *partition), member)));
        }
    }
    let mut all: Vec<Partition> = committed.keys().chain(owners.keys()).cloned().collect();
    all.sort();
    all.dedup();
    // A topic may be gone whose offsets are still there.
    let ends = offsets::try_list(&session.admin, &all, OffsetSpec::Latest).await?;
    let position = |at: &Partition| {
        let (offset, metadata) = committed.get(at).cloned().map_or((None, None), |(offset, text)| (Some(offset), text));
        let end = ends.get(at).and_then(|end| end.as_ref().ok().copied());
        let owner = owners.get(at);
        Position {
            topic: at.0.clone(),
            partition: at.1,
            committed: offset,
            end,
            lag: end.zip(offset).map(|(end, offset)| (end - offset).max(0)),
            metadata: metadata.filter(|text| !text.is_empty()),
            member: owner.map(|member| member.member.clone()),
            client: owner.map(|member| member.client.clone()),
            host: owner.map(|member| member.host.clone()),
        }
    };
    let offsets = all.iter().map(position).collect();
    Ok(Described {
        group: group.group_id,
        kind: group.group_type.to_string(),
        state: group.state,
        assignor: group.assignor.filter(|name| !name.is_empty()),
        epoch: group.group_epoch,
        members,
        offsets,
    })
}

fn member(member: &krafka::admin::ConsumerGroupMember) -> Member {
    let assignment = member.assignment.as_ref().map(|assignment| {
        let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for topic in assignment {
            topics.entry(topic.topic_name.clone()).or_default().extend(&topic.partitions);
        }
        topics.values_mut().for_each(|partitions| partitions.sort_unstable());
        topics
    });
    Member {
        member: member.member_id.clone(),
        instance: member.instance_id.clone(),
        client: member.client_id.clone(),
        host: member.client_host.trim_start_matches('/').to_owned(),
        epoch: member.member_epoch,
        assignment,
    }
}

/// What a group has committed, with the metadata of each commit.
async fn committed(session: &Session, group: &str) -> Result<BTreeMap<Partition, (i64, Option<String>)>, Failure> {
    let what = || format!("cannot read the offsets of group {group}");
    let asked = session.admin.list_consumer_group_offsets(group, ListConsumerGroupOffsetsOptions::default()).await;
    let one = |(at, offset): (TopicPartition, Result<GroupOffset, KrafkaError>)| match offset {
        Ok(GroupOffset { offset: Some(number), metadata, .. }) => {
            Some(Ok(((at.topic, at.partition), (number, metadata))))
        }
        Ok(_) => None,
        Err(error) => Some(Err(failure(error, &what()))),
    };
    asked.map_err(failure_of(what()))?.into_iter().filter_map(one).collect()
}

/// The offsets alone.
pub async fn committed_offsets(session: &Session, group: &str) -> Result<Offsets, Failure> {
    Ok(committed(session, group).await?.into_iter().map(|(at, (offset, _))| (at, offset)).collect())
}

fn print(format: Format, with_members: bool, described: &[Described]) -> Result<(), Failure> {
    if format == Format::Json {
        return output::json(&described);
    }
    for (index, group) in described.iter().enumerate() {
        let assignor = group.assignor.as_ref().map_or(String::new(), |name| format!(", assignor {name}"));
        let (gap, members) = (if index > 0 { "\n" } else { "" }, counted(group.members.len(), "member"));
        output::line(&format!("{gap}group {}, {}, {}{assignor}, {members}", group.group, group.kind, group.state))?;
        if with_members {
            output::rows(format, &group.members)?;
        } else {
            output::rows(format, &group.offsets)?;
        }
    }
    Ok(())
}

/// What became of a group or of an offset.
#[derive(Serialize)]
struct Deleted {
    group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    outcome: &'static str,
}

impl Row for Deleted {
    const HEADINGS: &'static [&'static str] = &["GROUP", "TOPIC", "PARTITION", "OUTCOME"];
    fn cells(&self) -> Vec<String> {
        let partition = self.partition.map_or_else(dash, |partition| partition.to_string());
        vec![self.group.clone(), self.topic.clone().unwrap_or_else(dash), partition, self.outcome.into()]
    }
}

async fn delete(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let results =
        session.admin.delete_consumer_groups(joined(matches, "group"), DeleteConsumerGroupsOptions::default()).await;
    let results = results.map_err(failure_of("cannot delete groups"))?;
    let (good, outcome) = session::sort_out(results, |group| format!("cannot delete group {group}"));
    let row = |(group, ())| Deleted { group, topic: None, partition: None, outcome: "deleted" };
    output::rows(Format::of(matches), &good.into_iter().map(row).collect::<Vec<_>>())?;
    outcome
}

async fn delete_offsets(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let group = matches.get_one::<String>("group").expect("it is required");
    // The topic itself may be gone, so the partitions come from what is committed.
    let committed = committed_offsets(session, group).await?;
    if committed.is_empty() {
        // A group that is not there is another answer than one without offsets.
        existing(session, group).await?;
    }
    let wanted = among(&committed, group, &joined(matches, "topic"))?;
    let asked = wanted.iter().map(|(topic, partition)| TopicPartition::new(topic, *partition));
    let options = DeleteConsumerGroupOffsetsOptions::default();
    let results = session.admin.delete_consumer_group_offsets(group, asked, options).await;
    let results = results.map_err(|error| failure(error, &format!("cannot delete offsets of group {group}")))?;
    let results = results.into_iter().map(|(at, result)| ((at.topic, at.partition), result));
    let (good, outcome) = session::sort_out(results, |(topic, partition): &Partition| {
        format!("cannot delete the offset of {topic} [{partition}]")
    });
    let row = |((topic, partition), ())| Deleted {
        group: group.clone(),
        topic: Some(topic),
        partition: Some(partition),
        outcome: "deleted",
    };
    output::rows(Format::of(matches), &good.into_iter().map(row).collect::<Vec<_>>())?;
    outcome
}

/// The partitions of these selections, all of which must have a committed offset.
fn among(committed: &Offsets, group: &str, selections: &[String]) -> Result<Vec<Partition>, Failure> {
    let (mut wanted, mut absent) = (Vec::new(), Vec::new());
    for text in selections {
        let (topic, partitions) = offsets::parse_selection(text)?;
        let of_topic: Vec<i32> =
            committed.keys().filter(|(of, _)| *of == topic).map(|(_, partition)| *partition).collect();
        match partitions {
            None if of_topic.is_empty() => absent.push(topic.clone()),
            None => wanted.extend(of_topic.into_iter().map(|partition| (topic.clone(), partition))),
            Some(partitions) => {
                let there = |partition: &i32| of_topic.contains(partition);
                absent.extend(partitions.iter().filter(|at| !there(at)).map(|at| format!("{topic} [{at}]")));
                wanted.extend(partitions.into_iter().filter(there).map(|partition| (topic.clone(), partition)));
            }
        }
    }
    if absent.is_empty() {
        return Ok(wanted);
    }
    let error = anyhow::anyhow!("group {group} has no committed offset of {}; nothing was deleted", absent.join(", "));
    Err(Failure::new(Exit::NotFound, error))
}
