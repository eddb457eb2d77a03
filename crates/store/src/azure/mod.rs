//! Containers of Azure Blob Storage, in Azure's own language.
//!
//! A create that finds a blob is answered with 409 `BlobAlreadyExists`. Blobs are written by one Put Blob each. Credentials
//! are an account's key, a shared access signature, an identity of Entra (a workload's token, or an application's secret), or,
//! only when a setting asks for it, the machine's managed identity.

mod identity;

use std::{path::PathBuf, sync::Arc, time::Duration};

use kafscale_runtime::{BoxFuture, Handle};
use object_store::{
    RetryConfig,
    azure::{AzureAccessKey, AzureCredential, MicrosoftAzureBuilder, split_sas},
    client::HttpService,
};
use reqwest::{Client, Url};

use crate::{
    CloudStore, NotOffered, Observer, Secret, StoreSettings, TlsSettings, TransportError,
    cloud::{
        self,
        attempt::Connector,
        files::{read_secret, read_stable},
        keys::{Keys, Lease, Source},
        wire::Wire,
    },
    profile::{Dialect, Profile, WrongProfile},
};
use identity::{Entra, Managed, Proof};

/// How often a file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How to reach a container.
#[derive(Debug, Clone, Default)]
pub struct AzureSettings {
    /// `AZURE_STORAGE_ACCOUNT_NAME`.
    pub account: Option<String>,
    /// `AZURE_STORAGE_ACCOUNT_KEY`.
    pub key: Option<Secret>,
    /// `AZURE_STORAGE_SAS_TOKEN`.
    pub sas: Option<Secret>,
    /// A file with the key or the signature, or a directory with files named as these variables. Read again and again.
    pub credentials: Option<PathBuf>,
    /// `AZURE_STORAGE_ENDPOINT`; the account's own host if absent. An emulator's ends with the account.
    pub endpoint: Option<String>,
    /// `AZURE_TENANT_ID`.
    pub tenant_id: Option<String>,
    /// `AZURE_CLIENT_ID`.
    pub client_id: Option<String>,
    /// `AZURE_CLIENT_SECRET`.
    pub client_secret: Option<Secret>,
    /// `AZURE_FEDERATED_TOKEN_FILE`, for a workload's identity.
    pub federated_token_file: Option<PathBuf>,
    /// `AZURE_AUTHORITY_HOST`; Entra of the public cloud if absent.
    pub authority_host: Option<String>,
    /// Whether the machine's metadata service may be asked for a managed identity.
    pub instance_metadata: bool,
    /// `AZURE_POD_IDENTITY_AUTHORITY_HOST`: where that is, if it is not where it is on every machine of Azure's.
    pub pod_identity_authority_host: Option<String>,
    /// `IDENTITY_ENDPOINT`, where a platform gives the managed identity; with the next one.
    pub identity_endpoint: Option<String>,
    /// `IDENTITY_HEADER`.
    pub identity_header: Option<Secret>,
}

/// Why the settings do not lead to a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AzureSettingsError {
    /// Whose container it is is not known.
    #[error("no account for the container: set AZURE_STORAGE_ACCOUNT_NAME")]
    NoAccount,
    /// Credentials are missing.
    #[error(
        "no credentials for the container: set AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, KAFSCALE_STORE_CREDENTIALS, or \
         AZURE_TENANT_ID and AZURE_CLIENT_ID with AZURE_FEDERATED_TOKEN_FILE or AZURE_CLIENT_SECRET, or allow \
         KAFSCALE_INSTANCE_METADATA"
    )]
    NoCredentials,
    /// The key or the signature is not in the form that Azure gives.
    #[error("{0} is not in the form that Azure gives")]
    Malformed(&'static str),
    /// Where tokens are asked for is not a usable URL.
    #[error("{0} is not usable: it must begin with http:// or https:// and hold no query")]
    Address(&'static str),
    /// The endpoint is not a usable URL.
    #[error("AZURE_STORAGE_ENDPOINT is not usable: it must begin with http:// or https://, and hold no query")]
    Endpoint,
    /// The profile that was asked for speaks another language.
    #[error(transparent)]
    Profile(#[from] WrongProfile),
    /// A wish that Azure does not grant.
    #[error(transparent)]
    Writing(#[from] NotOffered),
    /// TLS.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The client could not be built.
    #[error("cannot set up the client for the container: {0}")]
    Client(String),
}

/// A client for `container`, whose names get `prefix` and a slash in front (none if it is empty). Sends nothing.
pub fn open(
    container: &str,
    prefix: &str,
    settings: &StoreSettings,
    runtime: Handle,
    observer: Arc<dyn Observer>,
) -> Result<CloudStore, AzureSettingsError> {
    let http = settings.tls.client()?;
    through(Arc::new(Wire(http.clone())), http, container, prefix, settings, runtime, observer)
}

/// The same over an HTTP client of the caller's, so that a test may stand between this store and its server.
#[cfg(feature = "testing")]
pub fn over(
    wire: Arc<dyn HttpService>,
    container: &str,
    prefix: &str,
    settings: &StoreSettings,
    runtime: Handle,
    observer: Arc<dyn Observer>,
) -> Result<CloudStore, AzureSettingsError> {
    through(wire, settings.tls.client()?, container, prefix, settings, runtime, observer)
}

/// `wire` is for requests to the store, `http` for those to Entra.
fn through(
    wire: Arc<dyn HttpService>,
    http: Client,
    container: &str,
    prefix: &str,
    settings: &StoreSettings,
    runtime: Handle,
    observer: Arc<dyn Observer>,
) -> Result<CloudStore, AzureSettingsError> {
    let azure = &settings.azure;
    let profile = Profile::choose(Dialect::Azure, "", settings.profile)?;
    let headers = settings.writing.headers(profile)?;
    let connector = Connector::new(wire, runtime.clone());
    let clock = connector.clock();
    let account = present(azure.account.as_deref()).ok_or(AzureSettingsError::NoAccount)?;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(container)
        .with_allow_http(true)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_http_connector(connector);
    if let Some(endpoint) = present(azure.endpoint.as_deref()) {
        let endpoint = plain_url(endpoint).ok_or(AzureSettingsError::Endpoint)?;
        builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/').to_owned());
    }
    let keys = azure.keys(&settings.tls, &http, &runtime)?;
    let client = builder.with_credentials(keys.credentials).build();
    let client = client.map_err(|error| AzureSettingsError::Client(error.to_string()))?;
    let parts = cloud::Parts {
        client: Box::new(client),
        prefix: prefix.to_owned(),
        profile,
        place: format!("{}/{account}/{container}", azure.endpoint.as_deref().unwrap_or_default()),
        headers,
        keys: keys.renewal,
        whose: keys.whose,
        request_timeout: settings.request_timeout,
        clock,
    };
    Ok(CloudStore::new(parts, runtime, observer))
}

fn present(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// A URL to which a path may be added; it holds no password.
fn plain_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let nobody = url.username().is_empty() && url.password().is_none();
    let plain = nobody && url.query().is_none() && url.fragment().is_none() && url.has_host();
    (plain && matches!(url.scheme(), "http" | "https")).then_some(url)
}

impl AzureSettings {
    /// Chooses the first kind that the settings name. Nothing is fetched yet.
    fn keys(
        &self,
        tls: &TlsSettings,
        http: &Client,
        runtime: &Handle,
    ) -> Result<Keys<AzureCredential>, AzureSettingsError> {
        let secret = |secret: &Option<Secret>| present(secret.as_ref().map(Secret::reveal)).map(str::to_owned);
        if let Some(key) = secret(&self.key) {
            let key = account_key(&key).ok_or(AzureSettingsError::Malformed("AZURE_STORAGE_ACCOUNT_KEY"))?;
            return Ok(Keys::fixed(key, "the account's key"));
        }
        if let Some(sas) = secret(&self.sas) {
            let sas = signature(&sas).ok_or(AzureSettingsError::Malformed("AZURE_STORAGE_SAS_TOKEN"))?;
            return Ok(Keys::fixed(sas, "a shared access signature"));
        }
        if let Some(path) = &self.credentials {
            return Ok(Keys::kept(Files { path: path.clone() }, format!("the key in {}", path.display()), runtime));
        }
        let (tenant, client_id) = (present(self.tenant_id.as_deref()), present(self.client_id.as_deref()));
        let file = self.federated_token_file.clone().map(Proof::File);
        let proof = file.or_else(|| secret(&self.client_secret).map(|text| Proof::Secret(text.into())));
        if let (Some(tenant), Some(client), Some(proof)) = (tenant, client_id, proof) {
            let authority = present(self.authority_host.as_deref());
            let whose = format!("the application {client}");
            return Ok(Keys::kept(Entra::new(http, authority, (tenant, client), proof, runtime)?, whose, runtime));
        }
        if self.instance_metadata {
            let header = secret(&self.identity_header).map(Secret::from);
            let platform = present(self.identity_endpoint.as_deref()).zip(header);
            let machine = present(self.pod_identity_authority_host.as_deref());
            let managed = Managed::new(tls.direct_client()?, platform, machine, client_id, runtime)?;
            return Ok(Keys::kept(managed, "the managed identity", runtime));
        }
        Err(AzureSettingsError::NoCredentials)
    }
}

fn account_key(text: &str) -> Option<AzureCredential> {
    AzureAccessKey::try_new(text).ok().map(AzureCredential::AccessKey)
}

fn signature(text: &str) -> Option<AzureCredential> {
    split_sas(text).ok().filter(|pairs| pairs.iter().any(|(key, _)| key == "sig")).map(AzureCredential::SASToken)
}

/// A file, or a mounted Secret.
struct Files {
    path: PathBuf,
}

impl Source<AzureCredential> for Files {
    fn name(&self) -> &str {
        "files"
    }

    fn fetch(&self, _anew: bool) -> BoxFuture<'_, Result<Lease<AzureCredential>, String>> {
        Box::pin(async move {
            let text = read_stable(|| {
                let names = ["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN", "accountKey"];
                let inside = names.map(|name| self.path.join(name)).into_iter().find(|path| path.exists());
                read_secret(inside.as_ref().unwrap_or(&self.path))
            })?;
            let credential = signature(&text).or_else(|| account_key(&text));
            let credential = credential.ok_or("neither an account's key nor a shared access signature")?;
            Ok(Lease { credential: credential.into(), renew_after: LOOK_EVERY, valid_for: None })
        })
    }
}

#[cfg(test)]
mod tests;
