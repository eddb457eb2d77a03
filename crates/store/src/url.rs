//! Where a store is, as people write it: `file:PATH`, `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`,
//! `memory:`.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

use kafscale_runtime::Handle;

use crate::{
    DirectoryStore, MemoryStore, Observed, Observer, Store,
    azure::{self, AzureSettingsError},
    directory::{OpenDirectoryError, ReadOnly, ReadOnlyDirectory},
    gcs::{self, GcsSettingsError},
    masked, name,
    profile::{Dialect, Profile, Provider},
    s3::{self, S3SettingsError},
    settings::StoreSettings,
};

/// A store's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A local directory.
    Directory(PathBuf),
    /// A bucket that speaks S3, or the part of it below a prefix (empty: all of it).
    S3 {
        /// The bucket.
        bucket: String,
        /// Without slashes at its ends.
        prefix: String,
    },
    /// A bucket of Google Cloud Storage, in Google's own language.
    Gcs {
        /// The bucket.
        bucket: String,
        /// Without slashes at its ends.
        prefix: String,
    },
    /// A container of Azure Blob Storage.
    Azure {
        /// The container; the account is a setting.
        container: String,
        /// Without slashes at its ends.
        prefix: String,
    },
    /// This process's memory.
    Memory,
}

/// Why a text is no place of a store. What may be secret in it is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store {text:?} {why}")]
pub struct BadLocation {
    text: String,
    why: String,
}

impl FromStr for Location {
    type Err = BadLocation;

    fn from_str(text: &str) -> Result<Self, BadLocation> {
        let bad = |why: String| BadLocation { text: masked(text), why };
        let supported = "is not supported: give file:PATH, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or memory:";
        let Some((scheme, rest)) = text.split_once(':') else { return Err(bad(supported.to_owned())) };
        match scheme {
            "memory" if rest.is_empty() || rest == "//" => Ok(Self::Memory),
            "memory" => Err(bad("names a place, but memory: has none".to_owned())),
            "file" => parse_path(rest).map(Self::Directory).map_err(bad),
            "s3" => parse_bucket(rest).map(|(bucket, prefix)| Self::S3 { bucket, prefix }).map_err(bad),
            "gs" => parse_bucket(rest).map(|(bucket, prefix)| Self::Gcs { bucket, prefix }).map_err(bad),
            "az" => parse_bucket(rest).map(|(container, prefix)| Self::Azure { container, prefix }).map_err(bad),
            _ => Err(bad(supported.to_owned())),
        }
    }
}

/// `PATH`, `///path` or `//localhost/path`.
fn parse_path(rest: &str) -> Result<PathBuf, String> {
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(absolute) if absolute.starts_with('/') => absolute,
        Some(remote) => match remote.strip_prefix("localhost") {
            Some(absolute) if absolute.starts_with('/') => absolute,
            _ => return Err("names a host: write file:PATH or file:///PATH".to_owned()),
        },
    };
    if path.is_empty() { Err("has no path: write file:PATH".to_owned()) } else { Ok(path.into()) }
}

fn parse_bucket(rest: &str) -> Result<(String, String), String> {
    let rest = rest.strip_prefix("//").ok_or("has no bucket: write SCHEME://BUCKET/PREFIX")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_matches('/');
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    let edge = |char: char| char.is_ascii_alphanumeric();
    let valid = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(allowed)
        && bucket.starts_with(edge)
        && bucket.ends_with(edge);
    if !valid {
        return Err("has no valid bucket: 3 to 63 lower-case letters, digits, '.', '-' or '_'".to_owned());
    }
    if !prefix.is_empty() {
        // The prefix is not repeated: a signature may have got into it.
        let rule = "has an unusable prefix: 512 ASCII letters, digits, '.', '-' and '_' between single slashes at most";
        name::check(prefix).map_err(|_| rule)?;
    }
    Ok((bucket.to_owned(), prefix.to_owned()))
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(formatter, "file:{}", path.display()),
            Self::S3 { bucket, prefix } => write_bucket(formatter, "s3", bucket, prefix),
            Self::Gcs { bucket, prefix } => write_bucket(formatter, "gs", bucket, prefix),
            Self::Azure { container, prefix } => write_bucket(formatter, "az", container, prefix),
            Self::Memory => formatter.write_str("memory:"),
        }
    }
}

fn write_bucket(formatter: &mut fmt::Formatter<'_>, scheme: &str, bucket: &str, prefix: &str) -> fmt::Result {
    let slash = if prefix.is_empty() { "" } else { "/" };
    write!(formatter, "{scheme}://{bucket}{slash}{prefix}")
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory.
    #[error(transparent)]
    Directory(#[from] OpenDirectoryError),
    /// A bucket. Whether it exists and lets us in shows only at the first request.
    #[error(transparent)]
    S3(#[from] S3SettingsError),
    /// A bucket of Google's.
    #[error(transparent)]
    Gcs(#[from] GcsSettingsError),
    /// A container of Azure's.
    #[error(transparent)]
    Azure(#[from] AzureSettingsError),
}

impl Location {
    /// Whether a provider has it, and not this machine.
    pub fn is_bucket(&self) -> bool {
        !matches!(self, Self::Directory(_) | Self::Memory)
    }

    /// Whether a store there can have this profile.
    pub fn fits(&self, provider: Provider) -> bool {
        provider.profile().dialect == self.dialect()
    }

    fn dialect(&self) -> Dialect {
        match self {
            Self::Directory(_) => Dialect::Directory,
            Self::Memory => Dialect::Memory,
            Self::S3 { .. } => Dialect::S3,
            Self::Gcs { .. } => Dialect::Gcs,
            Self::Azure { .. } => Dialect::Azure,
        }
    }

    /// What is assumed of the store there, before it is opened.
    pub fn profile(&self, settings: &StoreSettings) -> Result<&'static Profile, OpenError> {
        let host = if let Self::S3 { .. } = self { settings.s3.host()? } else { String::new() };
        // A directory or memory is what it is, whatever a bucket beside it may be.
        let wanted = settings.profile.filter(|_| self.is_bucket());
        Ok(Profile::choose(self.dialect(), &host, wanted).map_err(S3SettingsError::from)?)
    }
}

/// Opens the store at a location. No request is sent to a bucket yet; a directory is made, locked and swept (blocking).
pub fn open(
    location: &Location,
    settings: &StoreSettings,
    runtime: Handle,
    observer: Arc<dyn Observer>,
) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match location {
        Location::Directory(path) => Arc::new(Observed::new(DirectoryStore::open(path)?, runtime, observer)),
        Location::Memory => Arc::new(Observed::new(MemoryStore::new(), runtime, observer)),
        Location::S3 { bucket, prefix } => Arc::new(s3::open(bucket, prefix, settings, runtime, observer)?),
        Location::Gcs { bucket, prefix } => Arc::new(gcs::open(bucket, prefix, settings, runtime, observer)?),
        Location::Azure { container, prefix } => Arc::new(azure::open(container, prefix, settings, runtime, observer)?),
    })
}

/// Opens the store at a location to look at it: a directory is neither made nor locked, and nothing can be written.
pub fn open_read_only(
    location: &Location,
    settings: &StoreSettings,
    runtime: Handle,
    observer: Arc<dyn Observer>,
) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match location {
        Location::Directory(path) => Arc::new(Observed::new(ReadOnlyDirectory::open(path)?, runtime, observer)),
        elsewhere => Arc::new(ReadOnly(open(elsewhere, settings, runtime, observer)?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(bucket: &str, prefix: &str) -> Location {
        Location::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() }
    }

    #[test]
    fn places_are_read_and_written() {
        for (text, location, canonical) in [
            ("memory:", Location::Memory, "memory:"),
            ("file:data", Location::Directory("data".into()), "file:data"),
            ("file:/srv/data", Location::Directory("/srv/data".into()), "file:/srv/data"),
            ("file:///srv/data", Location::Directory("/srv/data".into()), "file:/srv/data"),
            ("file://localhost/srv", Location::Directory("/srv".into()), "file:/srv"),
            ("s3://logs", s3("logs", ""), "s3://logs"),
            ("s3://logs/", s3("logs", ""), "s3://logs"),
            ("s3://logs/a/b/", s3("logs", "a/b"), "s3://logs/a/b"),
            ("gs://logs/a", Location::Gcs { bucket: "logs".to_owned(), prefix: "a".to_owned() }, "gs://logs/a"),
            ("az://logs/", Location::Azure { container: "logs".to_owned(), prefix: String::new() }, "az://logs"),
        ] {
            assert_eq!(text.parse(), Ok(location.clone()), "{text}");
            assert_eq!(location.to_string(), canonical);
            assert_eq!(canonical.parse(), Ok(location), "{canonical}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_a_reason() {
        for (text, reason) in [
            ("gs:bucket", "has no bucket"),
            ("az://", "no valid bucket"),
            ("abfs://container", "not supported: give file:PATH"),
            ("https://bucket", "not supported: give file:PATH"),
            ("/srv/data", "not supported: give file:PATH"),
            ("", "not supported: give file:PATH"),
            ("file:", "has no path"),
            ("file://host/path", "names a host"),
            ("s3:bucket", "has no bucket"),
            ("s3://", "no valid bucket"),
            ("s3://No", "no valid bucket"),
            ("s3://-bucket", "no valid bucket"),
            ("s3://bucket/a//b", "unusable prefix"),
            ("s3://bucket/a b", "unusable prefix"),
            ("memory:x", "memory: has none"),
        ] {
            let error = text.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        for text in
            ["s3://AKIA:hush@abc", "az://abc?sig=hush", "gs://abc/d?x=hush", "http://u:hush@abc", "file://u:hush@abc/d"]
        {
            let error = text.parse::<Location>().unwrap_err().to_string();
            assert!(!error.contains("hush") && error.contains("abc"), "{error}");
        }
    }
}
