//! `kafscale recover`: a store whose log is gone, damaged or older than its data.

use clap::{ArgMatches, Command};
use kafscale_offline::{
    Until,
    recover::{Wish, execute, plan},
};

use super::arguments::{number, one, switch};
use crate::{
    exit::Failure,
    offline::{self, recover},
    output::{self, Format},
    settings,
};

/// Offsets that are left where the end of a log is lost.
const GAP: &str = "1000000";

/// The command; it takes the flags of `serve`.
pub fn command() -> Command {
    let command = Command::new("recover")
        .about("Bring a store back whose log is gone, damaged, or was put back from an older copy")
        .after_help(
            "It takes the settings of `serve` (--data, --store, --log, credentials). Without --yes it changes nothing, and says \
             what will be there and what is lost. No broker may run on the store: on a bucket it cannot be told from outside, \
             so stop it first.\n\n\
             Topics, groups, offsets and producers come from the newest snapshot that is whole and from what is left of the log \
             behind it; records from every object that is there, whether or not the log still speaks of it. What lies only in \
             frames of the log is written anew as merged objects. Then a new generation of the log begins, and the markers \
             (cluster.json) say so. Nothing is deleted; begun anew after a crash it does the same.\n\n\
             Where the end of the log is lost, each partition leaves --gap offsets unused, so that no consumer takes a new \
             record for one that it has seen. Consumers pass over them by themselves.\n\n\
             Examples:\n  \
             kafscale recover --store s3://my-bucket/kafka\n  \
             kafscale recover --store s3://my-bucket/kafka --yes",
        )
        .arg(switch("yes", "Do it"))
        .arg(one("gap", "N", "Offsets left unused in each partition where the end of the log is lost").default_value(GAP))
        .arg(output::flag());
    settings::flags::add_to(command)
}

/// Plans, and does it if asked.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let settings = settings::from_process(matches)?.settings;
    let wish = Wish { until: Until::Tail, gap: number(matches, "gap")?.unwrap_or(0) };
    let (does, format) = (matches.get_flag("yes"), Format::of(matches));
    let bucket = if does { offline::writable(&settings)? } else { offline::read_only(&settings)? };
    offline::block_on(async {
        let plan = plan(&bucket, wish).await.map_err(offline::failure)?;
        if !does {
            recover::print(&plan, format)?;
            if format == Format::Table {
                output::line("nothing was changed: --yes does it")?;
            }
            return Ok(());
        }
        if format == Format::Table {
            recover::print(&plan, format)?;
        }
        recover::execute(plan, format, async |plan, progress| execute(&bucket, plan, progress).await).await.map(drop)
    })
}
