//! What a broker can be told: plain values with their defaults. How they are read from flags, variables and files is the
//! binary's business.

use std::time::Duration;

use kafscale_state::Limits;

/// Settings of one broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// This broker's node id in Metadata; not negative.
    pub node_id: i32,
    /// The availability zone or rack that is told to clients.
    pub rack: Option<String>,
    /// Host that clients are told to connect to.
    pub advertised_host: String,
    /// Port that clients are told to connect to.
    pub advertised_port: u16,
    /// Latency against requests to the store.
    pub latency: Latency,
    /// Longest request frame in bytes (`socket.request.max.bytes`).
    pub request_bytes_max: usize,
    /// Bytes of requests held at once over all connections; at least twice `request_bytes_max` is used.
    pub request_memory: usize,
    /// Requests of one connection that are worked on at once.
    pub requests_per_connection_max: usize,
    /// Connections at once; one more is closed at once.
    pub connections_max: usize,
    /// Bytes of the memory cache of extents.
    pub cache_bytes: u64,
    /// Whether Metadata and Produce create topics (`auto.create.topics.enable`).
    pub auto_create_topics: bool,
    /// Partitions of a topic that is created without a number (`num.partitions`).
    pub default_partitions: u32,
    /// Frames of the log after which a snapshot is due (whatever their size).
    pub snapshot_frames: u64,
    /// Bytes of a snapshot that one request reads.
    pub snapshot_part_bytes: u64,
    /// Bounds of the state. All brokers of a store need the same, so only tests change them.
    pub limits: Limits,
    /// How long a producer's idempotence state is kept without a batch (`producer.id.expiration.ms`).
    pub producer_expiration: Duration,
    /// Groups and their offsets.
    pub groups: GroupSettings,
    /// Merging, segments, deletion.
    pub life: LifeSettings,
    /// Whether a bucket that is not known yet is asked in full after the start, and the result noted in its marker.
    pub look_at_stores: bool,
}

/// What becomes of data behind the clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifeSettings {
    /// How often it is looked whether something is to be merged: under load something is.
    pub merge_interval: Duration,
    /// So many new objects within the interval are load.
    pub merge_objects_min: u64,
    /// Without load records are merged when they are so old; and how often level 2 is made.
    pub merge_age: Duration,
    /// Bytes of a merged object.
    pub merge_bytes: u64,
    /// A partition with so much for one merged object is left to become a segment directly.
    pub fat_bytes: u64,
    /// Partitions from which on there is a level 2.
    pub level_2_partitions: u32,
    /// Bytes of batches in a full segment.
    pub segment_bytes: u64,
    /// Records that are so old become a segment, unless they are few.
    pub segment_age: Duration,
    /// Less is few.
    pub segment_small_bytes: u64,
    /// Few records become a segment when they are so old.
    pub segment_small_age: Duration,
    /// How often it is looked whether topics are to be compacted.
    pub clean_interval: Duration,
    /// Bytes of memory for the keys of one pass over a partition; what does not fit is for the next pass.
    pub clean_memory: u64,
    /// Bytes a second that rewriting may read, and may write; 0 for no bound.
    pub bandwidth: u64,
    /// How often it is looked for records that retention lets go.
    pub retention_check: Duration,
    /// What nothing refers to is deleted after so long, at the least.
    pub delete_age: Duration,
    /// What was rewritten is deleted after so long.
    pub delete_replaced_age: Duration,
}

impl Default for LifeSettings {
    fn default() -> Self {
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(60 * 60));
        Self {
            merge_interval: Duration::from_secs(10),
            merge_objects_min: 16,
            merge_age: 10 * minute,
            merge_bytes: 64 << 20,
            fat_bytes: 4 << 20,
            level_2_partitions: 20_000,
            segment_bytes: 256 << 20,
            segment_age: 6 * hour,
            segment_small_bytes: 1 << 20,
            segment_small_age: 24 * hour,
            clean_interval: Duration::from_secs(15),
            clean_memory: 128 << 20,
            bandwidth: 128 << 20,
            retention_check: 5 * minute,
            delete_age: 15 * minute,
            delete_replaced_age: hour,
        }
    }
}

/// Settings of the group coordinator, by Kafka's names and with its defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    /// How long the first rebalance of an empty group waits for more members (`group.initial.rebalance.delay.ms`).
    pub initial_rebalance_delay: Duration,
    /// The shortest session timeout that members may ask for (`group.min.session.timeout.ms`).
    pub session_timeout_min: Duration,
    /// The longest (`group.max.session.timeout.ms`).
    pub session_timeout_max: Duration,
    /// Members of one group (`group.max.size`). What a group weighs is bounded as well.
    pub max_size: u32,
    /// Members of one KIP-848 group (`group.consumer.max.size`). What a group weighs is bounded as well.
    pub consumer_max_size: u32,
    /// Which groups may change their protocol while they have members (`group.consumer.migration.policy`).
    pub migration: MigrationPolicy,
    /// The longest metadata of a committed offset, in characters (`offset.metadata.max.bytes`).
    pub offset_metadata_max: usize,
    /// How long the offsets of a group without members are kept (`offsets.retention.minutes`).
    pub offsets_retention: Duration,
    /// How often expired offsets are looked for (`offsets.retention.check.interval.ms`).
    pub offsets_retention_check: Duration,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            initial_rebalance_delay: Duration::from_secs(3),
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(30 * 60),
            max_size: i32::MAX as u32,
            consumer_max_size: i32::MAX as u32,
            migration: MigrationPolicy::Bidirectional,
            offset_metadata_max: 4_096,
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
            offsets_retention_check: Duration::from_secs(10 * 60),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node_id: 0,
            rack: None,
            advertised_host: "127.0.0.1".to_owned(),
            advertised_port: 9092,
            latency: Latency::Balanced,
            request_bytes_max: 100 << 20,
            request_memory: 256 << 20,
            requests_per_connection_max: 64,
            connections_max: 10_000,
            cache_bytes: 256 << 20,
            auto_create_topics: true,
            default_partitions: 1,
            snapshot_frames: 10_000,
            snapshot_part_bytes: 4 << 20,
            limits: Limits::default(),
            producer_expiration: Duration::from_secs(24 * 60 * 60),
            groups: GroupSettings::default(),
            life: LifeSettings::default(),
            look_at_stores: false,
        }
    }
}

/// The dial between produce latency and requests to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Latency {
    /// The 250 ms timer alone: about 4 PUTs a second.
    Economical,
    /// One early PUT in flight: about 14 PUTs a second under constant load.
    #[default]
    Balanced,
    /// Four early PUTs in flight: up to 45 PUTs a second.
    Fast,
}

/// Which groups may change their protocol while they have members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MigrationPolicy {
    /// None; and no member that speaks the classic protocol may join a KIP-848 group.
    Disabled,
    /// Classic groups may become KIP-848 groups.
    Upgrade,
    /// KIP-848 groups may become classic ones.
    Downgrade,
    /// All.
    #[default]
    Bidirectional,
}

impl MigrationPolicy {
    /// Whether a classic group may become a KIP-848 group.
    pub fn upgrades(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    /// Whether a KIP-848 group may become a classic one.
    pub fn downgrades(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Upgrade => "upgrade",
            Self::Downgrade => "downgrade",
            Self::Bidirectional => "bidirectional",
        }
    }
}
