//! Which profile a store has: by the name that was given, else by scheme and host.

use super::{Dialect, PROFILES, Profile, Provider};

/// A profile that does not fit the location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store profile {wanted} does not fit a store of the kind {} (use one of {})", dialect.scheme(), fitting(*dialect))]
pub struct WrongProfile {
    wanted: Provider,
    dialect: Dialect,
}

impl Profile {
    /// The profile of a store that is spoken to in `dialect` at `host` (empty: the dialect's own), or the one `wanted`.
    pub fn choose(dialect: Dialect, host: &str, wanted: Option<Provider>) -> Result<&'static Self, WrongProfile> {
        match wanted {
            Some(wanted) if wanted.profile().dialect == dialect => Ok(wanted.profile()),
            Some(wanted) => Err(WrongProfile { wanted, dialect }),
            None => Ok(Self::of(dialect, host).profile()),
        }
    }

    fn of(dialect: Dialect, host: &str) -> Provider {
        match dialect {
            Dialect::Directory => Provider::Local,
            Dialect::Memory => Provider::Memory,
            Dialect::Gcs => Provider::GcsNative,
            Dialect::Azure => Provider::AzureNative,
            Dialect::S3 if host.is_empty() => Provider::Aws,
            Dialect::S3 => of_s3_host(&host.to_ascii_lowercase()),
        }
    }

    /// The region that this host stands for, else the provider's usual one.
    pub fn region_of(&self, host: &str) -> String {
        let host = host.to_ascii_lowercase();
        let label = self
            .hosts
            .iter()
            .filter(|_| self.region_in_host)
            .find_map(|end| host.strip_suffix(end)?.strip_suffix('.')?.rsplit('.').find(|label| *label != "vpce"));
        // `s3.amazonaws.com` and `s3.wasabisys.com` stand for the default.
        label.filter(|label| !matches!(*label, "" | "s3" | "s3-accelerate")).unwrap_or(self.region_default).to_owned()
    }
}

fn of_s3_host(host: &str) -> Provider {
    let ends_with = |end: &str| host.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let known = PROFILES
        .iter()
        .filter(|profile| profile.dialect == Dialect::S3)
        .find(|profile| profile.hosts.iter().any(|end| ends_with(end)));
    if let Some(profile) = known {
        return profile.provider;
    }
    // Inside a cluster a host is the name of a service: that of the compatibility page's manifests.
    match host.split('.').next().unwrap_or_default() {
        "minio-gateway" => Provider::Azure,
        first if first == "minio" || first.starts_with("minio-") => Provider::Minio,
        _ => Provider::GenericS3,
    }
}

impl Dialect {
    /// The beginning of its locations.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3:",
            Self::Gcs => "gs:",
            Self::Azure => "az:",
            Self::Directory => "file:",
            Self::Memory => "memory:",
        }
    }
}

fn fitting(dialect: Dialect) -> String {
    let names: Vec<_> =
        PROFILES.iter().filter(|profile| profile.dialect == dialect).map(|profile| profile.provider.as_str()).collect();
    names.join(", ")
}
