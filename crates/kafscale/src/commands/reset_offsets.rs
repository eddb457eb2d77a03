//! `kafscale groups reset-offsets`: where a group without members shall go on. It shows what it would do, and does it only
//! with `--execute`, as Kafka's own tool.

use clap::{Arg, ArgGroup, ArgMatches, Command};
use krafka::admin::{AlterConsumerGroupOffsetsOptions, OffsetSpec, TopicPartition};
use serde::Serialize;

use super::{
    arguments::{at_least, joined, many, number, one, parsed, switch, usage},
    groups::{self, committed_offsets},
};
use crate::{
    client::{
        Session, failure, failure_of,
        offsets::{self, Offsets, Partition},
        session,
    },
    exit::{Exit, Failure},
    logging,
    output::{self, Format, Row},
    text::{count::counted, time},
};

const TARGETS: [&str; 7] =
    ["to-earliest", "to-latest", "to-current", "to-offset", "to-datetime", "by-duration", "shift-by"];

/// The subcommand.
pub fn command() -> Command {
    Command::new("reset-offsets")
        .about("Move the committed offsets of a group that has no members")
        .after_help("Shows the new offsets and changes nothing unless --execute is given.")
        .arg(
            Arg::new("group").value_name("GROUP").required(true).help("Group to change; it is made if it is not there"),
        )
        .arg(many("topic", "TOPIC[:PARTITIONS]", "Topic, or some of its partitions (orders:0,2-4)"))
        .arg(switch("all-topics", "All topics of which the group has committed offsets"))
        .group(ArgGroup::new("what").args(["topic", "all-topics"]).required(true))
        .arg(switch("to-earliest", "To the first record"))
        .arg(switch("to-latest", "Behind the last record"))
        .arg(switch("to-current", "To where it is: drops offsets out of range"))
        .arg(one("to-offset", "OFFSET", "To this offset"))
        .arg(one("to-datetime", "TIME", "To the first record from this time on (2026-11-23T10:00:00Z)"))
        .arg(one("by-duration", "SPAN", "To the first record of the last so much (1h, PT1H)"))
        .arg(one("shift-by", "N", "Forward by N records, or back where N is negative"))
        .group(ArgGroup::new("where").args(TARGETS).required(true))
        .arg(switch("execute", "Do it"))
        .arg(switch("dry-run", "Only show it, which is the default").conflicts_with("execute"))
}

/// The old and the new offset of a partition.
#[derive(Serialize)]
struct Move {
    topic: String,
    partition: i32,
    old: Option<i64>,
    new: i64,
}

impl Row for Move {
    const HEADINGS: &'static [&'static str] = &["TOPIC", "PARTITION", "OLD", "NEW"];
    fn cells(&self) -> Vec<String> {
        let old = self.old.map_or("-".to_owned(), |old| old.to_string());
        vec![self.topic.clone(), self.partition.to_string(), old, self.new.to_string()]
    }
}

/// Where to go.
enum Target {
    Earliest,
    Latest,
    Current,
    Offset(i64),
    Time(i64),
    Shift(i64),
}

fn target(matches: &ArgMatches) -> Result<Target, Failure> {
    if matches.get_flag("to-earliest") {
        return Ok(Target::Earliest);
    }
    if matches.get_flag("to-latest") {
        return Ok(Target::Latest);
    }
    if matches.get_flag("to-current") {
        return Ok(Target::Current);
    }
    if let Some(offset) = at_least(matches, "to-offset", 0)? {
        return Ok(Target::Offset(offset));
    }
    if let Some(shift) = number(matches, "shift-by")? {
        return Ok(Target::Shift(shift));
    }
    if let Some(span) = parsed(matches, "by-duration", time::parse_span)? {
        let span = i64::try_from(span.as_millis()).map_err(|_| usage("--by-duration: too long"))?;
        return Ok(Target::Time((time::now_ms() - span).max(0)));
    }
    let time = parsed(matches, "to-datetime", time::parse_ms)?;
    Ok(Target::Time(time.expect("clap requires one of the targets")))
}

/// Shows the moves, and makes them if that was asked for.
pub async fn run(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let group = matches.get_one::<String>("group").expect("it is required");
    let target = target(matches)?;
    refuse_members(session, group).await?;
    let committed = committed_offsets(session, group).await?;
    let partitions: Vec<Partition> = if matches.get_flag("all-topics") {
        committed.keys().cloned().collect()
    } else {
        offsets::select(&session.admin, &joined(matches, "topic")).await?
    };
    if partitions.is_empty() {
        let error = anyhow::anyhow!("group {group} has no committed offsets; name topics with --topic");
        return Err(Failure::new(Exit::NotFound, error));
    }
    let moves = moves(session, &partitions, &committed, &target).await?;
    if matches.get_flag("execute") {
        return execute(session, matches, group, moves).await;
    }
    output::rows(Format::of(matches), &moves)?;
    logging::say("INFO", "nothing was changed; give --execute to do it");
    Ok(())
}

/// A group that somebody reads with goes on from where its members are. Both forms of the command look, so that what is
/// shown is what can be done. A group that is not there is made by its first offset.
async fn refuse_members(session: &Session, group: &str) -> Result<(), Failure> {
    let found = match groups::existing(session, group).await {
        Err(Failure { exit: Exit::NotFound, .. }) => return Ok(()),
        found => found?,
    };
    if found.members.is_empty() && found.state.eq_ignore_ascii_case("empty") {
        return Ok(());
    }
    let (members, state) = (counted(found.members.len(), "member"), found.state);
    let text = format!("cannot reset group {group}, which must have no members: it has {members} and is {state}");
    Err(Failure::new(Exit::Refused, anyhow::anyhow!(text)))
}

async fn moves(
    session: &Session,
    partitions: &[Partition],
    committed: &Offsets,
    target: &Target,
) -> Result<Vec<Move>, Failure> {
    let starts = offsets::list(&session.admin, partitions, OffsetSpec::Earliest).await?;
    let ends = offsets::list(&session.admin, partitions, OffsetSpec::Latest).await?;
    let times = match target {
        Target::Time(ms) => offsets::at_time(session, partitions, *ms).await?,
        _ => Offsets::new(),
    };
    let mut moves = Vec::new();
    for at in partitions {
        let (start, end, old) = (starts[at], ends[at], committed.get(at).copied());
        let wanted = match target {
            Target::Earliest => start,
            Target::Latest => end,
            // A group that has no offset there begins at the end, as Kafka's own tool has it.
            Target::Current => old.unwrap_or(end),
            Target::Offset(offset) => *offset,
            Target::Time(_) => times[at],
            Target::Shift(by) => {
                let from = old.ok_or_else(|| {
                    let text = format!("--shift-by: the group has no offset of {} [{}]", at.0, at.1);
                    Failure::new(Exit::NotFound, anyhow::anyhow!(text))
                })?;
                from.saturating_add(*by)
            }
        };
        let new = wanted.clamp(start, end);
        if new != wanted {
            let text = format!("{} [{}]: offset {wanted} is not there; taking {new}, the nearest that is", at.0, at.1);
            logging::say("WARN", &text);
        }
        moves.push(Move { topic: at.0.clone(), partition: at.1, old, new });
    }
    Ok(moves)
}

async fn execute(session: &Session, matches: &ArgMatches, group: &str, moves: Vec<Move>) -> Result<(), Failure> {
    let what = format!("cannot reset group {group}");
    let asked = moves.iter().map(|one| (TopicPartition::new(&one.topic, one.partition), one.new));
    let options = AlterConsumerGroupOffsetsOptions::default();
    let results = session.admin.alter_consumer_group_offsets(group, asked, options).await;
    let results = results.map_err(failure_of(&what))?;
    // A group that somebody joined meanwhile refuses every partition alike: that is said once.
    if results.values().all(Result::is_err)
        && let Some(Err(error)) = results.values().next()
    {
        return Err(failure(error.clone(), &format!("{what}, which must have no members")));
    }
    let results = results.into_iter().map(|(at, result)| ((at.topic, at.partition), result));
    let (good, outcome) =
        session::sort_out(results, |(topic, partition): &Partition| format!("{what}: {topic} [{partition}]"));
    let done: Vec<Partition> = good.into_iter().map(|(at, ())| at).collect();
    let moved: Vec<Move> = moves.into_iter().filter(|one| done.contains(&(one.topic.clone(), one.partition))).collect();
    output::rows(Format::of(matches), &moved)?;
    outcome
}
