//! `kafscale top`: what a cluster does, live.

use std::{io::IsTerminal, time::Duration};

use anyhow::Context;
use clap::{ArgMatches, Command};

use super::arguments::{client, one, parsed, switch, usage};
use crate::{
    client::{AbsentTopic, Session, flags},
    exit::Failure,
    output::Format,
    text::time,
    top,
};

/// Looking more often than this would be a load of its own.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The command.
pub fn command() -> Command {
    let command = Command::new("top")
        .about("Watch topics, partitions and groups: rates and lag, through the Kafka API alone")
        .after_help("Keys: q quit, Tab or 1-3 table, s sort by rate or name, p pause, arrows and Page keys scroll.")
        .arg(one("interval", "TIME", "Between two looks").default_value("2s"))
        .arg(switch("once", "Take two looks, print what happened between them, and end"));
    client(command)
}

/// Runs it.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let interval = parsed(matches, "interval", time::parse_span)?.expect("it has a default");
    if interval < INTERVAL_MIN {
        return Err(usage(format!("--interval: at least {INTERVAL_MIN:?}")));
    }
    let format = Format::of(matches);
    let once = matches.get_flag("once");
    if !once && (format == Format::Json || !std::io::stdout().is_terminal()) {
        return Err(usage("stdout is no terminal, or JSON was asked for: give --once to print one result"));
    }
    let properties = flags::read(matches)?;
    // The screen takes this thread.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the client")?;
    let session = runtime.block_on(Session::open(properties, AbsentTopic::Leave))?;
    if once {
        return runtime.block_on(top::once(&session, interval, format));
    }
    top::live(&runtime, session, interval)
}
