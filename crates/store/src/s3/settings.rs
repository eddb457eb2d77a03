//! Where a bucket is and how to prove who we are. Read from flags and environment by the binary.

use std::path::PathBuf;

use reqwest::Url;

use crate::{
    NotOffered, Secret, TransportError, masked,
    profile::{Addressing, Dialect, Profile, Provider, WrongProfile},
};

/// How to reach a bucket that speaks S3.
#[derive(Debug, Clone, Default)]
pub struct S3Settings {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: Option<Secret>,
    /// `AWS_SESSION_TOKEN`, for temporary keys.
    pub session_token: Option<Secret>,
    /// A directory with a file per variable (a mounted Secret), or a file of the AWS command line. Read again and again.
    pub credentials: Option<PathBuf>,
    /// `AWS_ROLE_ARN`, for IRSA with the next three.
    pub role_arn: Option<String>,
    /// `AWS_WEB_IDENTITY_TOKEN_FILE`.
    pub web_identity_token_file: Option<PathBuf>,
    /// `AWS_ROLE_SESSION_NAME`.
    pub role_session_name: Option<String>,
    /// `AWS_ENDPOINT_URL_STS`; that of the region if absent.
    pub sts_endpoint: Option<String>,
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI`, for EKS pod identity with the next one.
    pub container_credentials_uri: Option<String>,
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`.
    pub container_token_file: Option<PathBuf>,
    /// Whether the machine's metadata service may be asked.
    pub instance_metadata: bool,
    /// `AWS_EC2_METADATA_SERVICE_ENDPOINT`; where it is on every machine of AWS if absent.
    pub metadata_endpoint: Option<String>,
    /// `AWS_REGION`; if absent the one in the endpoint's host name, else the provider's usual one.
    pub region: Option<String>,
    /// `AWS_ENDPOINT_URL`, `http:` or `https:`; Amazon's endpoint of the region if absent.
    pub endpoint: Option<String>,
    /// `KAFSCALE_S3_PATH_STYLE`: the bucket in the path (`true`) or in the host name. If absent: in the path where an
    /// endpoint is given, in the host name on Amazon.
    pub path_style: Option<bool>,
}

/// Why the settings do not lead to a bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum S3SettingsError {
    /// Keys are missing.
    #[error(
        "no credentials for the bucket: set {0} (and AWS_SESSION_TOKEN if the keys are temporary), or KAFSCALE_STORE_CREDENTIALS, \
         or AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE, or AWS_CONTAINER_CREDENTIALS_FULL_URI, or allow \
         KAFSCALE_INSTANCE_METADATA"
    )]
    NoCredentials(&'static str),
    /// Where keys are asked for is not usable.
    #[error("{variable} is {address:?}: {why}")]
    Address {
        /// Which setting.
        variable: &'static str,
        /// As given.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// The endpoint is not a usable URL.
    #[error("AWS_ENDPOINT_URL is {endpoint:?}: {why}")]
    Endpoint {
        /// As given.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// The profile that was asked for speaks another language.
    #[error(transparent)]
    Profile(#[from] WrongProfile),
    /// A wish that the provider does not grant.
    #[error(transparent)]
    Writing(#[from] NotOffered),
    /// TLS.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The client could not be built.
    #[error("cannot set up the client for the bucket: {0}")]
    Client(String),
}

/// Settings that were checked, with the defaults filled in.
pub(crate) struct Checked {
    pub region: String,
    /// Without a bucket in its path, with it in its host if that is the style; no slash at the end.
    pub endpoint: String,
    pub virtual_hosted: bool,
    pub profile: &'static Profile,
}

impl S3Settings {
    /// The host of the endpoint; empty without one.
    pub(crate) fn host(&self) -> Result<String, S3SettingsError> {
        let given = self.endpoint.as_deref().filter(|text| !text.is_empty()).map(parse_endpoint).transpose()?;
        Ok(given.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned())
    }

    pub(crate) fn check(&self, bucket: &str, wanted: Option<Provider>) -> Result<Checked, S3SettingsError> {
        let present = |text: &&String| !text.is_empty();
        let given = self.endpoint.as_ref().filter(present).map(|text| parse_endpoint(text)).transpose()?;
        let host = given.as_ref().and_then(Url::host_str).unwrap_or_default();
        let profile = Profile::choose(Dialect::S3, host, wanted)?;
        if let Some(endpoint) =
            given.as_ref().filter(|url| profile.tls_alone && url.scheme() == "http" && is_of(url, profile))
        {
            let why = format!("{} is spoken to over https: alone", profile.provider);
            return Err(S3SettingsError::Endpoint { endpoint: endpoint.to_string(), why });
        }
        let region = self.region.as_ref().filter(present).cloned().unwrap_or_else(|| profile.region_of(host));
        let in_path = given.is_some() || profile.addressing == Addressing::Path || bucket.contains('.');
        let virtual_hosted = !self.path_style.unwrap_or(in_path);
        let mut endpoint = match given {
            Some(given) => given,
            None => parse_endpoint(&format!("https://s3.{region}.amazonaws.com"))?,
        };
        if virtual_hosted {
            put_in_host(&mut endpoint, bucket)?;
        }
        Ok(Checked { region, endpoint: endpoint.as_str().trim_end_matches('/').to_owned(), virtual_hosted, profile })
    }
}

/// Whether this is the provider's own host, and no test's or gateway's.
fn is_of(url: &Url, profile: &Profile) -> bool {
    let host = url.host_str().unwrap_or_default();
    profile.hosts.iter().any(|end| host.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

fn parse_endpoint(text: &str) -> Result<Url, S3SettingsError> {
    let fault = |why: &str| S3SettingsError::Endpoint { endpoint: masked(text), why: why.to_owned() };
    let begins = ["http://", "https://"].iter().any(|scheme| text.to_ascii_lowercase().starts_with(scheme));
    if !begins {
        return Err(fault("it must begin with http:// or https:// and name a host"));
    }
    let url = Url::parse(text).map_err(|error| fault(&error.to_string()))?;
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
        let checked = S3Settings { endpoint, path_style, ..settings() }.check("logs", None)?;
        Ok((checked.endpoint, checked.virtual_hosted))
    }

    #[test]
    fn secrets_are_not_printed() {
        let token = Some("hush".to_owned().into());
        let text = format!("{:?}", S3Settings { session_token: token, ..settings() });
        assert!(text.contains("(secret)") && !text.contains("hush"), "{text}");
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
        for text in [
            "127.0.0.1:9000",
            "ftp://host",
            "https://",
            "http://host/?x=1",
            "http://me:hush@host",
            "http://me:hu/sh@host",
            "http://host/?sig=hush",
        ] {
            let error = endpoint(text, None).err().unwrap().to_string();
            assert!(
                error.starts_with("AWS_ENDPOINT_URL is ") && !error.contains("hush") && !error.contains("sh@"),
                "{error}"
            );
        }
        for text in ["127.0.0.1:9000", "localhost:9000", "minio", "ftp://host"] {
            let error = endpoint(text, None).err().unwrap().to_string();
            assert!(error.contains("must begin with http:// or https://"), "{error}");
        }
    }

    #[test]
    fn b2_over_http_is_refused() {
        let error = endpoint("http://s3.us-west-004.backblazeb2.com", None).expect_err("it takes TLS alone");
        assert!(error.to_string().contains("b2 is spoken to over https: alone"), "{error}");
        assert!(endpoint("https://s3.us-west-004.backblazeb2.com", None).is_ok());
    }

    #[test]
    fn a_region_is_not_needed() {
        let region = |endpoint: Option<&str>, region: Option<&str>| {
            let (endpoint, region) = (endpoint.map(str::to_owned), region.map(str::to_owned));
            S3Settings { endpoint, region, ..settings() }.check("logs", None).map(|checked| checked.region).unwrap()
        };
        assert_eq!(region(None, None), "us-east-1");
        assert_eq!(region(None, Some("eu-west-1")), "eu-west-1");
        assert_eq!(region(Some("https://s3.us-west-004.backblazeb2.com"), None), "us-west-004");
        assert_eq!(region(Some("https://s3.us-west-004.backblazeb2.com"), Some("x")), "x");
    }
}
