//! `kafscale restore`: a store from a backup, as of a point in time.

use clap::{ArgMatches, Command};
use kafscale_offline::{
    Until,
    backup::manifest,
    recover::{Wish, execute_between, plan},
};

use super::arguments::{one, parsed, switch};
use crate::{
    exit::{Exit, Failure},
    offline::{self, recover},
    output::{self, Format},
    settings,
    text::time,
};

/// The command; it takes the flags of `serve` for the store that is made.
pub fn command() -> Command {
    let command = Command::new("restore")
        .about("Make a store from a backup, as of its end or of a point in time")
        .after_help(
            "It takes the settings of `serve` for the store that is made (--data, --store, --log); it must be empty. Without \
             --yes it says what will be there. --from may also name a store that is no backup, such as one whose bucket kept \
             its objects.\n\n\
             --at takes a position of the log, a date (2026-11-23T10:00:00Z) or @MILLISECONDS: topics, records, groups and \
             offsets are as they were then. The frames of the log up to there must be in the backup.\n\n\
             Examples:\n  \
             kafscale restore --from s3://my-backups/kafka --store s3://new-bucket/kafka --yes\n  \
             kafscale restore --from file:/backups/kafka --at 2026-11-23T10:00:00Z --data ./yesterday --yes",
        )
        .arg(one("from", "URL", "The backup").required(true))
        .arg(one("from-config", "FILE", "TOML file with the settings of that place; without it, those of the store"))
        .arg(one("at", "POINT", "A position of the log, or a time; without it the end of the backup"))
        .arg(switch("yes", "Do it"))
        .arg(output::flag());
    settings::flags::add_to(command)
}

fn point(text: &str) -> Result<Until, String> {
    if let Ok(position) = text.parse() {
        return Ok(Until::Position(position));
    }
    time::parse_ms(text.strip_prefix('@').unwrap_or(text)).map(Until::Time)
}

/// Plans, and does it if asked.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let settings = settings::from_process(matches)?.settings;
    let (does, format) = (matches.get_flag("yes"), Format::of(matches));
    let at = parsed(matches, "at", point)?;
    let from = offline::read_only(&offline::other(matches, &settings, "from", "from-config")?)?;
    let to = does.then(|| offline::writable(&settings)).transpose()?;
    offline::block_on(async {
        if let Some(to) = &to {
            for side in to.sides() {
                if !to.page(*side, "", "", 1).await.map_err(offline::failure)?.is_empty() {
                    let error = anyhow::anyhow!("the store to restore into is not empty");
                    return Err(Failure::new(Exit::Refused, error));
                }
            }
        }
        let last = manifest(&from).await.map_err(offline::failure)?.and_then(|found| found.points.last().copied());
        let until = match (at, last) {
            (Some(until), _) => until,
            (None, Some(last)) => Until::Position(last.position),
            (None, None) => Until::Tail,
        };
        let plan = plan(&from, Wish { until, gap: 0 }).await.map_err(offline::failure)?.all_elsewhere();
        let plan = plan.segments_of(settings.segment_size.bytes());
        plan.require_reached().map_err(offline::failure)?;
        let Some(to) = &to else {
            recover::print(&plan, format)?;
            return match format {
                Format::Table => output::line("nothing was written: --yes does it"),
                Format::Json => Ok(()),
            };
        };
        if format == Format::Table {
            recover::print(&plan, format)?;
        }
        recover::execute(plan, format, async |plan, progress| execute_between(&from, to, plan, progress).await)
            .await
            .map(drop)
    })
}
