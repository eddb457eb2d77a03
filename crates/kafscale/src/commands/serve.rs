//! `kafscale serve`: the broker.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::{ArgMatches, Command};
use kafscale_runtime::TokioRuntime;
use kafscale_store::{Location, s3::bucket_rules};

use crate::{
    commands::exit_codes,
    exit::{Exit, Failure},
    logging,
    serve::{
        access::access,
        addresses, files,
        greeting::Greeting,
        http,
        node::{Node, Pages},
        places,
        signals::Signals,
    },
    settings::{self, Resolved, Settings},
    storage::advice,
};

/// The command's flags: the settings.
pub fn command() -> Command {
    let command = Command::new("serve").about("Run a broker").after_help(exit_codes());
    settings::flags::add_to(command)
}

/// Asks the buckets of records and log once what they do by themselves. Keys that may not know are no fault: a broker does
/// not need the answer.
async fn warn_of_rules(settings: Settings) {
    for (place, access) in places::reached(&settings, access(&settings)) {
        let Location::S3 { bucket, prefix } = place else { continue };
        match bucket_rules(&bucket, &access, &TokioRuntime::handle()).await {
            Ok(rules) => {
                for danger in advice::dangers(&rules, &prefix) {
                    tracing::warn!(bucket, "{danger} (docs/operations.md has the rule)");
                }
            }
            Err(error) => tracing::debug!(bucket, %error, "what the bucket does by itself is not known"),
        }
    }
}

/// Serves until a signal or a fatal error.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let started = Instant::now();
    let resolved = settings::from_process(matches)?;
    logging::start(&resolved.settings);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let ended = runtime.block_on(serve(&resolved, started));
    // A call to a file system that hangs must not hold up the end.
    runtime.shutdown_background();
    ended
}

async fn serve(resolved: &Resolved, started: Instant) -> Result<(), Failure> {
    let settings = &resolved.settings;
    files::raise_limit(settings.max_connections);
    let mut signals = Signals::catch().context("cannot catch signals")?;
    let socket = addresses::bind("listen", &settings.listen).await?;
    let bound = socket.local_addr().context("the listening socket has no address")?;
    let http_socket = match &settings.http {
        Some(address) => Some(addresses::bind("http", address).await?),
        None => None,
    };
    let http_bound = http_socket.as_ref().and_then(|socket| socket.local_addr().ok());
    let advertised =
        addresses::advertised(&settings.listen, settings.advertise.as_ref(), bound, &addresses::host_name());

    let pages = Arc::new(Pages::default());
    if let Some(socket) = http_socket {
        tokio::spawn(http::serve(socket, pages.clone()));
    }
    let location = places::location(settings);
    let http = http_bound.map_or_else(|| "off".to_owned(), |address| address.to_string());
    let log = places::log_location(settings).map(|log| log.to_string());
    tracing::info!(store = %location, log, http, "starting");
    for wish in places::not_asked_of_log(settings, &access(settings)) {
        tracing::warn!(
            log,
            "the log is written without {wish}: its store does not have it, only that of the records does"
        );
    }
    let mut node = tokio::select! {
        biased;
        signal = signals.next() => {
            tracing::info!(signal, "stopped before serving");
            return Ok(());
        }
        node = Node::start(settings, &advertised, pages) => node?,
    };
    node.listen(socket)?;
    let greeting = Greeting {
        advertised: &advertised,
        bound,
        host_name_advertised: settings.advertise.is_none() && settings.listen.is_unspecified(),
        http: http_bound,
        store: &location.to_string(),
        log: log.as_deref(),
        cluster_id: &node.cluster_id(),
        effective: &resolved.effective,
    };
    greeting.ready(started.elapsed());
    tokio::spawn(warn_of_rules(resolved.settings.clone()));

    let signal = tokio::select! {
        biased;
        signal = signals.next() => signal,
        failure = node.ended() => return Err(failure),
    };
    drain(node, signal, &mut signals, settings.drain_timeout).await
}

/// Answers what was accepted, unless a second signal ends it at once.
async fn drain(node: Node, signal: &str, signals: &mut Signals, limit: Duration) -> Result<(), Failure> {
    tracing::info!(signal, ?limit, "draining");
    let drained = tokio::select! {
        biased;
        drained = node.drain(limit) => drained,
        signal = signals.next() => {
            let error = anyhow::anyhow!("{signal} during the drain: ended at once, what was not answered may be lost");
            Err(Failure::new(Exit::Unexpected, error))
        }
    };
    if drained.is_ok() {
        tracing::info!("drained");
    }
    drained
}
