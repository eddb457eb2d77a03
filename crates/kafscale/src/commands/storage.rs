//! `kafscale storage probe|bench`: what a bucket can do and how fast it is, before anything depends on it.

use std::{fs::File, io::Write, sync::Arc, time::Duration};

use anyhow::anyhow;
use clap::{ArgMatches, Command};
use indicatif::{ProgressBar, ProgressStyle};
use kafscale_runtime::{Handle, TokioRuntime};
use kafscale_store::{Location, NoObserver, Store, profile::Profile};

use super::arguments::{one, parsed, switch, usage};
use crate::{
    exit::{Exit, Failure},
    output,
    serve::{access::access, places},
    settings::{
        self, Settings,
        value::{Size, Value},
    },
    storage::{
        ask::{self, Asked},
        bench, plot, prices,
        report::Told,
        rights,
    },
};

/// What one object of the benchmark may be.
const OBJECT_BYTES_MAX: u64 = 1 << 30;
/// Requests of the benchmark that may be under way at the same time.
const CONCURRENCY_MAX: usize = 1_024;

/// Both kinds; each takes the flags of `serve`.
pub fn command() -> Command {
    let probe = Command::new("probe")
        .about("Ask the store of --store 30 to 40 requests: permissions, guarantees, latency, and what to expect of it")
        .after_help(
            "Writes below probe/ and deletes that again. In a bucket that holds a cluster the result is noted in its \
             cluster.json, where the next start of a broker reads it; do not run it beside `kafscale recover`. Exit code 3 if the store is not fit for what the settings ask \
             of it: records, and the log unless --log puts it elsewhere. A bucket of --log is asked the same, and cluster.json \
             is read from that of --read-replica.",
        )
        .arg(switch("thorough", "Ask some 300 requests: more and larger races, and enough writes and reads for a p99"))
        .arg(output::flag());
    let bench = Command::new("bench")
        .about("Measure the store of --store for longer: writes for half of the time, then reads")
        .after_help("Writes below probe/ and deletes that again. Requests are billed as usual.")
        .arg(one("duration", "TIME", "How long, both halves together").default_value("60s"))
        .arg(one("size", "SIZE", "Bytes of an object").default_value("1MiB"))
        .arg(one("concurrency", "N", "Requests under way at the same time").default_value("4"))
        .arg(one("total", "SIZE", "Bytes that are written at most").default_value("4GiB"))
        .arg(one("plot", "FILE", "Write a picture of every second there (SVG)"))
        .arg(output::flag());
    let profiles = Command::new("profiles").about("What providers charge, as it is assumed").arg(output::flag());
    Command::new("storage")
        .about("Try a store before anything depends on it")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([probe, bench].map(settings::flags::add_to))
        .subcommand(profiles)
}

/// Runs it.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((kind, matches)) = matches.subcommand() else { unreachable!("clap requires a subcommand") };
    if kind == "profiles" {
        return output::rows(output::Format::of(matches), &prices::all());
    }
    let settings = settings::from_process(matches)?.settings;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(anyhow::Error::from)?;
    runtime.block_on(async {
        match kind {
            "probe" => run_probe(&settings, matches).await,
            _ => run_bench(&settings, matches).await,
        }
    })
}

/// The store of the settings, without what serves it beside slow requests: a measurement is of single ones.
fn opened(settings: &Settings) -> Result<(Arc<dyn Store>, Handle), Failure> {
    let (runtime, access, place) = (TokioRuntime::handle(), access(settings), places::location(settings));
    let store = kafscale_store::open(&place, &access, runtime.clone(), Arc::new(NoObserver));
    Ok((store.map_err(|error| Failure::new(Exit::StoreUnusable, error))?, runtime))
}

async fn run_probe(settings: &Settings, matches: &ArgMatches) -> Result<(), Failure> {
    let (runtime, access, is_thorough) = (TokioRuntime::handle(), access(settings), matches.get_flag("thorough"));
    let mut stores = places::reached(settings, access.clone()).into_iter();
    let (place, reached) = stores.next().expect("records live somewhere");
    let log = stores.next();
    let spinner = spinner(&format!("asking {place}"));
    let Asked { mut told, report, profile, has_cluster } = ask::store(&place, &reached, is_thorough, &runtime).await?;
    let mut fit = if log.is_some() { report.fit_for_data() } else { report.fit_for_log() }
        .map_err(|unfit| anyhow!(rights::unfit(&unfit, profile)));
    if log.is_some() {
        told.notes.push("the log lives elsewhere: a write takes as long as one to both stores".to_owned());
    }
    // A directory is locked by the broker that has its log there.
    let bucket_of_log = log.filter(|(place, _)| place.is_bucket());
    if let Some((place, reached)) = &bucket_of_log {
        spinner.set_message(format!("asking {place}"));
        let asked = ask::store(place, reached, is_thorough, &runtime).await?;
        let of_log = asked.report.fit_for_log().map_err(|unfit| rights::unfit(&unfit, asked.profile));
        fit = fit.and(of_log.map_err(|unfit| anyhow!("the store of the log, {place}: {unfit}")));
        told.log = Some(Box::new(asked.told));
    }
    if let Some((place, reached)) = places::replica(settings, &access) {
        let copy = ask::replica(&place, &reached, &runtime).await?;
        if !copy.is_readable && (has_cluster || !copy.is_absent) {
            fit = fit.and(Err(anyhow!("the read replica {place}: {}", copy.reason)));
        }
        told.read_replica = Some(copy);
    }
    spinner.finish_and_clear();
    match output::Format::of(matches) {
        output::Format::Json => output::json(&told)?,
        output::Format::Table => {
            print(&told, &place, profile)?;
            if let (Some(told), Some((place, reached))) = (&told.log, &bucket_of_log) {
                let profile = place.profile(reached).map_err(anyhow::Error::from)?;
                output::bytes(b"\nThe log: ")?;
                print(told, place, profile)?;
            }
            output::bytes(told.read_replica.map(|copy| format!("\n{}", copy.text())).unwrap_or_default().as_bytes())?;
        }
    }
    fit.map_err(|unfit| Failure::new(Exit::StoreUnusable, unfit))
}

/// What a person reads of one store.
fn print(told: &Told, place: &Location, profile: &Profile) -> Result<(), Failure> {
    output::bytes(told.text().as_bytes())?;
    if let (false, Some(all)) = (told.missing_permissions.is_empty(), rights::all(place, profile)) {
        output::bytes(format!("- {all}\n").as_bytes())?;
    }
    Ok(())
}

async fn run_bench(settings: &Settings, matches: &ArgMatches) -> Result<(), Failure> {
    let plan = plan(matches)?;
    let (store, runtime) = opened(settings)?;
    // Before anything is measured: that takes its time.
    let unwritable = |path: &str, error| Failure::from(anyhow::anyhow!("cannot write {path}: {error}"));
    let picture = match matches.get_one::<String>("plot") {
        Some(path) => Some((path, File::create(path).map_err(|error| unwritable(path, error))?)),
        None => None,
    };
    let spinner = spinner("writing");
    let measured = bench::run(store, runtime, plan.clone(), |operation, number| {
        spinner.set_message(format!("{operation} {number}"));
    })
    .await;
    spinner.finish_and_clear();
    let size = plan.size;
    let summaries: Vec<_> = [("put", &measured.put), ("get", &measured.get)]
        .into_iter()
        .filter_map(|(operation, phase)| phase.summary(operation, size))
        .collect();
    output::rows(output::Format::of(matches), &summaries)?;
    if let Some((path, mut file)) = picture {
        let title = format!("{}: objects of {size} bytes, {} at a time", places::location(settings), plan.concurrency);
        file.write_all(plot::svg(&title, &measured, size).as_bytes()).map_err(|error| unwritable(path, error))?;
    }
    if let Some(left) = measured.left_behind {
        return Err(anyhow::anyhow!("what was written is still there: {left}").into());
    }
    if summaries.len() < 2 {
        Err(Failure::new(Exit::StoreUnusable, anyhow::anyhow!("nothing was written or read")))
    } else {
        Ok(())
    }
}

fn plan(matches: &ArgMatches) -> Result<bench::Plan, Failure> {
    let size = |name| Ok::<_, Failure>(parsed(matches, name, Size::parse)?.map(Size::bytes));
    let duration = parsed(matches, "duration", Duration::parse)?.unwrap_or(Duration::from_secs(60));
    if duration.is_zero() {
        return Err(usage("--duration must be longer than nothing"));
    }
    let (bytes, bytes_max) = (size("size")?.unwrap_or(1 << 20), size("total")?.unwrap_or(4 << 30));
    if !(1..=OBJECT_BYTES_MAX).contains(&bytes) || bytes > bytes_max {
        return Err(usage("--size must be from 1 byte to 1 GiB, and not above --total"));
    }
    let concurrency = super::arguments::number(matches, "concurrency")?.unwrap_or(4);
    if !(1..=CONCURRENCY_MAX).contains(&concurrency) {
        return Err(usage(format!("--concurrency must be from 1 to {CONCURRENCY_MAX}")));
    }
    Ok(bench::Plan { duration, size: usize::try_from(bytes).unwrap_or(usize::MAX), concurrency, bytes_max })
}

/// A line on stderr while something goes on; drawn only where that is a terminal.
fn spinner(said: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed_precise} {spinner} {msg}").expect("the template is a constant");
    let bar = ProgressBar::new_spinner().with_style(style).with_message(said.to_owned());
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
