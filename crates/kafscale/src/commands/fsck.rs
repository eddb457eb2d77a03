//! `kafscale fsck`: the store against what its log says.

use clap::{ArgMatches, Command};
use kafscale_offline::fsck::{Depth, repair};

use super::arguments::switch;
use crate::{
    exit::Failure,
    offline::{self, fsck},
    output::{self, Format},
    settings,
};

/// The command; it takes the flags of `serve`.
pub fn command() -> Command {
    let command = Command::new("fsck")
        .about("Check a store: every reference, checksum and offset, and what nothing refers to")
        .after_help(
            "It takes the settings of `serve` (--data, --store, --log, credentials). Without --repair it changes nothing, \
             and it may run beside a broker. It reads every byte that is referred to, once; --quick asks for names, lengths \
             and headers only.\n\n\
             A finding is a damage (records, or what is known of them, are lost or damaged), a flaw (something is not as it \
             should be, and no record is touched) or a note (nothing is wrong; shown with --all).\n\n\
             --repair writes missing or wrong indexes of segments again: their bytes follow from the segment, so a broker that \
             runs on a bucket does not mind. A directory must be in nobody's use. Nothing is ever deleted: what is garbage a \
             broker tells by its log and its own clock.\n\n\
             Exit codes: 0 sound, 5 damages, 11 flaws only; others as always.",
        )
        .arg(switch("quick", "Names, lengths and headers only"))
        .arg(switch("all", "Show notes as well"))
        .arg(switch("repair", "Mend what can be mended safely, then check again"))
        .arg(output::flag());
    settings::flags::add_to(command)
}

/// Checks, mends, prints.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let settings = settings::from_process(matches)?.settings;
    let depth = if matches.get_flag("quick") { Depth::Quick } else { Depth::Whole };
    let mends = matches.get_flag("repair");
    let bucket = if mends { offline::writable(&settings)? } else { offline::read_only(&settings)? };
    offline::block_on(async {
        let mut report = fsck::check(&bucket, depth).await?;
        let mut mended = Vec::new();
        if mends {
            mended = repair(&bucket, &report).await.map_err(offline::failure)?;
            if !mended.is_empty() {
                report = fsck::check(&bucket, depth).await?;
            }
        }
        fsck::print(&report, Format::of(matches), matches.get_flag("all"), &mended)?;
        fsck::outcome(&report)
    })
}
