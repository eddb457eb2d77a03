//! `kafscale import`: segments that something else has written, as topics.

use clap::{ArgMatches, Command};
use kafscale_offline::{
    import::{Import, Wish, plan},
    recover::execute_between,
};
use serde::Serialize;
use serde_json::json;

use super::arguments::{many, one, switch};
use crate::{
    exit::{Exit, Failure},
    offline::{self, bar, recover},
    output::{self, Format, Row},
    settings,
};

/// The command; it takes the flags of `serve` for the store that is imported into.
pub fn command() -> Command {
    let command = Command::new("import")
        .about("Take topics in from a bucket with segments of the published layout")
        .after_help(
            "It takes the settings of `serve` for the store to import into (--data, --store, --log), which is empty or has a \
             whole log. No broker may run on it. Without --yes it reads and checks every segment and says what will be there; \
             with anything wrong nothing is imported.\n\n\
             Segments are NAMESPACE/TOPIC/PARTITION/segment-OFFSET.kfs. They are copied, and the indexes made anew; \
             offsets, timestamps and batches stay as they are. A partition may begin above offset 0. A topic that is there \
             already is refused. A new generation of the log begins, as after `kafscale recover`.\n\n\
             Examples:\n  \
             kafscale import --from s3://old-bucket --store s3://my-bucket/kafka\n  \
             kafscale import --from s3://old-bucket --topic orders --store s3://my-bucket/kafka --yes",
        )
        .arg(one("from", "URL", "The bucket and prefix with the segments").required(true))
        .arg(one("from-config", "FILE", "TOML file with the settings of that place; without it, those of the store"))
        .arg(many("topic", "TOPIC", "Only this topic; may be given several times"))
        .arg(one("namespace", "NAME", "The first part of the segments' names").default_value("default"))
        .arg(switch("gaps", "Segments may be missing between others: their offsets stay empty"))
        .arg(switch("ignore-indexes", "Indexes that disagree with their segments do not matter"))
        .arg(switch("ignore-unreadable", "Batches that hold no records do not matter, though consumers stop before them"))
        .arg(switch("yes", "Do it"))
        .arg(output::flag());
    settings::flags::add_to(command)
}

#[derive(Serialize)]
struct Wrong {
    object: String,
    reason: String,
}

impl Row for Wrong {
    const HEADINGS: &'static [&'static str] = &["OBJECT", "WHAT IS WRONG"];

    fn cells(&self) -> Vec<String> {
        vec![self.object.clone(), self.reason.clone()]
    }
}

/// Checks, and imports if asked.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let settings = settings::from_process(matches)?.settings;
    let (does, format) = (matches.get_flag("yes"), Format::of(matches));
    let wish = Wish {
        topics: super::arguments::joined(matches, "topic"),
        namespace: matches.get_one::<String>("namespace").cloned().unwrap_or_default(),
        gaps: matches.get_flag("gaps"),
        ignore_indexes: matches.get_flag("ignore-indexes"),
        ignore_unreadable: matches.get_flag("ignore-unreadable"),
    };
    let from = offline::read_only(&offline::other(matches, &settings, "from", "from-config")?)?;
    let to = if does { offline::writable(&settings)? } else { offline::read_only_or_empty(&settings)? };
    offline::block_on(async {
        let progress = bar(0, "bytes checked");
        let import = plan(&from, &to, &wish, &|done, total| {
            progress.set_length(total);
            progress.set_position(done);
        })
        .await;
        progress.finish_and_clear();
        let Import { plan, topics, segments, bytes, wrong, notes } = import.map_err(offline::failure)?;
        if !wrong.is_empty() {
            let rows: Vec<Wrong> = wrong.into_iter().map(|(object, reason)| Wrong { object, reason }).collect();
            match format {
                Format::Json => output::json(&json!({ "wrong": rows, "notes": notes, "done": false }))?,
                Format::Table => output::rows(format, &rows)?,
            }
            return Err(Failure::new(
                Exit::DataLoss,
                anyhow::anyhow!("nothing was imported: {} are wrong", rows.len()),
            ));
        }
        if format == Format::Table {
            recover::print_of(&plan, format, |topic| topics.contains(topic))?;
            notes.iter().try_for_each(|note| output::line(note))?;
            output::line(&format!("{} topics, {segments} segments, {bytes} bytes", topics.len()))?;
        }
        let plan = plan.segments_of(settings.segment_size.bytes());
        match does {
            true => {
                let done = recover::execute(plan, format, async |plan, progress| {
                    execute_between(&from, &to, plan, progress).await
                });
                done.await.map(drop)
            }
            false if format == Format::Json => output::json(&recover::told(&plan, None)),
            false => output::line("nothing was imported: --yes does it"),
        }
    })
}
