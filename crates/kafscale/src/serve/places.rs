//! The stores that a broker is made on: where they are, how they are reached, and which combinations cannot work.

use std::sync::Arc;

use anyhow::anyhow;
use kafscale_broker::{
    Stores,
    metrics::{Metrics, StoreRole},
};
use kafscale_runtime::Handle;
use kafscale_store::{
    Location, MemoryStore, NoObserver, Paced, Rates, Secret, Store, StoreSettings,
    profile::{ConditionalCreate, Limits},
};

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
    let log = log_location(settings).map(|log| (log, access_to_log(settings, &access)));
    [(location(settings), access)].into_iter().chain(log).collect()
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
        if let Location::Directory(_) | Location::Memory = location {
            return Ok(store);
        }
        let rates = rates(location.profile(access).map_err(unusable)?.limits);
        Ok::<Arc<dyn Store>, Failure>(Arc::new(Paced::new(store, runtime.clone(), rates)))
    };
    let (location, log) = (location(settings), log_location(settings));
    let access_to_log = access_to_log(settings, access);
    match &log {
        Some(log) if !can_hold_a_log(log, &access_to_log)? => {
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
    stores.log = log.map(|log| open(&log, &access_to_log, StoreRole::Log)).transpose()?;
    if let Some(replica) = settings.read_replica.clone().map(whole) {
        let access_to_replica = Other {
            endpoint: &settings.read_replica_endpoint_url,
            region: &settings.read_replica_region,
            access_key_id: &settings.read_replica_access_key_id,
            secret_access_key: &settings.read_replica_secret_access_key,
        }
        .access(access);
        stores.mirror = Some(open(&replica, &access_to_replica, StoreRole::Replica)?);
    }
    Ok(stores)
}

/// Opens those of the records and of the log to look at them: nothing can be written, and a directory is not locked.
pub fn open_read_only(settings: &Settings, access: &StoreSettings, runtime: &Handle) -> Result<Stores, Failure> {
    let open = |location: &Location, access: &StoreSettings| {
        let observer = Arc::new(NoObserver);
        let store = kafscale_store::open_read_only(location, access, runtime.clone(), observer).map_err(unusable)?;
        if let Location::Directory(_) | Location::Memory = location {
            return Ok(store);
        }
        let rates = rates(location.profile(access).map_err(unusable)?.limits);
        Ok::<Arc<dyn Store>, Failure>(Arc::new(Paced::new(store, runtime.clone(), rates)))
    };
    let mut stores = Stores::from(open(&location(settings), access)?);
    let access_to_log = access_to_log(settings, access);
    stores.log = match log_location(settings) {
        // One that is lost is empty.
        Some(Location::Directory(path)) if !path.exists() => Some(Arc::new(MemoryStore::new())),
        log => log.map(|log| open(&log, &access_to_log)).transpose()?,
    };
    Ok(stores)
}

/// Opens that of the records alone, which may know no create-if-absent.
pub fn open_data(settings: &Settings, access: &StoreSettings, runtime: &Handle) -> Result<Stores, Failure> {
    let location = location(settings);
    let observer = Arc::new(NoObserver);
    let store = kafscale_store::open(&location, access, runtime.clone(), observer).map_err(unusable)?;
    if let Location::Directory(_) | Location::Memory = location {
        return Ok(store.into());
    }
    let rates = rates(location.profile(access).map_err(unusable)?.limits);
    let paced: Arc<dyn Store> = Arc::new(Paced::new(store, runtime.clone(), rates));
    Ok(paced.into())
}

fn access_to_log(settings: &Settings, access: &StoreSettings) -> StoreSettings {
    Other {
        endpoint: &settings.log_endpoint_url,
        region: &settings.log_region,
        access_key_id: &settings.log_access_key_id,
        secret_access_key: &settings.log_secret_access_key,
    }
    .access(access)
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
    fn access(&self, first: &StoreSettings) -> StoreSettings {
        let mut access = first.clone();
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
            endpoint: Some("https://s3.us-west-004.backblazeb2.com".into()),
            ..S3Settings::default()
        };
        let first = StoreSettings { s3, ..StoreSettings::default() };
        let (none, endpoint) = (None, Some("http://127.0.0.1:9000".to_owned()));
        let same = Other { endpoint: &none, region: &none, access_key_id: &none, secret_access_key: &None };
        assert_eq!(same.access(&first).s3.region.as_deref(), Some("here"));
        let elsewhere = Other { endpoint: &endpoint, ..same };
        let access = elsewhere.access(&first);
        assert_eq!((access.s3.endpoint, access.s3.region), (endpoint.clone(), None));
        assert_eq!(access.s3.access_key_id.as_deref(), Some("first"));
        let bucket: Location = "s3://bucket".parse().expect("a bucket");
        assert!(!can_hold_a_log(&bucket, &first).expect("it is known"));
        assert!(can_hold_a_log(&bucket, &elsewhere.access(&first)).expect("it is known"));
    }
}
