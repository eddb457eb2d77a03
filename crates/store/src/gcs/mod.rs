//! Buckets of Google Cloud Storage, in Google's own language (the XML API with OAuth).
//!
//! A create asks for generation 0 and is answered with 412 where an object is. Credentials are a file of a service account,
//! of a user, or of a workload that another cloud vouches for, or, only when a setting asks for it, the machine's metadata
//! service (which is also what a workload identity of GKE is).

mod federated;
mod metadata;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use kafscale_runtime::Handle;
use object_store::{
    RetryConfig,
    client::HttpService,
    gcp::{GcpCredential, GoogleCloudStorageBuilder},
};
use reqwest::{Client, Url};

use crate::{
    CloudStore, NotOffered, Observer, StoreSettings, TlsSettings, TransportError,
    cloud::{
        self,
        attempt::Connector,
        files::read_secret,
        keys::{Keys, Provided},
        wire::Wire,
    },
    profile::{Dialect, Profile, WrongProfile},
};
use federated::Federated;
use metadata::Metadata;

/// Google's own endpoint.
const GOOGLE: &str = "https://storage.googleapis.com";

/// How to reach a bucket.
#[derive(Debug, Clone, Default)]
pub struct GcsSettings {
    /// `GOOGLE_APPLICATION_CREDENTIALS`, a JSON file of Google's.
    pub credentials: Option<PathBuf>,
    /// `STORAGE_EMULATOR_HOST`: another endpoint than Google's. Without credentials it is asked without.
    pub endpoint: Option<String>,
    /// Whether the machine's metadata service may be asked.
    pub instance_metadata: bool,
    /// `GCE_METADATA_HOST`, `HOST` or `HOST:PORT`: where that is, if it is not where it is on every machine of Google's.
    pub metadata_host: Option<String>,
}

/// Why the settings do not lead to a bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GcsSettingsError {
    /// Credentials are missing.
    #[error("no credentials for the bucket: set GOOGLE_APPLICATION_CREDENTIALS, or allow KAFSCALE_INSTANCE_METADATA")]
    NoCredentials,
    /// The file of credentials cannot be used.
    #[error("GOOGLE_APPLICATION_CREDENTIALS: {0}")]
    Credentials(String),
    /// The endpoint is not a usable URL.
    #[error("STORAGE_EMULATOR_HOST is not usable: it must be HOST:PORT, or begin with http:// or https://")]
    Endpoint,
    /// The host of the metadata service is none.
    #[error("GCE_METADATA_HOST is not usable: it must be HOST or HOST:PORT")]
    MetadataHost,
    /// The profile that was asked for speaks another language.
    #[error(transparent)]
    Profile(#[from] WrongProfile),
    /// A wish that Google does not grant.
    #[error(transparent)]
    Writing(#[from] NotOffered),
    /// TLS.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The client could not be built.
    #[error("cannot set up the client for the bucket: {0}")]
    Client(String),
}

/// A client for `bucket`, whose names get `prefix` and a slash in front (none if it is empty). Sends nothing.
pub fn open(
    bucket: &str,
    prefix: &str,
    settings: &StoreSettings,
    runtime: Handle,
    observer: Arc<dyn Observer>,
) -> Result<CloudStore, GcsSettingsError> {
    let http = settings.tls.client()?;
    through(Arc::new(Wire(http.clone())), http, bucket, prefix, settings, runtime, observer)
}

/// The same over an HTTP client of the caller's, so that a test may stand between this store and its server.
#[cfg(feature = "testing")]
pub fn over(
    wire: Arc<dyn HttpService>,
    bucket: &str,
    prefix: &str,
    settings: &StoreSettings,
    runtime: Handle,
    observer: Arc<dyn Observer>,
) -> Result<CloudStore, GcsSettingsError> {
    through(wire, settings.tls.client()?, bucket, prefix, settings, runtime, observer)
}

/// `wire` is for requests to the store, `http` for those to who gives credentials.
fn through(
    wire: Arc<dyn HttpService>,
    http: Client,
    bucket: &str,
    prefix: &str,
    settings: &StoreSettings,
    runtime: Handle,
    observer: Arc<dyn Observer>,
) -> Result<CloudStore, GcsSettingsError> {
    let gcs = &settings.gcs;
    let profile = Profile::choose(Dialect::Gcs, "", settings.profile)?;
    let headers = settings.writing.headers(profile)?;
    let connector = Connector::new(wire, runtime.clone());
    let clock = connector.clock();
    let base_url = gcs.base_url()?;
    let builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_base_url(&base_url)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_http_connector(connector);
    let keys = gcs.keys(&builder, &settings.tls, &http, &runtime)?;
    let client = builder.with_credentials(keys.credentials).build();
    let client = client.map_err(|error| GcsSettingsError::Client(error.to_string()))?;
    let parts = cloud::Parts {
        client: Box::new(client),
        prefix: prefix.to_owned(),
        profile,
        place: format!("{base_url}/{bucket}"),
        headers,
        keys: keys.renewal,
        whose: keys.whose,
        request_timeout: settings.request_timeout,
        clock,
    };
    Ok(CloudStore::new(parts, runtime, observer))
}

impl GcsSettings {
    fn other_endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref().filter(|text| !text.is_empty())
    }

    fn base_url(&self) -> Result<String, GcsSettingsError> {
        let Some(text) = self.other_endpoint() else { return Ok(GOOGLE.to_owned()) };
        // Google's own clients take a bare host, and mean plain http.
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&text).map_err(|_| GcsSettingsError::Endpoint)?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.has_host();
        match url.scheme() {
            "http" | "https" if plain => Ok(url.as_str().trim_end_matches('/').to_owned()),
            _ => Err(GcsSettingsError::Endpoint),
        }
    }

    /// Chooses the first kind that the settings name. Nothing is fetched yet.
    fn keys(
        &self,
        builder: &GoogleCloudStorageBuilder,
        tls: &TlsSettings,
        http: &Client,
        runtime: &Handle,
    ) -> Result<Keys<GcpCredential>, GcsSettingsError> {
        if let Some(path) = &self.credentials {
            let whose = format!("the credentials in {}", path.display());
            if kind_of(path).map_err(GcsSettingsError::Credentials)? == "external_account" {
                let federated = Federated { path: path.clone(), client: http.clone() };
                return Ok(Keys::kept(federated, whose, runtime));
            }
            let builder = builder.clone().with_application_credentials(path.display().to_string());
            let provided = Provided::new("Google", move || Ok(builder.clone().build()?.credentials().clone()));
            return Ok(Keys::kept(provided, whose, runtime));
        }
        if self.instance_metadata {
            let host = self.metadata_host.as_deref().filter(|host| !host.is_empty());
            let url = metadata::address(host).ok_or(GcsSettingsError::MetadataHost)?;
            let source = Metadata { client: tls.direct_client()?, url, runtime: runtime.clone() };
            return Ok(Keys::kept(source, "the machine's service account", runtime));
        }
        if self.other_endpoint().is_some() {
            return Ok(Keys::fixed(GcpCredential { bearer: String::new() }, "nobody, as emulators take it"));
        }
        Err(GcsSettingsError::NoCredentials)
    }
}

/// What sort of credentials a file of Google's holds.
fn kind_of(path: &Path) -> Result<String, String> {
    let json: serde_json::Value =
        serde_json::from_str(&read_secret(path)?).map_err(|_| format!("{} is no JSON", path.display()))?;
    match json.get("type").and_then(|kind| kind.as_str()) {
        Some(kind @ ("service_account" | "authorized_user" | "external_account")) => Ok(kind.to_owned()),
        _ => Err(format!("{} is not of the type service_account, authorized_user or external_account", path.display())),
    }
}

#[cfg(test)]
mod tests;
