//! What the tools share that work on a store without a broker: opening it, and which exit code each error has.

pub mod cat;
pub mod fsck;
pub mod recover;

use std::{path::Path, sync::Arc};

use clap::ArgMatches;
use indicatif::{ProgressBar, ProgressStyle};
use kafscale_broker::{cluster::ClusterError, metrics::Metrics};
use kafscale_offline::{Bucket, Error};
use kafscale_runtime::TokioRuntime;
use kafscale_store::{Location, MemoryStore, Store};

use crate::{
    commands::arguments::parsed,
    exit::{Exit, Failure},
    serve::{access::access, places},
    settings::{self, Settings},
};

/// The stores of these settings, to be looked at.
pub fn read_only(settings: &Settings) -> Result<Bucket, Failure> {
    let runtime = TokioRuntime::handle();
    Ok(Bucket::new(places::open_read_only(settings, &access(settings), &runtime)?, runtime))
}

/// The same, where a directory that does not exist is an empty store.
pub fn read_only_or_empty(settings: &Settings) -> Result<Bucket, Failure> {
    match places::location(settings) {
        Location::Directory(path) if !path.exists() => {
            let empty: Arc<dyn Store> = Arc::new(MemoryStore::new());
            Ok(Bucket::new(empty, TokioRuntime::handle()))
        }
        _ => read_only(settings),
    }
}

/// The stores of these settings, to be changed. A directory must be in nobody's use.
pub fn writable(settings: &Settings) -> Result<Bucket, Failure> {
    let runtime = TokioRuntime::handle();
    let metrics = Arc::new(Metrics::default());
    Ok(Bucket::new(places::open(settings, &access(settings), &runtime, &metrics)?, runtime))
}

/// The settings of another store than that of `ours`: those of a file, or ours with another place.
pub fn other(matches: &ArgMatches, ours: &Settings, place: &str, config: &str) -> Result<Settings, Failure> {
    let mut other = match matches.get_one::<String>(config) {
        Some(file) => settings::of_file(Path::new(file))?,
        None => ours.clone(),
    };
    if let Some(url) = parsed(matches, place, |text| text.parse::<Location>().map_err(|error| error.to_string()))? {
        other.store = Some(url);
    }
    if matches.get_one::<String>(config).is_none() {
        (other.log, other.read_replica) = (None, None);
    }
    Ok(other)
}

/// The stores of a place that only holds objects: nothing is asked of its provider but plain writes.
pub fn plain(settings: &Settings) -> Result<Bucket, Failure> {
    let runtime = TokioRuntime::handle();
    Ok(Bucket::new(places::open_data(settings, &access(settings), &runtime)?, runtime).plain())
}

/// A bar on stderr; drawn only where that is a terminal.
pub fn bar(total: u64, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed_precise} {bar:40} {pos}/{len} {msg}");
    let style = style.expect("the template is a constant");
    ProgressBar::new(total).with_style(style).with_message(what.to_owned())
}

/// Runs a tool.
pub fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(anyhow::Error::from)?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

/// An error with its exit code.
pub fn failure(error: Error) -> Failure {
    let exit = match &error {
        Error::Store { .. } | Error::NoCluster => Exit::StoreUnusable,
        Error::Cluster(cluster) => match cluster {
            ClusterError::Newer(_) => Exit::NewerVersion,
            ClusterError::Malformed(_)
            | ClusterError::MarkerMissing
            | ClusterError::LogMissing
            | ClusterError::DataMissing => Exit::DataLoss,
            _ => Exit::StoreUnusable,
        },
        Error::Newer { .. } => Exit::NewerVersion,
        Error::Missing(_) | Error::Damaged { .. } => Exit::DataLoss,
        Error::NotFound(_) => Exit::NotFound,
        Error::Refused(_) => Exit::Refused,
    };
    Failure::new(exit, error)
}
