//! `kafscale storage probe|bench`: what a bucket can do and how fast it is, before anything depends on it.

use std::{
    fs::File,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use clap::{ArgMatches, Command};
use indicatif::{ProgressBar, ProgressStyle};
use kafscale_broker::cluster::{
    MARKER, Probed,
    noted::{self, Noted},
};
use kafscale_runtime::{Handle, TokioRuntime};
use kafscale_store::{
    Location, Observer, Request, Store,
    probe::{Plan, Report, probe},
    profile::Profile,
    s3::bucket_rules,
};

use super::arguments::{one, parsed, switch, usage};
use crate::{
    exit::{Exit, Failure},
    output,
    serve::{access::access, places},
    settings::{
        self, Settings,
        value::{Size, Value},
    },
    storage::{advice, bench, plot, prices, report::Told, rights},
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
             of it: records, and the log unless --log puts it elsewhere.",
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

/// Counts requests.
#[derive(Default)]
struct Count(AtomicU64);

impl Observer for Count {
    fn request(&self, _request: &Request) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The store of the settings, without what serves it beside slow requests: a measurement is of single ones.
fn opened(settings: &Settings, count: &Arc<Count>) -> Result<(Arc<dyn Store>, &'static Profile, Handle), Failure> {
    let (runtime, access, place) = (TokioRuntime::handle(), access(settings), places::location(settings));
    let unusable = |error| Failure::new(Exit::StoreUnusable, error);
    let profile = place.profile(&access).map_err(unusable)?;
    let observer = Arc::clone(count) as Arc<dyn Observer>;
    let store = kafscale_store::open(&place, &access, runtime.clone(), observer).map_err(unusable)?;
    Ok((store, profile, runtime))
}

async fn run_probe(settings: &Settings, matches: &ArgMatches) -> Result<(), Failure> {
    let count = Arc::new(Count::default());
    let (store, profile, runtime) = opened(settings, &count)?;
    let place = places::location(settings);
    let spinner = spinner(&format!("asking {place}"));
    let before = if store.facts().exclusive { Ok(None) } else { noted::read_once(&*store).await };
    let plan = if matches.get_flag("thorough") { Plan::THOROUGH } else { Plan::usual(store.facts()) };
    let report = probe(&*store, &runtime, plan).await;
    let mut notes = rules_of(&place, settings, &runtime).await;
    notes.extend(advice::of_profile(profile, settings.store_profile.is_some()));
    match before {
        Ok(Some(before)) => notes.push(note(&*store, &runtime, &before, &report, &plan).await),
        Err(error) if report.is_answered() => {
            notes.push(format!("whether a cluster lives here is not known, so none has the result: {error}"));
        }
        Ok(None) | Err(_) => {}
    }
    spinner.finish_and_clear();
    let told = Told::of(place.to_string(), profile, &report, count.0.load(Ordering::Relaxed), notes);
    match output::Format::of(matches) {
        output::Format::Json => output::json(&told)?,
        output::Format::Table => {
            output::bytes(told.text().as_bytes())?;
            if let (false, Some(all)) = (told.missing_permissions.is_empty(), rights::all(&place, profile)) {
                output::bytes(format!("- {all}\n").as_bytes())?;
            }
        }
    }
    let fit = if settings.log.is_some() { report.fit_for_data() } else { report.fit_for_log() };
    fit.map_err(|unfit| Failure::new(Exit::StoreUnusable, anyhow::anyhow!(rights::unfit(&unfit, profile))))
}

/// Leaves the result in the marker of the cluster that the store holds; what came of that.
async fn note(store: &dyn Store, runtime: &Handle, before: &Bytes, report: &Report, plan: &Plan) -> String {
    if !report.is_answered() {
        return format!("{MARKER} stays as it is, since not all was answered");
    }
    let probed = Probed::of(report, plan, &**runtime, store.facts());
    match noted::note(store, &**runtime, before, probed).await {
        Noted::Yes => format!("the result is in {MARKER}"),
        Noted::Changed | Noted::NoMarker => format!("{MARKER} was written by somebody else meanwhile, and stays so"),
        Noted::Failed(reason) => format!("the result is not in {MARKER}: {reason}"),
    }
}

/// What a bucket does by itself, where it can be asked.
async fn rules_of(place: &Location, settings: &Settings, runtime: &Handle) -> Vec<String> {
    let Location::S3 { bucket, prefix } = place else { return Vec::new() };
    match bucket_rules(bucket, &access(settings), runtime).await {
        Ok(rules) => advice::of_rules(&rules, prefix),
        Err(error) => vec![error.to_string()],
    }
}

async fn run_bench(settings: &Settings, matches: &ArgMatches) -> Result<(), Failure> {
    let plan = plan(matches)?;
    let count = Arc::new(Count::default());
    let (store, _, runtime) = opened(settings, &count)?;
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
