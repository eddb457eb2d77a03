//! Every setting of `kafscale serve`, once.
//!
//! A row is: documentation, field, type, default as a user would write it, placeholder in help, and a variable where an
//! outside convention gives it another name. Flags, variables, TOML keys, help, `kafscale config` and `docs/settings.md`
//! follow from here. The names are a promise: others script against them. After a change run
//! `kafscale docs settings > docs/settings.md`; a test fails otherwise.

use std::{path::PathBuf, time::Duration};

use kafscale_store::{Encryption, Location, Secret, profile::Provider};

use super::{
    define::{Definition, settings},
    resolve::{Chosen, Effective, Error, read_one},
    value::{Address, Latency, LogFilter, LogFormat, MigrationPolicy, NodeId, Size, Tags, Value},
};

settings! {
    "Where the data lives" {
        /// Directory of this broker. Unless --store names another place it is the store: records and log lie here.
        data: PathBuf = "./kafscale-data", "DIR";
        /// Store of all records and of the log: `file:DIR`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` (Google),
        /// `az://CONTAINER/PREFIX` (Azure), or `memory:` (gone at exit). Without it the directory of --data is the store.
        store: Option<Location> = "none", "URL";
        /// Store of the log, if it is to live in another one than the records: `file:DIR`, or a bucket at a provider that
        /// knows conditional writes. It must be as durable as the records are to be: without it nobody knows their order.
        log: Option<Location> = "none", "URL";
        /// Bucket with copies of the objects of --store, under the same names, such as the provider's replication makes:
        /// records are read from there first.
        read_replica: Option<Location> = "none", "URL";
        /// What kind of store a bucket is. Without it: what its address tells, else `generic-s3`. It decides how the store
        /// is spoken to and paced, and what it can be asked for.
        store_profile: Option<Provider> = "none", "NAME";
        /// Encryption that every write asks for: `sse-s3` (the store's own keys) or `sse-kms:KEY` (a key of its key
        /// service). Without it the bucket's own default rules.
        store_encryption: Option<Encryption> = "none", "KIND";
        /// Storage class (access tier on Azure) of what is written. Without it the bucket's own default rules.
        store_class: Option<String> = "none", "CLASS";
        /// Tags of what is written, for the bill: `team=a,env=prod`.
        store_tags: Option<Tags> = "none", "TAGS";
    }
    "Access to a bucket" {
        /// Access key of an `s3:` bucket, with its secret key. An HMAC key on Google's S3 dialect.
        aws_access_key_id: Option<String> = "none", "KEY", "AWS_ACCESS_KEY_ID";
        /// Secret key of an `s3:` bucket.
        aws_secret_access_key: Option<Secret> = "none", "KEY", "AWS_SECRET_ACCESS_KEY";
        /// Session token that belongs to temporary keys.
        aws_session_token: Option<Secret> = "none", "TOKEN", "AWS_SESSION_TOKEN";
        /// The same as aws-access-key-id, under the name that Secrets of gateways have.
        gateway_access_key: Option<String> = "none", "KEY", "accessKey";
        /// The same as aws-secret-access-key, under the name that Secrets of gateways have.
        gateway_secret_key: Option<Secret> = "none", "KEY", "secretKey";
        /// Where credentials lie that somebody exchanges: a directory with one file per variable, as a mounted Secret is,
        /// or a file of the AWS command line. It is read again every 30 seconds, and when the store refuses what it held.
        store_credentials: Option<PathBuf> = "none", "PATH";
        /// Region of the bucket. Without it: the one in the host name of AWS_ENDPOINT_URL, else the provider's usual one
        /// (`us-east-1` on AWS).
        aws_region: Option<String> = "none", "REGION", "AWS_REGION";
        /// Address of a store other than AWS, such as `http://127.0.0.1:8333`. Plain http is used where it says `http:`.
        aws_endpoint_url: Option<String> = "none", "URL", "AWS_ENDPOINT_URL";
        /// Whether the bucket is named in the path of requests (`true`) or in the host name (`false`). Without it: in the
        /// path where AWS_ENDPOINT_URL is set, in the host name on AWS.
        s3_path_style: Option<bool> = "none", "BOOL";
        /// Role whose keys are asked for with the token of AWS_WEB_IDENTITY_TOKEN_FILE (IRSA). EKS sets both.
        aws_role_arn: Option<String> = "none", "ARN", "AWS_ROLE_ARN";
        /// File with the token of this workload. It is read at each renewal.
        aws_web_identity_token_file: Option<PathBuf> = "none", "FILE", "AWS_WEB_IDENTITY_TOKEN_FILE";
        /// Name of the session in AWS's own logs. Without it `kafscale`.
        aws_role_session_name: Option<String> = "none", "NAME", "AWS_ROLE_SESSION_NAME";
        /// Address of STS. Without it that of the region.
        aws_endpoint_url_sts: Option<String> = "none", "URL", "AWS_ENDPOINT_URL_STS";
        /// Address of the agent that gives a container its keys (EKS pod identity). EKS sets it and the next one.
        aws_container_credentials_full_uri: Option<String> = "none", "URL", "AWS_CONTAINER_CREDENTIALS_FULL_URI";
        /// File with the token by which the agent knows the container.
        aws_container_authorization_token_file: Option<PathBuf> = "none", "FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
        /// Whether the machine's metadata service may be asked for credentials (an EC2 role, a managed identity of Azure,
        /// a service account of Google's, which is also a workload identity of GKE). Nobody asks it otherwise.
        instance_metadata: bool = "false", "BOOL";
        /// Address of AWS's metadata service. Without it that of every machine of AWS.
        aws_ec2_metadata_service_endpoint: Option<String> = "none", "URL", "AWS_EC2_METADATA_SERVICE_ENDPOINT";
        /// Host of Google's metadata service, with a port if it has one. Without it that of every machine of Google's.
        gce_metadata_host: Option<String> = "none", "HOST", "GCE_METADATA_HOST";
        /// Address of Azure's metadata service, under the name that Azure's own clients read. Without it that of every
        /// machine of Azure's.
        azure_pod_identity_authority_host: Option<String> = "none", "URL", "AZURE_POD_IDENTITY_AUTHORITY_HOST";
        /// Where a platform of Azure's gives a managed identity instead of a machine's metadata service. App Service and
        /// Container Apps set it and the next one.
        identity_endpoint: Option<String> = "none", "URL", "IDENTITY_ENDPOINT";
        /// Header by which the platform knows its own.
        identity_header: Option<Secret> = "none", "KEY", "IDENTITY_HEADER";
        /// Storage account of an `az:` container.
        azure_storage_account_name: Option<String> = "none", "NAME", "AZURE_STORAGE_ACCOUNT_NAME";
        /// Key of the storage account.
        azure_storage_account_key: Option<Secret> = "none", "KEY", "AZURE_STORAGE_ACCOUNT_KEY";
        /// Shared access signature for the container, instead of the key.
        azure_storage_sas_token: Option<Secret> = "none", "TOKEN", "AZURE_STORAGE_SAS_TOKEN";
        /// Address of the account's blobs. Without it `https://NAME.blob.core.windows.net`. An emulator's ends with the
        /// account: `http://127.0.0.1:10000/devstoreaccount1`.
        azure_storage_endpoint: Option<String> = "none", "URL", "AZURE_STORAGE_ENDPOINT";
        /// Tenant of the identity. A workload identity on AKS sets this and the next four.
        azure_tenant_id: Option<String> = "none", "ID", "AZURE_TENANT_ID";
        /// Application or managed identity.
        azure_client_id: Option<String> = "none", "ID", "AZURE_CLIENT_ID";
        /// Secret of the application, where there is no token of a workload.
        azure_client_secret: Option<Secret> = "none", "KEY", "AZURE_CLIENT_SECRET";
        /// File with the token of this workload. It is read at each renewal.
        azure_federated_token_file: Option<PathBuf> = "none", "FILE", "AZURE_FEDERATED_TOKEN_FILE";
        /// Address of Entra. Without it that of the public cloud.
        azure_authority_host: Option<String> = "none", "URL", "AZURE_AUTHORITY_HOST";
        /// File with credentials for a `gs:` bucket: a service account, a user, or a workload that another cloud vouches for.
        google_application_credentials: Option<PathBuf> = "none", "FILE", "GOOGLE_APPLICATION_CREDENTIALS";
        /// Another address than Google's for a `gs:` bucket. Without credentials it is asked without.
        storage_emulator_host: Option<String> = "none", "URL", "STORAGE_EMULATOR_HOST";
        /// File with authorities (PEM) that are trusted besides the system's, for the store and for who gives credentials.
        store_ca_bundle: Option<PathBuf> = "none", "FILE";
        /// The same as store-ca-bundle, under the name that other clients of AWS read.
        aws_ca_bundle: Option<PathBuf> = "none", "FILE", "AWS_CA_BUNDLE";
        /// File with our certificate (PEM), where the store demands one.
        store_client_certificate: Option<PathBuf> = "none", "FILE";
        /// File with the key of our certificate (PEM).
        store_client_key: Option<PathBuf> = "none", "FILE";
        /// Address of the bucket of --log. Without it: as with --store. So with its region and its keys.
        log_endpoint_url: Option<String> = "none", "URL";
        /// Region of the bucket of --log.
        log_region: Option<String> = "none", "REGION";
        /// Access key of the bucket of --log.
        log_access_key_id: Option<String> = "none", "KEY";
        /// Secret key of the bucket of --log.
        log_secret_access_key: Option<Secret> = "none", "KEY";
        /// Address of the bucket of --read-replica. Without it: as with --store. So with its region and its keys.
        read_replica_endpoint_url: Option<String> = "none", "URL";
        /// Region of the bucket of --read-replica.
        read_replica_region: Option<String> = "none", "REGION";
        /// Access key of the bucket of --read-replica.
        read_replica_access_key_id: Option<String> = "none", "KEY";
        /// Secret key of the bucket of --read-replica.
        read_replica_secret_access_key: Option<Secret> = "none", "KEY";
    }
    "Addresses" {
        /// Where Kafka clients connect. Port 0 takes a free port; the ready line tells which.
        listen: Address = "127.0.0.1:9092", "HOST:PORT";
        /// What clients are told to connect to. Without it: the --listen address, or this machine's host name where that
        /// is 0.0.0.0 or [::].
        advertise: Option<Address> = "none", "HOST:PORT";
        /// Where /metrics, /healthz and /readyz are served; `none` turns them off. Whoever reaches it can read it.
        http: Option<Address> = "127.0.0.1:9644", "HOST:PORT";
        /// Number by which clients know this broker, from 0.
        node_id: NodeId = "0", "N";
        /// Zone of this broker, as Kafka's `broker.rack`.
        rack: Option<String> = "none", "ZONE";
    }
    "Latency, memory and limits" {
        /// The dial between answer time and requests to the store. `economical` flushes on a timer (4 PUTs a second at
        /// most), `balanced` at once while no other PUT is under way, `fast` with up to four under way.
        latency: Latency = "balanced", "DIAL";
        /// Memory for requests that were read and are not yet answered. When it is short, connections wait.
        request_memory: Size = "256MiB", "SIZE";
        /// Memory for records that were written or read lately.
        cache_memory: Size = "256MiB", "SIZE";
        /// Client connections at the same time; those beyond are closed.
        max_connections: u32 = "10000", "N";
        /// Largest request that is read, as Kafka's `socket.request.max.bytes`. It must fit --request-memory.
        socket_request_max_bytes: Size = "100MiB", "SIZE";
    }
    "Topics" {
        /// Whether a producer or a metadata request creates the topic it names, as Kafka's `auto.create.topics.enable`.
        auto_create_topics: bool = "true", "BOOL";
        /// Partitions of a topic whose creator does not say how many, as Kafka's `num.partitions`.
        num_partitions: u32 = "1", "N";
    }
    "Groups" {
        /// How long the first rebalance of an empty group waits for more members, as Kafka's
        /// `group.initial.rebalance.delay.ms`.
        group_initial_rebalance_delay: Duration = "3s", "TIME";
        /// Shortest session timeout that a member may ask for, as Kafka's `group.min.session.timeout.ms`.
        group_min_session_timeout: Duration = "6s", "TIME";
        /// Longest session timeout that a member may ask for, as Kafka's `group.max.session.timeout.ms`.
        group_max_session_timeout: Duration = "30m", "TIME";
        /// Members of one group, as Kafka's `group.max.size`. What a group weighs is bounded as well.
        group_max_size: u32 = "2147483647", "N";
        /// Members of one KIP-848 group, as Kafka's `group.consumer.max.size`. What a group weighs is bounded as well.
        group_consumer_max_size: u32 = "2147483647", "N";
        /// Which groups may change between the classic protocol and KIP-848's while they have members, as Kafka's
        /// `group.consumer.migration.policy`.
        group_consumer_migration_policy: MigrationPolicy = "bidirectional", "POLICY";
        /// Longest metadata of a committed offset in characters, as Kafka's `offset.metadata.max.bytes`.
        offset_metadata_max_bytes: u32 = "4096", "N";
        /// How long the offsets of a group without members are kept, as Kafka's `offsets.retention.minutes`.
        offsets_retention: Duration = "7days", "TIME";
        /// How often expired offsets are looked for, as Kafka's `offsets.retention.check.interval.ms`.
        offsets_retention_check_interval: Duration = "10m", "TIME";
    }
    "Rewriting" {
        /// How often it is looked whether new objects are to be merged; with at least 16 of them they are.
        merge_interval: Duration = "10s", "TIME";
        /// How long records stay where they were written when less is going on, before they are merged.
        merge_age: Duration = "10m", "TIME";
        /// Size of a merged object. So much memory is needed while it is made.
        merge_size: Size = "64MiB", "SIZE";
        /// Size of a full segment. So much memory is needed while it is made.
        segment_size: Size = "256MiB", "SIZE";
        /// How old records become before they make a segment that is not full.
        segment_age: Duration = "6h", "TIME";
        /// How old they become where there is less than 1 MiB of them.
        segment_age_small: Duration = "1day", "TIME";
        /// How often it is looked whether topics are to be compacted, as Kafka's `log.cleaner.backoff.ms`.
        compaction_interval: Duration = "15s", "TIME";
        /// Memory for the keys of one pass over a partition, 27 bytes a key, as Kafka's `log.cleaner.dedupe.buffer.size`. More
        /// keys take more passes.
        compaction_memory: Size = "128MiB", "SIZE";
        /// Bytes a second that merging, segments and compaction may read and write, all together; 0 for no bound.
        rewrite_bandwidth: Size = "128MiB", "SIZE";
    }
    "Retention" {
        /// How often it is looked for records that are to be deleted, as Kafka's `log.retention.check.interval.ms`.
        retention_check_interval: Duration = "5m", "TIME";
        /// How long an object is kept after nothing refers to it any more; four times as long if its records live on elsewhere.
        delete_delay: Duration = "15m", "TIME";
    }
    "Process" {
        /// How long a shutdown may take to flush and answer what was accepted.
        drain_timeout: Duration = "20s", "TIME";
        /// Form of the log lines on stderr.
        log_format: LogFormat = "text", "FORMAT";
        /// Which log lines to write: a level (`error`, `warn`, `info`, `debug`, `trace`), or `target=level` pairs
        /// separated by commas, such as `info,kafscale_store=debug`.
        log_level: LogFilter = "info", "FILTER";
    }
}
