//! The profiles. Sources: the providers' documentation, reports of others, and servers of the same code line that were
//! tried (Ceph RGW for DigitalOcean, Linode and Vultr; Swift for B2). Prices
//! are list prices of 2026 in US dollars.

use std::time::Duration;

use super::{
    Addressing::{Path, VirtualHosted},
    AfterDelete, BulkDelete, ConditionalCreate, Dialect, Digest, Integrity, Limits, Means, Options, Prices, Profile,
    Provider, Scope, Special,
};

/// What a store is taken to be of which nothing is known. The rows below say how they differ.
const UNKNOWN: Profile = Profile {
    provider: Provider::GenericS3,
    dialect: Dialect::S3,
    hosts: &[],
    addressing: Path,
    region_default: "us-east-1",
    tls_alone: false,
    region_in_host: false,
    conditional_create: ConditionalCreate::Probe,
    integrity: Integrity::SignedPayload,
    bulk_delete: BULK,
    limits: NO_LIMITS,
    answers: &[],
    may_hedge_puts: true,
    storage_days_min: 0,
    after_delete: AfterDelete::Nothing,
    session_tokens: true,
    options: EVERYTHING,
    prices: AMAZON,
    put_latency_hint: Duration::from_millis(60),
};

const BULK: Option<BulkDelete> = Some(BulkDelete { names_max: 1_000, needs: Digest::None });

const NO_LIMITS: Limits =
    Limits { writes: None, reads: None, total: None, writes_per_name: None, scope: Scope::Bucket };

/// Taken as asked for, because the server behind an unknown endpoint may know it.
const EVERYTHING: Options =
    Options { sse_s3: true, sse_kms: true, tags: true, storage_classes: &["STANDARD"], other_classes: true };

const NOTHING: Options =
    Options { sse_s3: false, sse_kms: false, tags: false, storage_classes: &[], other_classes: false };

/// What is not billed by requests.
const BY_SIZE: Prices = Prices {
    puts_1000: 0,
    gets_1000: 0,
    lists_1000: 0,
    deletes_1000: 0,
    gb_month: 0,
    egress_gb: 0,
    classes: ["requests", "requests"],
};

const AMAZON: Prices = Prices {
    puts_1000: 5_000,
    gets_1000: 400,
    lists_1000: 5_000,
    deletes_1000: 0,
    gb_month: 23_000,
    egress_gb: 90_000,
    classes: ["PUT, COPY, POST, LIST", "GET, SELECT and all other"],
};

const GOOGLE: Prices = Prices { gb_month: 20_000, egress_gb: 120_000, classes: ["class A", "class B"], ..AMAZON };

/// Ceph behind a load balancer.
const CEPH: Profile = Profile {
    region_in_host: true,
    session_tokens: false,
    options: Options {
        sse_s3: false,
        sse_kms: false,
        tags: true,
        storage_classes: &["STANDARD"],
        other_classes: false,
    },
    ..UNKNOWN
};

/// A name bears one write a second. A repeat that comes too early is refused because the attempt before it was heard, so
/// the refusal says nothing of the object.
const ONE_WRITE_A_SECOND: &[Special] = &[Special { status: 429, code: "", means: Means::Unknown }];

/// Every profile, in the order of [`Provider::ALL`].
pub(super) static PROFILES: &[Profile] = &[
    Profile {
        provider: Provider::Aws,
        hosts: &["amazonaws.com", "amazonaws.com.cn"],
        addressing: VirtualHosted,
        region_in_host: true,
        conditional_create: ConditionalCreate::Native,
        integrity: Integrity::Crc64OverTls,
        bulk_delete: Some(BulkDelete { names_max: 1_000, needs: Digest::Any }),
        limits: Limits { writes: Some(3_500), reads: Some(5_500), scope: Scope::Prefix, ..NO_LIMITS },
        options: Options {
            storage_classes: &["STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"],
            other_classes: false,
            ..EVERYTHING
        },
        ..UNKNOWN
    },
    Profile {
        provider: Provider::DigitalOcean,
        hosts: &["digitaloceanspaces.com"],
        limits: Limits { writes: Some(300), total: Some(1_500), scope: Scope::Client, ..NO_LIMITS },
        prices: Prices { gb_month: 20_000, egress_gb: 10_000, ..BY_SIZE },
        ..CEPH
    },
    Profile {
        provider: Provider::R2,
        hosts: &["r2.cloudflarestorage.com"],
        region_default: "auto",
        conditional_create: ConditionalCreate::Native,
        limits: Limits { writes: Some(5_000), writes_per_name: Some(1), ..NO_LIMITS },
        answers: ONE_WRITE_A_SECOND,
        may_hedge_puts: false,
        options: Options { storage_classes: &["STANDARD", "STANDARD_IA"], ..NOTHING },
        prices: Prices {
            puts_1000: 4_500,
            gets_1000: 360,
            lists_1000: 4_500,
            gb_month: 15_000,
            classes: ["class A", "class B"],
            ..BY_SIZE
        },
        put_latency_hint: Duration::from_millis(250),
        ..UNKNOWN
    },
    Profile {
        provider: Provider::B2,
        hosts: &["backblazeb2.com"],
        tls_alone: true,
        region_default: "us-west-004",
        region_in_host: true,
        conditional_create: ConditionalCreate::None,
        limits: Limits { total: Some(500), scope: Scope::Account, ..NO_LIMITS },
        // Every write of a name is a version of its own, kept and billed.
        may_hedge_puts: false,
        after_delete: AfterDelete::Version,
        session_tokens: false,
        options: Options { sse_s3: true, ..NOTHING },
        prices: Prices {
            gets_1000: 400,
            lists_1000: 4_000,
            gb_month: 6_000,
            egress_gb: 10_000,
            classes: ["class A (writes), class C (listings)", "class B"],
            ..BY_SIZE
        },
        ..UNKNOWN
    },
    Profile {
        provider: Provider::Wasabi,
        hosts: &["wasabisys.com"],
        region_in_host: true,
        storage_days_min: 90,
        session_tokens: false,
        options: Options { sse_s3: true, tags: true, ..NOTHING },
        prices: Prices { gb_month: 7_000, ..BY_SIZE },
        ..UNKNOWN
    },
    Profile {
        provider: Provider::Linode,
        hosts: &["linodeobjects.com"],
        limits: Limits { total: Some(750), ..NO_LIMITS },
        prices: Prices { gb_month: 20_000, egress_gb: 5_000, ..BY_SIZE },
        ..CEPH
    },
    Profile {
        provider: Provider::Vultr,
        hosts: &["vultrobjects.com"],
        limits: Limits { total: Some(400), scope: Scope::Account, ..NO_LIMITS },
        prices: Prices { gb_month: 18_000, egress_gb: 10_000, ..BY_SIZE },
        ..CEPH
    },
    Profile {
        provider: Provider::Minio,
        conditional_create: ConditionalCreate::Native,
        bulk_delete: Some(BulkDelete { names_max: 1_000, needs: Digest::Any }),
        prices: BY_SIZE,
        put_latency_hint: Duration::from_millis(10),
        ..UNKNOWN
    },
    Profile {
        provider: Provider::Gcs,
        hosts: &["storage.googleapis.com"],
        region_default: "auto",
        // The header is ignored: a create would overwrite.
        conditional_create: ConditionalCreate::None,
        bulk_delete: None,
        limits: Limits { writes: Some(1_000), reads: Some(5_000), writes_per_name: Some(1), ..NO_LIMITS },
        answers: ONE_WRITE_A_SECOND,
        may_hedge_puts: false,
        after_delete: AfterDelete::SoftDeleted,
        session_tokens: false,
        options: NOTHING,
        prices: GOOGLE,
        ..UNKNOWN
    },
    Profile {
        provider: Provider::GcsNative,
        dialect: Dialect::Gcs,
        hosts: &["storage.googleapis.com"],
        region_default: "",
        conditional_create: ConditionalCreate::Native,
        integrity: Integrity::Transport,
        bulk_delete: None,
        limits: Limits { writes: Some(1_000), reads: Some(5_000), writes_per_name: Some(1), ..NO_LIMITS },
        answers: ONE_WRITE_A_SECOND,
        may_hedge_puts: false,
        after_delete: AfterDelete::SoftDeleted,
        options: Options { storage_classes: &["STANDARD", "NEARLINE", "COLDLINE"], ..NOTHING },
        prices: GOOGLE,
        ..UNKNOWN
    },
    Profile {
        provider: Provider::Oracle,
        hosts: &["oraclecloud.com", "oci.customer-oci.com"],
        region_in_host: true,
        // CRC-32, which other clients send, is not enough.
        bulk_delete: Some(BulkDelete { names_max: 1_000, needs: Digest::Md5OrSha256 }),
        session_tokens: false,
        options: Options { storage_classes: &["STANDARD", "STANDARD_IA"], ..NOTHING },
        prices: Prices {
            puts_1000: 340,
            gets_1000: 340,
            lists_1000: 340,
            gb_month: 25_500,
            egress_gb: 8_500,
            ..BY_SIZE
        },
        ..UNKNOWN
    },
    Profile {
        provider: Provider::Ibm,
        hosts: &["cloud-object-storage.appdomain.cloud"],
        region_default: "us-south",
        region_in_host: true,
        // Signed, because a bucket with an object lock refuses anything else.
        bulk_delete: Some(BulkDelete { names_max: 1_000, needs: Digest::Any }),
        session_tokens: false,
        options: Options { tags: true, storage_classes: &["STANDARD"], ..NOTHING },
        prices: Prices { gb_month: 22_000, classes: ["class A", "class B"], ..AMAZON },
        ..UNKNOWN
    },
    Profile {
        provider: Provider::Azure,
        options: NOTHING,
        session_tokens: false,
        prices: AZURE,
        put_latency_hint: Duration::from_millis(80),
        ..UNKNOWN
    },
    Profile {
        provider: Provider::AzureNative,
        dialect: Dialect::Azure,
        hosts: &["blob.core.windows.net"],
        region_default: "",
        conditional_create: ConditionalCreate::Native,
        integrity: Integrity::Transport,
        bulk_delete: Some(BulkDelete { names_max: 256, needs: Digest::None }),
        limits: Limits { total: Some(20_000), writes_per_name: Some(500), scope: Scope::Account, ..NO_LIMITS },
        answers: AZURE_ANSWERS,
        after_delete: AfterDelete::SoftDeleted,
        options: Options { tags: true, storage_classes: &["Hot", "Cool", "Cold"], ..NOTHING },
        prices: AZURE,
        ..UNKNOWN
    },
    Profile {
        provider: Provider::Local,
        dialect: Dialect::Directory,
        put_latency_hint: Duration::from_millis(5),
        ..HERE
    },
    Profile { provider: Provider::Memory, dialect: Dialect::Memory, put_latency_hint: Duration::ZERO, ..HERE },
    UNKNOWN,
];

/// Stores of this process alone.
const HERE: Profile = Profile {
    region_default: "",
    conditional_create: ConditionalCreate::Native,
    integrity: Integrity::Transport,
    bulk_delete: None,
    may_hedge_puts: false,
    session_tokens: false,
    options: NOTHING,
    prices: BY_SIZE,
    ..UNKNOWN
};

const AZURE: Prices = Prices {
    puts_1000: 5_500,
    gets_1000: 440,
    lists_1000: 5_500,
    gb_month: 18_400,
    egress_gb: 87_000,
    classes: ["write, list and create container", "read"],
    ..BY_SIZE
};

/// 409 and 412 say much here: only some of them mean that the name is taken.
const AZURE_ANSWERS: &[Special] = &[
    Special { status: 409, code: "BlobAlreadyExists", means: Means::Taken },
    Special { status: 409, code: "UnauthorizedBlobOverwrite", means: Means::Taken },
    Special { status: 409, code: "BlobImmutableDueToPolicy", means: Means::Never },
    Special { status: 409, code: "ContainerBeingDeleted", means: Means::Later },
    Special { status: 409, code: "ContainerDisabled", means: Means::Never },
    Special { status: 409, code: "AccountBeingCreated", means: Means::Later },
    Special { status: 412, code: "LeaseIdMissing", means: Means::Never },
    Special { status: 403, code: "AuthenticationFailed", means: Means::KeysUnknown },
];
