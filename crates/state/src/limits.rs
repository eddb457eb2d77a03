//! Bounds that apply enforces. They are rules of the state: every replica must run with the same ones, so a change of a
//! default is a change of apply's results and needs a feature level.

/// The bounds; [`Limits::default`] is what brokers run with, tests take smaller ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Extents that the state holds in all; beyond it commits are refused until merging or deletion makes room.
    pub extents: u64,
    /// Producer states in one shard; beyond it the oldest are evicted.
    pub producers_per_shard: usize,
    /// Partitions of one topic.
    pub partitions_per_topic: u32,
    /// Partitions that exist in all, those of deleted topics included until they are freed.
    pub partitions: u32,
    /// Extents or producers of deleted data that one frame frees at most.
    pub garbage_per_frame: usize,
    /// What all groups may weigh: bytes of ids, members and metadata, 256 for each group and member, 64 for each offset.
    pub group_weight: u64,
    /// What one group without its offsets may weigh.
    pub group_weight_each: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            extents: 16 << 20,
            producers_per_shard: 2_048,
            partitions_per_topic: 100_000,
            partitions: 1_000_000,
            garbage_per_frame: 4_096,
            group_weight: 256 << 20,
            group_weight_each: 16 << 20,
        }
    }
}

/// The longest topic or namespace name in bytes, as in Kafka.
pub const NAME_BYTES_MAX: usize = 249;
/// The longest id of a group or member in bytes: what Kafka's strings can hold.
pub const GROUP_ID_BYTES_MAX: usize = i16::MAX as usize;
/// The longest metadata of a committed offset in bytes; brokers are told a lower bound.
pub const OFFSET_METADATA_BYTES_MAX: usize = i16::MAX as usize;
/// Settings of one topic or broker.
pub const SETTINGS_MAX: usize = 256;
/// Groups and client metrics that have settings.
pub const NAMED_SETTINGS_MAX: usize = 65_536;
/// The longest name of a setting, of what has settings by its name alone, of a host or a rack, in bytes.
pub const SETTING_NAME_BYTES_MAX: usize = 255;
/// The longest value of a setting in bytes.
pub const SETTING_VALUE_BYTES_MAX: usize = 32 << 10;
/// Producer ids in one block.
pub const PID_BLOCK_MAX: u32 = 1 << 20;
/// Blocks whose times are remembered; ids of older blocks count as old.
pub const PID_BLOCKS_MAX: usize = 65_536;
/// Names of deleted topics that are remembered.
pub const DELETED_NAMES_MAX: usize = 65_536;
/// Brokers at once, gone sessions included.
pub const BROKERS_MAX: usize = 4_096;
/// Records in one run. Five runs stay far below half of the sequence space, so that before and after are never confused.
pub const RUN_RECORDS_MAX: u32 = 1 << 27;
/// Offsets, positions and object ids stay below this: they are stored in 48 bits.
pub const U48_MAX: u64 = (1 << 48) - 1;
