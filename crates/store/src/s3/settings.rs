//! Where a bucket is and how to prove who we are. Read from flags and environment by the binary.

use std::{fmt, time::Duration};

use reqwest::Url;

use super::profile::Profile;

/// The region that is signed with when none is given.
const DEFAULT_REGION: &str = "us-east-1";

/// How to reach a bucket.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: Option<Secret>,
    /// `AWS_SESSION_TOKEN`, for temporary keys.
    pub session_token: Option<Secret>,
    /// `AWS_REGION`; `us-east-1` if absent.
    pub region: Option<String>,
    /// `AWS_ENDPOINT_URL`, `http:` or `https:`; Amazon's endpoint of the region if absent.
    pub endpoint: Option<String>,
    /// `KAFSCALE_S3_PATH_STYLE`: the bucket in the path (`true`) or in the host name. If absent: in the path where an
    /// endpoint is given, in the host name on Amazon.
    pub path_style: Option<bool>,
    /// Limit for one request; bodies add a second for each 256 KiB.
    pub request_timeout: Duration,
}

impl Default for S3Settings {
    fn default() -> Self {
        Self {
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            region: None,
            endpoint: None,
            path_style: None,
            request_timeout: Duration::from_secs(30),
        }
    }
}

/// A text that must not reach logs or messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(secret)")
    }
}

/// Why the settings do not lead to a bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum S3SettingsError {
    /// Keys are missing. They are never looked for at the machine's metadata service.
    #[error("no credentials for the bucket: set {0} (and AWS_SESSION_TOKEN if the keys are temporary)")]
    NoCredentials(&'static str),
    /// The endpoint is not a usable URL.
    #[error("AWS_ENDPOINT_URL is {endpoint:?}: {why}")]
    Endpoint {
        /// As given.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// The HTTP client could not be built.
    #[error("cannot set up the client for the bucket: {0}")]
    Client(String),
}

/// Settings that were checked, with the defaults filled in.
pub(crate) struct Checked {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
    pub region: String,
    /// Without a bucket in its path, with it in its host if that is the style; no slash at the end.
    pub endpoint: String,
    pub virtual_hosted: bool,
    pub profile: Profile,
}

impl S3Settings {
    pub(crate) fn check(&self, bucket: &str) -> Result<Checked, S3SettingsError> {
        let present = |text: &&String| !text.is_empty();
        let access_key_id = self.access_key_id.as_ref().filter(present);
        let secret_access_key = self.secret_access_key.as_ref().filter(|secret| !secret.0.is_empty());
        let (access_key_id, secret_access_key) = match (access_key_id, secret_access_key) {
            (Some(id), Some(secret)) => (id.clone(), secret.clone()),
            (Some(_), None) => return Err(S3SettingsError::NoCredentials("AWS_SECRET_ACCESS_KEY")),
            (None, Some(_)) => return Err(S3SettingsError::NoCredentials("AWS_ACCESS_KEY_ID")),
            (None, None) => {
                return Err(S3SettingsError::NoCredentials("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"));
            }
        };
        let region = self.region.as_ref().filter(present).map_or(DEFAULT_REGION, String::as_str).to_owned();
        let given = self.endpoint.as_ref().filter(present);
        let virtual_hosted = !self.path_style.unwrap_or(given.is_some() || bucket.contains('.'));
        let amazon = format!("https://s3.{region}.amazonaws.com");
        let mut endpoint = parse_endpoint(given.unwrap_or(&amazon))?;
        let profile = Profile::of(endpoint.host_str().unwrap_or_default());
        if virtual_hosted {
            put_in_host(&mut endpoint, bucket)?;
        }
        Ok(Checked {
            access_key_id,
            secret_access_key,
            session_token: self.session_token.clone().filter(|token| !token.0.is_empty()),
            region,
            endpoint: endpoint.as_str().trim_end_matches('/').to_owned(),
            virtual_hosted,
            profile,
        })
    }
}

fn parse_endpoint(text: &str) -> Result<Url, S3SettingsError> {
    let fault = |why: &str| S3SettingsError::Endpoint { endpoint: text.to_owned(), why: why.to_owned() };
    let url = Url::parse(text).map_err(|error| fault(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(fault("it must begin with http:// or https:// and name a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Not repeated in the message: it holds a password.
        let why = "credentials do not belong into it".to_owned();
        return Err(S3SettingsError::Endpoint { endpoint: format!("{}://…", url.scheme()), why });
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(fault("it must not have a query or a fragment"));
    }
    Ok(url)
}

/// Puts the bucket in front of the host name, unless the user did.
fn put_in_host(endpoint: &mut Url, bucket: &str) -> Result<(), S3SettingsError> {
    let host = endpoint.host_str().unwrap_or_default().to_owned();
    let has_name = endpoint.domain().is_some();
    if !host.starts_with(&format!("{bucket}."))
        && (!has_name || endpoint.set_host(Some(&format!("{bucket}.{host}"))).is_err())
    {
        let why = format!("the bucket {bucket} cannot stand in front of this host name: use the path style");
        return Err(S3SettingsError::Endpoint { endpoint: endpoint.to_string(), why });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> S3Settings {
        S3Settings {
            access_key_id: Some("id".to_owned()),
            secret_access_key: Some("hush".to_owned().into()),
            ..S3Settings::default()
        }
    }

    fn endpoint(endpoint: &str, path_style: Option<bool>) -> Result<(String, bool), S3SettingsError> {
        let endpoint = (!endpoint.is_empty()).then(|| endpoint.to_owned());
        let checked = S3Settings { endpoint, path_style, ..settings() }.check("logs")?;
        Ok((checked.endpoint, checked.virtual_hosted))
    }

    #[test]
    fn secrets_are_not_printed() {
        let token = Some("hush".to_owned().into());
        let text = format!("{:?}", S3Settings { session_token: token, ..settings() });
        assert!(text.contains("(secret)") && !text.contains("hush"), "{text}");
    }

    #[test]
    fn missing_keys_are_named() {
        for (id, secret, named) in [
            (None, None, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
            (Some(""), Some(""), "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
            (Some("id"), None, "AWS_SECRET_ACCESS_KEY"),
            (None, Some("secret"), "AWS_ACCESS_KEY_ID"),
        ] {
            let settings = S3Settings {
                access_key_id: id.map(str::to_owned),
                secret_access_key: secret.map(|secret| secret.to_owned().into()),
                ..S3Settings::default()
            };
            assert_eq!(settings.check("logs").err(), Some(S3SettingsError::NoCredentials(named)));
        }
    }

    #[test]
    fn the_bucket_stands_where_the_style_says() {
        let given = |text: &str, style| Ok((text.to_owned(), style));
        assert_eq!(endpoint("", None), given("https://logs.s3.us-east-1.amazonaws.com", true));
        assert_eq!(endpoint("", Some(true)), given("https://s3.us-east-1.amazonaws.com", false));
        assert_eq!(endpoint("http://127.0.0.1:9000/", None), given("http://127.0.0.1:9000", false));
        assert_eq!(endpoint("https://nyc3.example.com", Some(false)), given("https://logs.nyc3.example.com", true));
        assert_eq!(
            endpoint("https://logs.nyc3.example.com", Some(false)),
            given("https://logs.nyc3.example.com", true)
        );
        assert!(endpoint("http://127.0.0.1:9000", Some(false)).is_err());
    }

    #[test]
    fn unusable_endpoints_are_explained() {
        for text in ["127.0.0.1:9000", "ftp://host", "https://", "http://host/?x=1", "http://me:hush@host"] {
            let error = endpoint(text, None).err().unwrap().to_string();
            assert!(error.starts_with("AWS_ENDPOINT_URL is ") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_region_is_not_needed() {
        assert_eq!(settings().check("logs").map(|checked| checked.region).ok().as_deref(), Some("us-east-1"));
    }
}
