//! Asking the stores of the settings for `kafscale storage probe`: each in the way in which a broker reaches it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use kafscale_broker::cluster::{
    MARKER, MARKER_BYTES_MAX, Probed,
    noted::{self, Noted},
};
use kafscale_runtime::Handle;
use kafscale_store::{
    Location, NoObserver, Observer, ReadError, ReadRange, Request, Store, StoreSettings,
    probe::{Plan, Report, probe},
    profile::Profile,
    s3::bucket_rules,
};
use serde::Serialize;

use super::{advice, report::Told};
use crate::exit::{Exit, Failure};

/// Counts requests.
#[derive(Default)]
pub struct Count(AtomicU64);

impl Observer for Count {
    fn request(&self, _request: &Request) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What came of it.
pub struct Asked {
    /// In the form that is printed.
    pub told: Told,
    /// The checks.
    pub report: Report,
    /// What was assumed of it.
    pub profile: &'static Profile,
    /// Whether a cluster lives there already.
    pub has_cluster: bool,
}

/// Asks a store everything, and leaves the result in the marker of the cluster that it holds.
pub async fn store(
    place: &Location,
    access: &StoreSettings,
    is_thorough: bool,
    runtime: &Handle,
) -> Result<Asked, Failure> {
    let unusable = |error| Failure::new(Exit::StoreUnusable, error);
    let count = Arc::new(Count::default());
    let profile = place.profile(access).map_err(unusable)?;
    let observer = Arc::clone(&count) as Arc<dyn Observer>;
    let store = kafscale_store::open(place, access, runtime.clone(), observer).map_err(unusable)?;
    let before = if store.facts().exclusive { Ok(None) } else { noted::read_once(&*store).await };
    let plan = if is_thorough { Plan::THOROUGH } else { Plan::usual(store.facts()) };
    let report = probe(&*store, runtime, plan).await;
    let mut notes = rules_of(place, access, runtime).await;
    notes.extend(advice::of_profile(profile, access.profile.is_some()));
    let has_cluster = matches!(before, Ok(Some(_)));
    match before {
        Ok(Some(before)) => notes.push(note(&*store, runtime, &before, &report, &plan).await),
        Err(error) if report.is_answered() => {
            notes.push(format!("whether a cluster lives here is not known, so none has the result: {error}"));
        }
        Ok(None) | Err(_) => {}
    }
    let told = Told::of(place.to_string(), profile, &report, count.0.load(Ordering::Relaxed), notes);
    let told = Told { identity: store.identity().map(str::to_owned), ..told };
    Ok(Asked { told, report, profile, has_cluster })
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
async fn rules_of(place: &Location, access: &StoreSettings, runtime: &Handle) -> Vec<String> {
    let Location::S3 { bucket, prefix } = place else { return Vec::new() };
    match bucket_rules(bucket, access, runtime).await {
        Ok(rules) => advice::of_rules(&rules, prefix),
        Err(error) => vec![error.to_string()],
    }
}

/// Whether a read replica can be read.
#[derive(Debug, Serialize)]
pub struct Copy {
    /// Which store.
    pub store: String,
    /// Whether the marker of a cluster could be read there, without which a broker leaves it alone.
    pub is_readable: bool,
    /// Whether that is because nothing is there, which is as it should be before the first start of a broker.
    pub is_absent: bool,
    /// Why not; empty if it can.
    pub reason: String,
}

/// Reads the marker of a read replica, once.
pub async fn replica(place: &Location, access: &StoreSettings, runtime: &Handle) -> Result<Copy, Failure> {
    let opened = kafscale_store::open_read_only(place, access, runtime.clone(), Arc::new(NoObserver));
    let store = opened.map_err(|error| Failure::new(Exit::StoreUnusable, error))?;
    let range = ReadRange::At { start: 0, len: MARKER_BYTES_MAX };
    let read = store.get(MARKER, range).await;
    let is_absent = matches!(read, Err(ReadError::NotFound(_)));
    let reason = read.err().map(|error| format!("{MARKER}: {error}"));
    let (is_readable, reason) = (reason.is_none(), reason.unwrap_or_default());
    Ok(Copy { store: place.to_string(), is_readable, is_absent, reason })
}

impl Copy {
    /// The line for people.
    pub fn text(&self) -> String {
        if self.is_readable {
            format!("read replica {}: {MARKER} was read\n", self.store)
        } else {
            format!("read replica {}: not used until it can be read: {}\n", self.store, self.reason)
        }
    }
}
