//! What is assumed of each provider of object storage: one [`Profile`] each, all of them in `table.rs`.
//!
//! A profile says how a provider is spoken to (addressing, region, signing), what it can do (create-if-absent, bulk
//! deletion, encryption, tags), how it must be treated (rate limits, hedging, versions that stay behind a deletion) and
//! what it costs. It is chosen by the location's scheme and the endpoint's host, or by name. It is an assumption: a store
//! that was asked knows better, and correctness never rests on a profile alone.

mod choose;
mod table;

use std::{fmt, str::FromStr, time::Duration};

use crate::Facts;

pub use choose::WrongProfile;
use table::PROFILES;

/// The providers, by the names that users write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "they are names")]
pub enum Provider {
    Aws,
    DigitalOcean,
    R2,
    B2,
    Wasabi,
    Linode,
    Vultr,
    Minio,
    /// Google's S3 dialect, with HMAC keys.
    Gcs,
    /// Google's own dialect.
    GcsNative,
    Oracle,
    Ibm,
    /// A gateway that speaks S3, with Azure behind it.
    Azure,
    /// Azure's own dialect.
    AzureNative,
    /// A directory of this machine.
    Local,
    Memory,
    /// Anything else that speaks S3.
    GenericS3,
}

/// In which language a store is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `s3:`
    S3,
    /// `gs:`
    Gcs,
    /// `az:`
    Azure,
    /// `file:`
    Directory,
    /// `memory:`
    Memory,
}

/// One provider's ways.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// Whose.
    pub provider: Provider,
    /// In which language.
    pub dialect: Dialect,
    /// The ends of its endpoints' host names, whole labels (`digitaloceanspaces.com`).
    pub hosts: &'static [&'static str],
    /// Where the bucket stands unless a setting says otherwise.
    pub addressing: Addressing,
    /// The region that is signed with where none is given.
    pub region_default: &'static str,
    /// Whether it is spoken to over TLS alone: then an endpoint of plain http is a mistake.
    pub tls_alone: bool,
    /// Whether the label before the end of the host is the region (`nyc3.digitaloceanspaces.com`).
    pub region_in_host: bool,
    /// Whether a create that finds an object fails, also among racing creates.
    pub conditional_create: ConditionalCreate,
    /// How a body is protected on its way up.
    pub integrity: Integrity,
    /// Deletion of many objects in one request, where it is known.
    pub bulk_delete: Option<BulkDelete>,
    /// What it takes before it slows us down.
    pub limits: Limits,
    /// Its answers to writes that mean something else than the rule in `outcome.rs` would say.
    pub answers: &'static [Special],
    /// Whether a slow PUT may be repeated under its name while the first is under way.
    pub may_hedge_puts: bool,
    /// Days for which an object is billed however early it is deleted (the standard class).
    pub storage_days_min: u32,
    /// What stays behind a deletion or an overwrite.
    pub after_delete: AfterDelete,
    /// Whether temporary keys with a session token are taken.
    pub session_tokens: bool,
    /// What may be asked for with a write.
    pub options: Options,
    /// What it costs.
    pub prices: Prices,
    /// A PUT's usual latency, to begin with.
    pub put_latency_hint: Duration,
}

/// Where the bucket is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// In the path.
    Path,
    /// In front of the host name.
    VirtualHosted,
}

/// Whether create-if-absent (`If-None-Match: *` and its like) can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionalCreate {
    /// Documented or measured.
    Native,
    /// It has to be tried on the very store.
    Probe,
    /// Refused or, worse, ignored: the log must live elsewhere, and `create` refuses.
    None,
}

/// How a body is protected on its way up. Records carry checksums of their own besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integrity {
    /// Its SHA-256 is part of the signature.
    SignedPayload,
    /// Its CRC-64/NVME is in a header, and the payload is unsigned; over TLS only, else as above. A quarter of the CPU.
    Crc64OverTls,
    /// As the native dialect does it: TLS.
    Transport,
}

/// Deletion of many objects by one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkDelete {
    /// How many may be named.
    pub names_max: usize,
    /// What the request must carry to be accepted. We send both, always.
    pub needs: Digest,
}

/// A digest of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// None is demanded.
    None,
    /// `Content-MD5` or any `x-amz-checksum-*`.
    Any,
    /// `Content-MD5`, or a checksum that is not CRC-32.
    Md5OrSha256,
    /// `Content-MD5`.
    Md5,
}

/// Requests per second before a provider answers 503 or 429; `None`: no figure is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Writes and listings.
    pub writes: Option<u32>,
    /// Reads.
    pub reads: Option<u32>,
    /// Of all kinds together.
    pub total: Option<u32>,
    /// Writes of one name.
    pub writes_per_name: Option<u32>,
    /// Whose requests are counted together.
    pub scope: Scope,
}

/// Whose requests count towards one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Those below one prefix, which the provider divides as load grows.
    Prefix,
    /// Those of one bucket.
    #[default]
    Bucket,
    /// Those of one account or subscription, over all its buckets.
    Account,
    /// Those of one client address.
    Client,
}

/// An answer that means something of its own at one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Special {
    /// The HTTP status.
    pub status: u16,
    /// The code in the error's body; empty: whatever it is.
    pub code: &'static str,
    /// What it says of the write.
    pub means: Means,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// Nothing was applied; later it may be.
    Later,
    /// It may have been applied.
    Unknown,
    /// The name is taken, or another write to it is under way.
    Taken,
    /// There is no such object or bucket.
    Absent,
    /// It was refused for good.
    Never,
    /// The keys are no longer valid, and nothing was applied; with new ones it may be.
    KeysExpired,
    /// The keys are not known, and nothing was applied; they may have been rotated.
    KeysUnknown,
}

/// What stays behind a deletion, and is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterDelete {
    /// Nothing, unless the bucket was told to keep versions.
    Nothing,
    /// The bytes, for some days, by default (Google's and Azure's soft deletion).
    SoftDeleted,
    /// The bytes, as a version, until a lifecycle rule removes them.
    Version,
}

/// What may be asked for with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Encryption with the store's own keys on request (SSE-S3).
    pub sse_s3: bool,
    /// Encryption with a key of a key service (SSE-KMS).
    pub sse_kms: bool,
    /// Tags on objects.
    pub tags: bool,
    /// The storage classes that can be read at once. Empty: there is no choice.
    pub storage_classes: &'static [&'static str],
    /// Whether classes beyond these are accepted, because a deployment names its own.
    pub other_classes: bool,
}

/// List prices in millionths of a US dollar, of the provider's first region and standard class, without free quotas and
/// volume discounts. All are zero where nothing is billed by use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    /// 1,000 writes.
    pub puts_1000: u64,
    /// 1,000 reads.
    pub gets_1000: u64,
    /// 1,000 pages of listings.
    pub lists_1000: u64,
    /// 1,000 deletions.
    pub deletes_1000: u64,
    /// A GB for a month.
    pub gb_month: u64,
    /// A GB sent to the internet.
    pub egress_gb: u64,
    /// What the bill calls the dear requests (writes, listings) and the cheap ones (reads).
    pub classes: [&'static str; 2],
}

impl Provider {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 17] = [
        Self::Aws,
        Self::DigitalOcean,
        Self::R2,
        Self::B2,
        Self::Wasabi,
        Self::Linode,
        Self::Vultr,
        Self::Minio,
        Self::Gcs,
        Self::GcsNative,
        Self::Oracle,
        Self::Ibm,
        Self::Azure,
        Self::AzureNative,
        Self::Local,
        Self::Memory,
        Self::GenericS3,
    ];

    /// Their names, in the same order.
    pub const NAMES: [&'static str; 17] = {
        let mut names = [""; 17];
        let mut index = 0;
        while index < names.len() {
            names[index] = Self::ALL[index].as_str();
            index += 1;
        }
        names
    };

    /// The name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::DigitalOcean => "digitalocean",
            Self::R2 => "r2",
            Self::B2 => "b2",
            Self::Wasabi => "wasabi",
            Self::Linode => "linode",
            Self::Vultr => "vultr",
            Self::Minio => "minio",
            Self::Gcs => "gcs",
            Self::GcsNative => "gcs-native",
            Self::Oracle => "oracle",
            Self::Ibm => "ibm",
            Self::Azure => "azure",
            Self::AzureNative => "azure-native",
            Self::Local => "local",
            Self::Memory => "memory",
            Self::GenericS3 => "generic-s3",
        }
    }

    /// What is assumed of it.
    pub fn profile(self) -> &'static Profile {
        PROFILES.iter().find(|profile| profile.provider == self).expect("every provider has a row")
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A name that no provider has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {}", Provider::NAMES.join(", "))]
pub struct UnknownProvider;

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, UnknownProvider> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == text).ok_or(UnknownProvider)
    }
}

impl Profile {
    /// What callers of a store that is shared with others may assume.
    pub fn facts(&self) -> Facts {
        Facts {
            requests_cost_money: self.prices.puts_1000 > 0,
            may_hedge: self.may_hedge_puts,
            exclusive: false,
            create_is_known: self.conditional_create == ConditionalCreate::Native,
            storage_days_min: self.storage_days_min,
            place: 0,
            put_latency_hint: self.put_latency_hint,
        }
    }
}

impl Prices {
    /// What so many requests cost, in millionths of a dollar, rounded down.
    pub fn of_requests(&self, puts: u64, gets: u64, lists: u64, deletes: u64) -> u64 {
        let each =
            [(puts, self.puts_1000), (gets, self.gets_1000), (lists, self.lists_1000), (deletes, self.deletes_1000)];
        let thousandths: u128 = each.iter().map(|&(count, price)| u128::from(count) * u128::from(price)).sum();
        u64::try_from(thousandths / 1_000).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
