//! The stores that a broker is made on: where they are, how they are reached, and which combinations cannot work.

use std::sync::Arc;

use anyhow::anyhow;
use kafscale_broker::{
    Stores,
    metrics::{Metrics, StoreRole},
};
use kafscale_runtime::Handle;
use kafscale_store::{
    Location, MemoryStore, NoObserver, Paced, Rates, Secret, Store, StoreSettings, Writing,
    profile::{ConditionalCreate, Limits},
};

use super::wishes;
use crate::{
    exit::{Exit, Failure},
    settings::Settings,
};

/// Where records live, and the log if it has no store of its own; a directory by its absolute path, so that whoever reads it
/// finds it.
pub fn location(settings: &Settings) -> Location {
    whole(settings.store.clone().unwrap_or_else(|| Location::Directory(settings.data.clone())))
}

/// Where the log lives, if not with the records.
pub fn log_location(settings: &Settings) -> Option<Location> {
    settings.log.clone().map(whole)
}

/// The stores of records and of the log, and how each is reached.
pub fn reached(settings: &Settings, access: StoreSettings) -> Vec<(Location, StoreSettings)> {
    let log = log(settings, &access);
    [(location(settings), access)].into_iter().chain(log).collect()
}

/// What is asked for with every write of records, and is not with those to the log: its store does not offer it.
pub fn not_asked_of_log(settings: &Settings, access: &StoreSettings) -> Vec<&'static str> {
    log_location(settings).map(|log| access_to_log(settings, &log, access).1).unwrap_or_default()
}

fn whole(location: Location) -> Location {
    match location {
        Location::Directory(path) => Location::Directory(std::path::absolute(&path).unwrap_or(path)),
        elsewhere => elsewhere,
    }
}

/// Opens them all. `access` says how the store of the records is reached.
pub fn open(
    settings: &Settings,
    access: &StoreSettings,
    runtime: &Handle,
    metrics: &Arc<Metrics>,
) -> Result<Stores, Failure> {
    let open = |location: &Location, access: &StoreSettings, role| {
        let store =
            kafscale_store::open(location, access, runtime.clone(), metrics.of_store(role)).map_err(unusable)?;
        if !location.is_bucket() {
            return Ok(store);
        }
        let profile = location.profile(access).map_err(unusable)?;
        tracing::info!(store = %location, profile = %profile.provider, identity = store.identity(), "using the bucket");
        Ok::<Arc<dyn Store>, Failure>(Arc::new(Paced::new(store, runtime.clone(), rates(profile.limits))))
    };
    let (location, log) = (location(settings), log(settings, access));
    match &log {
        Some((log, access)) if !can_hold_a_log(log, access)? => {
            return Err(unusable(anyhow!(
                "the store {log} cannot create an object only if it is absent, and --log needs one that can: a directory \
                 (file:DIR), or a bucket at another provider"
            )));
        }
        None if !can_hold_a_log(&location, access)? => {
            return Err(unusable(anyhow!(
                "the store {location} cannot create an object only if it is absent, so it cannot hold the log: name another \
                 store for the log with --log, such as --log file:DIR"
            )));
        }
        _ => {}
    }
    let mut stores = Stores::from(open(&location, access, StoreRole::Data)?);
    stores.log = log.map(|(log, access)| open(&log, &access, StoreRole::Log)).transpose()?;
    if let Some((replica, access)) = replica(settings, access) {
        stores.mirror = Some(open(&replica, &access, StoreRole::Replica)?);
    }
    Ok(stores)
}

/// Opens those of the records and of the log to look at them: nothing can be written, and a directory is not locked.
pub fn open_read_only(settings: &Settings, access: &StoreSettings, runtime: &Handle) -> Result<Stores, Failure> {
    let open = |location: &Location, access: &StoreSettings| {
        let observer = Arc::new(NoObserver);
        let store = kafscale_store::open_read_only(location, access, runtime.clone(), observer).map_err(unusable)?;
        if !location.is_bucket() {
            return Ok(store);
        }
        let rates = rates(location.profile(access).map_err(unusable)?.limits);
        Ok::<Arc<dyn Store>, Failure>(Arc::new(Paced::new(store, runtime.clone(), rates)))
    };
    let mut stores = Stores::from(open(&location(settings), access)?);
    stores.log = match log(settings, access) {
        // One that is lost is empty.
        Some((Location::Directory(path), _)) if !path.exists() => Some(Arc::new(MemoryStore::new())),
        log => log.map(|(log, access)| open(&log, &access)).transpose()?,
    };
    Ok(stores)
}

/// Opens that of the records alone, which may know no create-if-absent.
pub fn open_data(settings: &Settings, access: &StoreSettings, runtime: &Handle) -> Result<Stores, Failure> {
    let location = location(settings);
    let observer = Arc::new(NoObserver);
    let store = kafscale_store::open(&location, access, runtime.clone(), observer).map_err(unusable)?;
    if !location.is_bucket() {
        return Ok(store.into());
    }
    let rates = rates(location.profile(access).map_err(unusable)?.limits);
    let paced: Arc<dyn Store> = Arc::new(Paced::new(store, runtime.clone(), rates));
    Ok(paced.into())
}

/// The log's store, if it is one of its own, and how it is reached.
fn log(settings: &Settings, access: &StoreSettings) -> Option<(Location, StoreSettings)> {
    let log = log_location(settings)?;
    let reached = access_to_log(settings, &log, access).0;
    Some((log, reached))
}

/// How the log's store is reached, and what is not asked of it (see [`wishes`]).
fn access_to_log(settings: &Settings, log: &Location, access: &StoreSettings) -> (StoreSettings, Vec<&'static str>) {
    let other = Other {
        endpoint: &settings.log_endpoint_url,
        region: &settings.log_region,
        access_key_id: &settings.log_access_key_id,
        secret_access_key: &settings.log_secret_access_key,
    };
    let records = location(settings);
    let mut reached = other.access(&records, log, access);
    let mut left_out = Vec::new();
    // What is said beside a directory of records is said of the log's bucket; and a directory can be asked for nothing. A
    // profile that does not fit its store is refused when that is opened.
    if records.is_bucket()
        && log.is_bucket()
        && let (Ok(here), Ok(there)) = (records.profile(access), log.profile(&reached))
    {
        (reached.writing, left_out) = wishes::granted(&access.writing, here, there);
    }
    (reached, left_out)
}

/// The read replica, if there is one, and how it is reached. Nothing is written to it, so nothing is asked for with that.
pub fn replica(settings: &Settings, access: &StoreSettings) -> Option<(Location, StoreSettings)> {
    let replica = settings.read_replica.clone().map(whole)?;
    let other = Other {
        endpoint: &settings.read_replica_endpoint_url,
        region: &settings.read_replica_region,
        access_key_id: &settings.read_replica_access_key_id,
        secret_access_key: &settings.read_replica_secret_access_key,
    };
    let reached = other.access(&location(settings), &replica, access);
    Some((replica, StoreSettings { writing: Writing::default(), ..reached }))
}

/// Where a provider counts all requests together, writes and reads get a half each.
fn rates(limits: Limits) -> Rates {
    let half = limits.total.map(|total| total / 2);
    Rates { writes: limits.writes.or(half), reads: limits.reads.or(half) }
}

fn unusable(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(Exit::StoreUnusable, error)
}

fn can_hold_a_log(location: &Location, access: &StoreSettings) -> Result<bool, Failure> {
    let profile = location.profile(access).map_err(unusable)?;
    Ok(profile.conditional_create != ConditionalCreate::None)
}

/// What is said of another bucket; the rest is as with the first.
struct Other<'a> {
    endpoint: &'a Option<String>,
    region: &'a Option<String>,
    access_key_id: &'a Option<String>,
    secret_access_key: &'a Option<Secret>,
}

impl Other<'_> {
    /// How the store at `place` is reached, where the one at `records` is reached as `first` says.
    fn access(&self, records: &Location, place: &Location, first: &StoreSettings) -> StoreSettings {
        let mut access = first.clone();
        if records.is_bucket() && access.profile.is_some_and(|profile| !place.fits(profile)) {
            // It is said of the store of the records, which is of another kind.
            access.profile = None;
        }
        if self.endpoint.is_some() {
            // Another provider perhaps, which its host name tells; neither profile nor region of the first say anything of it.
            (access.profile, access.s3.region) = (None, None);
            access.s3.endpoint.clone_from(self.endpoint);
        }
        if self.region.is_some() {
            access.s3.region.clone_from(self.region);
        }
        if self.access_key_id.is_some() {
            access.s3.access_key_id.clone_from(self.access_key_id);
            access.s3.secret_access_key.clone_from(self.secret_access_key);
            // No other identity than these keys.
            access.s3.session_token = None;
            access.s3.credentials = None;
            access.s3.role_arn = None;
            access.s3.web_identity_token_file = None;
            access.s3.container_credentials_uri = None;
            access.s3.instance_metadata = false;
        }
        access
    }
}

#[cfg(test)]
mod tests {
    use kafscale_store::S3Settings;

    use super::*;
    use crate::settings;

    #[test]
    fn the_bucket_of_the_log_is_reached_in_its_own_way() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let lines =
            ["store = \"s3://records/a\"", "log = \"s3://log\"", "log-endpoint-url = \"http://127.0.0.1:9000\""];
        std::fs::write(file.path(), lines.join("\n")).expect("it is written");
        let settings = settings::of_file(file.path()).expect("they are settings");
        let reached = reached(&settings, StoreSettings::default());
        let told = reached.iter().map(|(place, access)| (place.to_string(), access.s3.endpoint.as_deref()));
        let log = ("s3://log".to_owned(), Some("http://127.0.0.1:9000"));
        assert_eq!(told.collect::<Vec<_>>(), [("s3://records/a".to_owned(), None), log]);
    }

    #[test]
    fn what_is_not_said_of_another_bucket_is_as_with_the_first() {
        let s3 = S3Settings {
            access_key_id: Some("first".into()),
            region: Some("here".into()),
            endpoint: Some(B2.into()),
            ..S3Settings::default()
        };
        let first = StoreSettings { s3, ..StoreSettings::default() };
        let (none, endpoint) = (None, Some("http://127.0.0.1:9000".to_owned()));
        let bucket: Location = "s3://bucket".parse().expect("a bucket");
        let same = Other { endpoint: &none, region: &none, access_key_id: &none, secret_access_key: &None };
        assert_eq!(same.access(&bucket, &bucket, &first).s3.region.as_deref(), Some("here"));
        let access = Other { endpoint: &endpoint, ..same }.access(&bucket, &bucket, &first);
        assert_eq!(access.s3.access_key_id.as_deref(), Some("first"));
        assert!(!can_hold_a_log(&bucket, &first).expect("it is known"));
        assert!(can_hold_a_log(&bucket, &access).expect("it is known"));
        assert_eq!((access.s3.endpoint, access.s3.region), (endpoint, None));
    }

    /// Names of settings and their values.
    type Lines = &'static [(&'static str, &'static str)];

    const B2: &str = "https://s3.us-west-004.backblazeb2.com";
    const R2: &str = "https://account.r2.cloudflarestorage.com";
    const GOOGLE: &str = "https://storage.googleapis.com";
    const GATEWAY: &str = "http://127.0.0.1:9";
    const LOG: (&str, &str) = ("log", "s3://log");
    const LOG_ON_R2: (&str, &str) = ("log-endpoint-url", R2);
    const REPLICA: (&str, &str) = ("read-replica", "s3://copy");
    const SSE: &str = "encryption on request (sse-s3)";
    const KMS: &str = "encryption with a key of the records' provider (sse-kms)";
    const CLASS: &str = "the storage class";

    /// Settings as a file says them, a line each, with keys for every kind of store.
    fn of(lines: &[String]) -> Settings {
        let keys = [
            ("aws-access-key-id", "id"),
            ("aws-secret-access-key", "secret"),
            ("azure-storage-account-name", "account"),
            ("azure-storage-account-key", "c2VjcmV0"),
            ("storage-emulator-host", "http://127.0.0.1:9"),
        ];
        let keys = keys.map(|(name, value)| format!("{name} = \"{value}\"\n"));
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), keys.concat() + &lines.join("\n")).expect("it is written");
        settings::of_file(file.path()).expect("they are settings")
    }

    #[tokio::test]
    async fn pairs_of_stores_are_opened_whatever_is_asked_of_the_first_alone() {
        let runtime = kafscale_runtime::TokioRuntime::handle();
        // The store of the records and what is said of it; the log or the replica; what is not asked of the log.
        let table: &[(Lines, Lines, &[&str])] = &[
            (&[("aws-endpoint-url", B2), ("store-encryption", "sse-s3")], &[LOG, LOG_ON_R2], &[SSE]),
            (&[("aws-endpoint-url", B2), ("store-encryption", "sse-s3")], &[("log", "gs://log")], &[SSE]),
            (&[("store-profile", "gcs"), ("aws-endpoint-url", GOOGLE)], &[("log", "gs://log")], &[]),
            (&[("store-profile", "azure"), ("aws-endpoint-url", GATEWAY)], &[("log", "az://log")], &[]),
            (&[("store-class", "STANDARD_IA")], &[("log", "az://log")], &[CLASS]),
            (&[("store-class", "STANDARD_IA")], &[LOG, LOG_ON_R2], &[]),
            (&[("store-class", "STANDARD_IA")], &[LOG, ("log-endpoint-url", "http://minio:9000")], &[CLASS]),
            (&[("store-tags", "a=b"), ("store-encryption", "sse-kms:key")], &[LOG], &[]),
            (
                &[("store-tags", "a=b"), ("store-encryption", "sse-kms:key")],
                &[LOG, ("log-endpoint-url", "http://minio:9000")],
                &[KMS],
            ),
            (&[("store-tags", "a=b")], &[LOG, LOG_ON_R2], &["tags"]),
            (&[("store-tags", "a=b")], &[("log", "file:LOG")], &[]),
            (&[("store-tags", "a=b")], &[REPLICA, ("read-replica-endpoint-url", R2)], &[]),
            (&[("store-class", "STANDARD_IA"), ("store-profile", "aws")], &[("read-replica", "gs://copy")], &[]),
        ];
        for (said, other, left_out) in table {
            let dir = tempfile::tempdir().expect("a directory");
            let log = format!("file:{}", dir.path().display());
            let lines = [("store", "s3://records")].iter().chain(*said).chain(*other);
            let lines: Vec<_> =
                lines.map(|(name, value)| format!("{name} = \"{}\"", value.replace("file:LOG", &log))).collect();
            let settings = of(&lines);
            let access = crate::serve::access::access(&settings);
            let opened = open(&settings, &access, &runtime, &Arc::default());
            assert!(opened.is_ok(), "{said:?} {other:?}: {:?}", opened.err().map(|failure| failure.error));
            assert_eq!(not_asked_of_log(&settings, &access), *left_out, "{said:?} {other:?}");
            let replica = replica(&settings, &access).map(|(_, access)| access.writing);
            assert!(replica.is_none_or(|writing| writing == Writing::default()), "{said:?} {other:?}");
        }
    }

    #[tokio::test]
    async fn beside_a_directory_wishes_are_of_the_log() {
        let runtime = kafscale_runtime::TokioRuntime::handle();
        let dir = tempfile::tempdir().expect("a directory");
        let records = format!("store = \"file:{}\"", dir.path().display());
        let log = ["log = \"s3://log\"".to_owned(), format!("log-endpoint-url = \"{R2}\"")];
        let settings = of(&[&[records, "store-tags = \"a=b\"".to_owned()], &log[..]].concat());
        let opened = open(&settings, &crate::serve::access::access(&settings), &runtime, &Arc::default());
        let error = opened.err().expect("it has no tags").error.to_string();
        assert_eq!(error, "r2 does not offer tags");
    }
}
