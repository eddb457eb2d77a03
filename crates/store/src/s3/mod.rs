//! Buckets that speak S3: their addresses, keys and signatures. What a request is and means is in `cloud`.
//!
//! Keys come from where the settings say; no request ever goes to a machine's metadata service unless a setting asks for
//! it. Payloads are signed with SHA-256, which every provider checks or ignores but none refuses, or, where the profile
//! says so, carry a CRC-64 over TLS.

mod credentials;
mod rules;
mod settings;

use std::sync::Arc;

use kafscale_runtime::Handle;
use object_store::{
    RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum},
    client::HttpService,
};

use reqwest::Client;

use crate::{
    CloudStore, Encryption, Observer, StoreSettings,
    cloud::{self, attempt::Connector, wire::Wire},
    profile::Integrity,
};
pub use rules::{BucketRules, LifecycleRule, bucket_rules};
pub use settings::{S3Settings, S3SettingsError};

/// A client for `bucket`, whose names get `prefix` and a slash in front (none if it is empty). Sends nothing.
pub fn open(
    bucket: &str,
    prefix: &str,
    settings: &StoreSettings,
    runtime: Handle,
    observer: Arc<dyn Observer>,
) -> Result<CloudStore, S3SettingsError> {
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
) -> Result<CloudStore, S3SettingsError> {
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
) -> Result<CloudStore, S3SettingsError> {
    let checked = settings.s3.check(bucket, settings.profile)?;
    let profile = checked.profile;
    let headers = settings.writing.headers(profile)?;
    let keys = settings.s3.keys(&checked.region, &settings.tls, &http, &runtime)?;
    let connector = Connector::new(wire, runtime.clone());
    let clock = connector.clock();
    let place = format!("{}/{bucket}", checked.endpoint);
    let encrypted = checked.endpoint.starts_with("https:");
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(checked.region)
        .with_endpoint(checked.endpoint)
        .with_virtual_hosted_style_request(checked.virtual_hosted)
        .with_allow_http(true)
        .with_credentials(keys.credentials)
        .with_disable_bulk_delete(profile.bulk_delete.is_none())
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_http_connector(connector);
    if profile.integrity == Integrity::Crc64OverTls && encrypted {
        builder = builder.with_unsigned_payload(true).with_checksum_algorithm(Checksum::CRC64NVME);
    }
    match &settings.writing.encryption {
        None => {}
        Some(Encryption::Store) => {
            let key: AmazonS3ConfigKey = "aws_server_side_encryption".parse().expect("object_store knows this key");
            builder = builder.with_config(key, "AES256");
        }
        Some(Encryption::Kms(key)) => builder = builder.with_sse_kms_encryption(key),
    }
    let client = builder.build().map_err(|error| S3SettingsError::Client(error.to_string()))?;
    let parts = cloud::Parts {
        client: Box::new(client),
        prefix: prefix.to_owned(),
        profile,
        place,
        headers,
        keys: keys.renewal,
        whose: keys.whose,
        request_timeout: settings.request_timeout,
        clock,
    };
    Ok(CloudStore::new(parts, runtime, observer))
}

#[cfg(test)]
mod tests;
