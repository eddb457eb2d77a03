//! How stores are reached. Read from flags and environment by the binary.

use std::time::Duration;

use crate::{AzureSettings, GcsSettings, S3Settings, TlsSettings, Writing, profile::Provider};

/// Everything that opening a store needs besides its location.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// The profile to use instead of the one that the endpoint tells.
    pub profile: Option<Provider>,
    /// Limit for one request; bodies add a second for each 256 KiB.
    pub request_timeout: Duration,
    /// For `s3:`.
    pub s3: S3Settings,
    /// For `gs:`.
    pub gcs: GcsSettings,
    /// For `az:`.
    pub azure: AzureSettings,
    /// Towards any of them.
    pub tls: TlsSettings,
    /// What is asked for with every write.
    pub writing: Writing,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            profile: None,
            request_timeout: Duration::from_secs(30),
            s3: S3Settings::default(),
            gcs: GcsSettings::default(),
            azure: AzureSettings::default(),
            tls: TlsSettings::default(),
            writing: Writing::default(),
        }
    }
}
