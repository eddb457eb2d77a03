//! Every setting of `kafscale serve`, once.
//!
//! A row is: documentation, field, type, default as a user would write it, placeholder in help, and a variable where an
//! outside convention gives it another name. Flags, variables, TOML keys, help, `kafscale config` and `docs/settings.md`
//! follow from here. The names are a promise: others script against them. After a change run
//! `kafscale docs settings > docs/settings.md`; a test fails otherwise.

use std::{path::PathBuf, time::Duration};

use kafscale_store::{Location, Secret, profile::Provider};

use super::{
    define::{Definition, settings},
    resolve::{Chosen, Effective, Error, read_one},
    value::{Address, Latency, LogFilter, LogFormat, NodeId, Size, Value},
};

settings! {
    "Where the data lives" {
        /// Directory of this broker. Unless --store names another place it is the store: records and log lie here.
        data: PathBuf = "./kafscale-data", "DIR";
        /// Store of all records and of the log: `file:DIR`, `s3://BUCKET/PREFIX`, or `memory:` (gone at exit).
        /// Without it the directory of --data is the store.
        store: Option<Location> = "none", "URL";
        /// What kind of store a bucket is. Without it: what its address tells, else `generic-s3`. It decides how the store
        /// is spoken to and paced, and what it can be asked for.
        store_profile: Option<Provider> = "none", "NAME";
        /// Access key of the bucket. An `s3:` store needs it, and the secret key.
        aws_access_key_id: Option<String> = "none", "KEY", "AWS_ACCESS_KEY_ID";
        /// Secret key of the bucket.
        aws_secret_access_key: Option<Secret> = "none", "KEY", "AWS_SECRET_ACCESS_KEY";
        /// Session token that belongs to temporary keys.
        aws_session_token: Option<Secret> = "none", "TOKEN", "AWS_SESSION_TOKEN";
        /// Region of the bucket. Without it: the one in the host name of AWS_ENDPOINT_URL, else the provider's usual one
        /// (`us-east-1` on AWS).
        aws_region: Option<String> = "none", "REGION", "AWS_REGION";
        /// Address of a store other than AWS, such as `http://127.0.0.1:8333`. Plain http is used where it says `http:`.
        aws_endpoint_url: Option<String> = "none", "URL", "AWS_ENDPOINT_URL";
        /// Whether the bucket is named in the path of requests (`true`) or in the host name (`false`). Without it: in the
        /// path where AWS_ENDPOINT_URL is set, in the host name on AWS.
        s3_path_style: Option<bool> = "none", "BOOL";
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
        /// Longest metadata of a committed offset in characters, as Kafka's `offset.metadata.max.bytes`.
        offset_metadata_max_bytes: u32 = "4096", "N";
        /// How long the offsets of a group without members are kept, as Kafka's `offsets.retention.minutes`.
        offsets_retention: Duration = "7days", "TIME";
        /// How often expired offsets are looked for, as Kafka's `offsets.retention.check.interval.ms`.
        offsets_retention_check_interval: Duration = "10m", "TIME";
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

impl Settings {
    /// Refuses values that are fine by themselves and cannot go together.
    pub(super) fn check(&self) -> Result<(), Error> {
        let conflict = |text: &str| Err(Error::Conflict(text.to_owned()));
        if self.socket_request_max_bytes.bytes() > self.request_memory.bytes() {
            return conflict("socket-request-max-bytes must not exceed request-memory");
        }
        if self.max_connections == 0 {
            return conflict("max-connections must be at least 1");
        }
        if self.group_min_session_timeout > self.group_max_session_timeout {
            return conflict("group-min-session-timeout must not exceed group-max-session-timeout");
        }
        if self.group_max_size == 0 || self.group_max_size > i32::MAX as u32 {
            return conflict("group-max-size must be 1 to 2147483647");
        }
        if self.offset_metadata_max_bytes > 32_767 / 3 {
            return conflict("offset-metadata-max-bytes must be at most 10922");
        }
        if self.offsets_retention.is_zero() || self.offsets_retention_check_interval.is_zero() {
            return conflict("offsets-retention and offsets-retention-check-interval must not be zero");
        }
        if self.num_partitions == 0 {
            return conflict("num-partitions must be at least 1");
        }
        if self.aws_access_key_id.is_some() != self.aws_secret_access_key.is_some() {
            return conflict("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be given together");
        }
        if self.advertise.as_ref().is_some_and(|advertise| advertise.is_unspecified()) {
            return conflict("advertise must be an address that clients can connect to, not 0.0.0.0 or [::]");
        }
        Ok(())
    }
}
