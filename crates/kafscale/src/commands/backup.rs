//! `kafscale backup`: a copy of a store.

use clap::{ArgMatches, Command};
use kafscale_offline::backup::{Copied, backup};
use serde_json::json;

use super::arguments::one;
use crate::{
    exit::Failure,
    offline::{self, bar},
    output::{self, Format},
    settings,
};

/// The command; it takes the flags of `serve` for the store that is copied.
pub fn command() -> Command {
    let command = Command::new("backup")
        .about("Copy a store to another place, beside a running broker; what is there already is not copied again")
        .after_help(
            "It takes the settings of `serve` for the store to copy, and reads it only. The place to copy to is empty, or has an \
             earlier backup of the same store. Objects never change, so each is copied once; nothing is deleted there.\n\n\
             A backup can be read with `kafscale cat --store`, checked with `kafscale fsck --store`, and brought back with \
             `kafscale restore`, at its end or at any position whose frames it has. It is not served.\n\n\
             Examples:\n  \
             kafscale backup --store s3://my-bucket/kafka --to s3://my-backups/kafka\n  \
             kafscale backup --data /var/lib/kafscale --to s3://my-backups/kafka --to-config backups.toml",
        )
        .arg(one("to", "URL", "Where to copy to: file:DIR, s3://BUCKET/PREFIX, gs://..., az://...").required(true))
        .arg(one("to-config", "FILE", "TOML file with the settings of that place; without it, those of the store"))
        .arg(output::flag());
    settings::flags::add_to(command)
}

/// Copies.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let settings = settings::from_process(matches)?.settings;
    let from = offline::read_only(&settings)?;
    let to = offline::plain(&offline::other(matches, &settings, "to", "to-config")?)?;
    offline::block_on(async {
        let progress = bar(0, "bytes");
        let copied = backup(&from, &to, &|done, total| {
            progress.set_length(total);
            progress.set_position(done);
        })
        .await;
        progress.finish_and_clear();
        let Copied { objects, bytes, kept, position } = copied.map_err(offline::failure)?;
        match Format::of(matches) {
            Format::Json => {
                output::json(&json!({ "objects": objects, "bytes": bytes, "kept": kept, "position": position }))
            }
            Format::Table => output::line(&format!(
                "{objects} objects of {bytes} bytes copied, {kept} were there; whole up to position {position}"
            )),
        }
    })
}
