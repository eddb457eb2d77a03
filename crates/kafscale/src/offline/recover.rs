//! The work of `kafscale recover`: what will be there and what is lost, and doing it.

use kafscale_offline::{
    Error, fsck,
    recover::{Outcome, PartitionPlan, Plan},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{bar, failure};
use crate::{
    exit::Failure,
    output::{self, Format, Row},
};

#[derive(Serialize)]
struct Shown<'a> {
    topic: &'a str,
    partition: u32,
    start: i64,
    end: i64,
    bytes: u64,
    lost: Vec<(i64, i64)>,
}

impl Row for Shown<'_> {
    const HEADINGS: &'static [&'static str] = &["TOPIC", "PARTITION", "START", "END", "BYTES", "LOST OFFSETS"];

    fn cells(&self) -> Vec<String> {
        let lost: Vec<String> = self.lost.iter().map(|(from, to)| format!("{from}-{}", to - 1)).collect();
        vec![
            self.topic.to_owned(),
            self.partition.to_string(),
            self.start.to_string(),
            self.end.to_string(),
            self.bytes.to_string(),
            lost.join(", "),
        ]
    }
}

impl<'a> From<&'a PartitionPlan> for Shown<'a> {
    fn from(plan: &'a PartitionPlan) -> Self {
        let (topic, partition) = (plan.topic(), plan.partition());
        let (start, end, bytes, lost) = (plan.start, plan.end, plan.bytes(), plan.cover.lost.clone());
        Self { topic, partition, start, end, bytes, lost }
    }
}

/// What a plan rests on, and what is missing, in sentences.
fn notes(plan: &Plan) -> Vec<String> {
    let evidence = &plan.evidence;
    let mut notes = Vec::new();
    let position = evidence.state.position();
    notes.push(match evidence.snapshot {
        0 => format!("no snapshot is readable; {} frames of the log are, up to position {position}", evidence.frames),
        snapshot => {
            format!("snapshot of position {snapshot}, and {} frames up to position {position}", evidence.frames)
        }
    });
    for (from, to) in &evidence.holes {
        notes.push(format!("positions {from} to {} of the log are lost", to - 1));
    }
    if plan.is_end_lost() {
        notes.push(
            "what the log held behind that is lost: records that only frames held, offsets that groups committed, \
                    changes of topics and settings"
                .to_owned(),
        );
    }
    if !plan.found.missing.is_empty() {
        notes.push(format!("{} objects that the log refers to are not there", plan.found.missing.len()));
    }
    for (name, reason) in evidence.unreadable.iter().chain(&plan.found.unreadable) {
        notes.push(format!("{name} cannot be read: {reason}"));
    }
    let groups = evidence.state.groups().count();
    let lost: i64 = plan.partitions.iter().map(PartitionPlan::lost).sum();
    let (topics, partitions) = (evidence.state.topic_count(), plan.partitions.len());
    notes.push(format!("{topics} topics, {partitions} partitions, {groups} groups; {lost} offsets are lost"));
    notes
}

/// Prints a plan.
pub fn print(plan: &Plan, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return output::json(&told(plan, None));
    }
    print_of(plan, format, |_| true)?;
    notes(plan).iter().try_for_each(|note| output::line(note))
}

/// Prints the partitions of some topics.
pub fn print_of(plan: &Plan, format: Format, of: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let partitions = plan.partitions.iter().filter(|partition| of(partition.topic()));
    output::rows(format, &partitions.map(Shown::from).collect::<Vec<_>>())
}

/// A plan, and what came of it, as JSON.
pub fn told(plan: &Plan, outcome: Option<&Outcome>) -> Value {
    let rows: Vec<Shown<'_>> = plan.partitions.iter().map(Shown::from).collect();
    json!({
        "cluster": format!("{:032x}", plan.evidence.cluster.id),
        "generation": plan.evidence.cluster.generation,
        "next_generation": plan.evidence.generation,
        "snapshot": plan.evidence.snapshot,
        "position": plan.evidence.state.position(),
        "groups": plan.evidence.state.groups().count(),
        "end_lost": plan.is_end_lost(),
        "missing_objects": plan.found.missing,
        "notes": notes(plan),
        "partitions": rows,
        "done": outcome.is_some(),
    })
}

/// Does it, with a bar on stderr, and says what was done.
pub async fn execute(
    plan: Plan,
    format: Format,
    work: impl AsyncFnOnce(Plan, fsck::Progress<'_>) -> Result<Outcome, Error>,
) -> Result<Outcome, Failure> {
    let mut told = told(&plan, None);
    let progress = bar(0, "partitions");
    let outcome = work(plan, &|done, total| {
        progress.set_length(total);
        progress.set_position(done);
    })
    .await;
    progress.finish_and_clear();
    let outcome = outcome.map_err(failure)?;
    if format == Format::Json {
        told["done"] = json!(true);
        told["written_objects"] = json!(outcome.objects);
        told["written_bytes"] = json!(outcome.bytes);
        told["damaged"] = json!(outcome.damaged);
        output::json(&told)?;
        return Ok(outcome);
    }
    for (topic, partition, from, until, reason) in &outcome.damaged {
        output::line(&format!("{topic} [{partition}] lost offsets {from} to {}: {reason}", until - 1))?;
    }
    let Outcome { objects, bytes, generation, position, .. } = &outcome;
    output::line(&format!(
        "generation {generation} of the log is live, from position {position}; {objects} objects of {bytes} bytes were written"
    ))?;
    Ok(outcome)
}
