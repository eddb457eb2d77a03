//! The HTTP client of a store: which authorities it trusts, with which certificate it proves itself, through which proxy.
//!
//! Plain http is spoken only to an endpoint that says `http:`; redirects are not followed. Proxies are those of
//! `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`. TLS is rustls with aws-lc-rs.
//!
//! HTTP/1.1 is spoken to everybody, so that a request that is sent again goes over another connection.
//!
//! A machine's metadata service and a container's agent are only there for this machine: no proxy can reach them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{RequestBuilder, Url, redirect::Policy};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{scheme, trust, words};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Idle connections are closed by us before load balancers do it under a request (their limits begin at 20 s).
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// A bundle of all public authorities has a quarter of this.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// An answer with keys is a page of text.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// TLS towards the store, and towards what gives credentials for it.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// Authorities to trust besides the system's, and servers' own certificates, in PEM.
    pub ca_bundle: Option<PathBuf>,
    /// Our certificate, with its chain, in PEM.
    pub client_certificate: Option<PathBuf>,
    /// Its key, in PEM.
    pub client_key: Option<PathBuf>,
}

/// Why there is no HTTP client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// A file cannot be used.
    #[error("cannot use {path} as {what}: {why}")]
    File {
        /// Which.
        path: String,
        /// For what.
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// One of certificate and key is missing.
    #[error("a client certificate and its key must be given together")]
    HalfIdentity,
    /// The client could not be built.
    #[error("cannot set up the client for the store: {0}")]
    Client(String),
}

impl TlsSettings {
    /// The client.
    pub(crate) fn client(&self) -> Result<reqwest::Client, TransportError> {
        self.builder()?.build().map_err(|error| TransportError::Client(with_causes(&error)))
    }

    /// One for what answers this machine alone, past all proxies.
    pub(crate) fn direct_client(&self) -> Result<reqwest::Client, TransportError> {
        self.builder()?.no_proxy().build().map_err(|error| TransportError::Client(with_causes(&error)))
    }

    /// The same with names looked up by the caller.
    #[cfg(feature = "testing")]
    pub fn client_resolving<R>(&self, names: std::sync::Arc<R>) -> Result<reqwest::Client, TransportError>
    where
        R: reqwest::dns::Resolve + 'static,
    {
        let client = self.builder()?.dns_resolver(names).build();
        client.map_err(|error| TransportError::Client(with_causes(&error)))
    }

    fn builder(&self) -> Result<reqwest::ClientBuilder, TransportError> {
        let bundle =
            self.ca_bundle.as_deref().map_or(Ok(Vec::new()), |path| certificates(path, "a bundle of authorities"))?;
        let tls = trust::config(bundle, self.identity()?).map_err(|error| TransportError::Client(error.to_string()))?;
        Ok(reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            // In HTTP/2 all requests share one connection: if it froze, hedges and repeats would freeze with it.
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent(concat!("kafscale/", env!("CARGO_PKG_VERSION"))))
    }

    fn identity(&self) -> Result<Option<trust::Identity>, TransportError> {
        let (certificate, key) = match (&self.client_certificate, &self.client_key) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (certificate, key),
            _ => return Err(TransportError::HalfIdentity),
        };
        let chain = certificates(certificate, "a client certificate")?;
        let what = "the key of a client certificate";
        let key = PrivateKeyDer::from_pem_slice(&read(key, what)?).map_err(|error| unusable(key, what, &error))?;
        Ok(Some((chain, key)))
    }
}

/// All certificates of a PEM file, at least one.
fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path, what)?).collect();
    match found {
        Ok(none) if none.is_empty() => Err(unusable(path, what, &"it holds no certificate")),
        found => found.map_err(|error| unusable(path, what, &error)),
    }
}

fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, TransportError> {
    let bytes = std::fs::metadata(path).map_err(|error| unusable(path, what, &error))?.len();
    if bytes > PEM_BYTES_MAX {
        return Err(unusable(path, what, &format!("{bytes} bytes are too many")));
    }
    std::fs::read(path).map_err(|error| unusable(path, what, &error))
}

fn unusable(path: &Path, what: &'static str, why: &dyn std::fmt::Display) -> TransportError {
    TransportError::File { path: path.display().to_string(), what, why: why.to_string() }
}

/// An error's text with those of its causes, which say what really happened; without queries, which may hold secrets.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut cause = Some(error);
    while let Some(current) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        let mut words = current.to_string();
        if let Some(url) = current.downcast_ref::<reqwest::Error>().and_then(reqwest::Error::url)
            && url.query().is_some()
        {
            let mut plain = url.clone();
            plain.set_query(None);
            words = words.replace(url.as_str(), plain.as_str());
        }
        text.push_str(&words);
        cause = current.source();
    }
    text
}

/// The text of a successful answer; anything else is an error that names the giver's own code, and no secret.
pub(crate) async fn answer(request: RequestBuilder) -> Result<String, String> {
    let failed = |error: reqwest::Error| {
        let text = with_causes(&error);
        let hint = scheme::of_failure(error.url().map(Url::scheme), &text);
        text + hint
    };
    let (client, request) = request.build_split();
    let request = request.map_err(|error| with_causes(&error))?;
    #[cfg(test)]
    assert_eq!(request.url().host_str(), Some("127.0.0.1"), "no test asks a machine's metadata service");
    let mut response = client.execute(request).await.map_err(failed)?;
    let status = response.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| with_causes(&error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err("an answer that is too long".to_owned());
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if status.is_success() {
        return Ok(text);
    }
    let code = words::text_of(&text, "Code").or_else(|| oauth_error(&text)).unwrap_or_default();
    let is_of_code = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
    let code: String = code.chars().filter(is_of_code).take(100).collect();
    Err(format!("HTTP {}{}{code}", status.as_u16(), if code.is_empty() { "" } else { " " }))
}

/// The code of a refusal in JSON: OAuth's `error`, or the `status` in Google's.
fn oauth_error(text: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let error = json.get("error")?;
    error.as_str().or_else(|| error.get("status")?.as_str()).map(str::to_owned)
}

/// A form's fields.
pub(crate) fn url_encoded(pairs: &[(&str, &str)]) -> String {
    let mut url = Url::parse("http://x").expect("it is a URL");
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}
