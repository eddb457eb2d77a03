//! Topic settings: which exist, what they may be, and what the broker does with them.
//!
//! Names, types and defaults are those of Apache Kafka 4.3's `LogConfig`.

use kafscale_records::{Codec, Compression};

use super::definition::{
    self, ConfigError, Definition,
    Kind::{Boolean, Double, Int, Level, List, Long, Replicas, Word},
    Settings,
    Treatment::{Accepted, Enforced},
    definitions,
};
use super::layers::Layers;

const I32: i64 = i32::MAX as i64;
const MAX: &str = "9223372036854775807";

/// Every setting of a topic, by name.
pub const DEFINITIONS: &[Definition] = definitions! {
    "cleanup.policy", List(&["compact", "delete"]), "delete", Enforced,
        "What becomes of old records: with delete those go that retention.ms and retention.bytes do not keep. \
         With compact the last record of each key stays, and records need keys.";
    "compression.gzip.level", Level(1, 9), "-1", Enforced, "How hard gzip tries where compression.type asks for it.";
    "compression.lz4.level", Int(1, 17), "9", Accepted, "LZ4 has one level here, the fast one.";
    "compression.type", Word(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), "producer", Enforced,
        "Batches that are compressed otherwise are compressed anew; with producer all are kept as they came.";
    "compression.zstd.level", Int(-131_072, 22), "3", Enforced, "How hard zstd tries where compression.type asks for it.";
    "delete.retention.ms", Long(0, i64::MAX), "86400000", Enforced,
        "How long tombstones are kept at least, from when log compaction first saw them.";
    "file.delete.delay.ms", Long(0, i64::MAX), "60000", Accepted, "No files are deleted here.";
    "flush.messages", Long(1, i64::MAX), MAX, Accepted, "Every acknowledged record is durable.";
    "flush.ms", Long(0, i64::MAX), MAX, Accepted, "Every acknowledged record is durable.";
    "follower.replication.throttled.replicas", Replicas, "", Accepted, "There are no followers.";
    "index.interval.bytes", Int(0, I32), "4096", Accepted, "There are no index files.";
    "leader.replication.throttled.replicas", Replicas, "", Accepted, "There are no followers.";
    "local.retention.bytes", Long(-2, i64::MAX), "-2", Accepted, "All data is in the object store.";
    "local.retention.ms", Long(-2, i64::MAX), "-2", Accepted, "All data is in the object store.";
    "max.compaction.lag.ms", Long(1, i64::MAX), MAX, Enforced,
        "How old a record becomes at most before it is compacted.";
    "max.message.bytes", Int(0, I32), "1048588", Enforced, "The largest record batch.";
    "message.timestamp.after.max.ms", Long(0, i64::MAX), "3600000", Enforced,
        "How far a batch's max timestamp may be ahead of the broker's clock.";
    "message.timestamp.before.max.ms", Long(0, i64::MAX), MAX, Enforced,
        "How far a batch's base timestamp may be behind the broker's clock.";
    "message.timestamp.type", Word(&["CreateTime", "LogAppendTime"]), "CreateTime", Enforced,
        "Whose clock a record's timestamp is.";
    "min.cleanable.dirty.ratio", Double(0.0, 1.0), "0.5", Enforced,
        "Which part of a partition's bytes is new when it is compacted.";
    "min.compaction.lag.ms", Long(0, i64::MAX), "0", Enforced,
        "How old a record is at least when it is compacted.";
    "min.insync.replicas", Int(1, I32), "1", Accepted,
        "Every acknowledged record is in the object store, which replicates; whatever the number, acks=all is met.";
    "preallocate", Boolean, "false", Accepted, "There are no files.";
    "remote.log.copy.disable", Boolean, "false", Accepted, "All data is in the object store.";
    "remote.log.delete.on.disable", Boolean, "false", Accepted, "All data is in the object store.";
    "remote.storage.enable", Boolean, "false", Enforced,
        "All data is in the object store; there is no other tier, so only false is taken.";
    "retention.bytes", Long(i64::MIN, i64::MAX), "-1", Enforced, "Bytes of each partition that are kept.";
    "retention.ms", Long(-1, i64::MAX), "604800000", Enforced, "How old records become before they are deleted.";
    "segment.bytes", Int(1 << 20, I32), "1073741824", Enforced,
        "The greatest segment; the broker's segment-size is a bound as well.";
    "segment.index.bytes", Int(4, I32), "10485760", Accepted, "There are no index files.";
    "segment.jitter.ms", Long(0, i64::MAX), "0", Accepted, "Segments are made one after the other anyway.";
    "segment.ms", Long(1, i64::MAX), "604800000", Enforced,
        "After this time records are in a segment, and those of a compacted topic may be compacted; the broker's segment-age is a bound as well, and a minute the least for a segment.";
    "unclean.leader.election.enable", Boolean, "false", Accepted, "There are no leaders to elect.";
};

/// The definition of a setting.
pub fn definition(name: &str) -> Option<&'static Definition> {
    definition::find(DEFINITIONS, name)
}

/// Checks all settings of a topic together, as they would be.
pub fn check_all(settings: &Settings) -> Result<(), ConfigError> {
    // Kafka looks for unknown names first.
    for name in settings.keys() {
        known(name)?;
    }
    settings.iter().try_for_each(|(name, value)| check(name, value))?;
    let lag = |name: &str| settings.get(name).and_then(|value| value.trim().parse::<i64>().ok());
    let (min, max) = (lag("min.compaction.lag.ms").unwrap_or(0), lag("max.compaction.lag.ms").unwrap_or(i64::MAX));
    if min > max {
        return Err(ConfigError::Refused(format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
        )));
    }
    Ok(())
}

fn known(name: &str) -> Result<&'static Definition, ConfigError> {
    definition(name).ok_or_else(|| ConfigError::Unknown { of: "topic", name: name.to_owned() })
}

/// Checks one setting of a topic.
pub fn check(name: &str, value: &str) -> Result<(), ConfigError> {
    known(name)?.check(value)?;
    let value = value.trim();
    match name {
        "remote.storage.enable" if value.eq_ignore_ascii_case("true") => Err(ConfigError::Refused(
            "Tiered Storage functionality is disabled in the broker. \
             Topic cannot be configured with remote log storage."
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

/// The enforced settings of a topic, parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicConfig {
    /// `compression.type` and the level for it; none for `producer`.
    pub compression: Option<Compression>,
    /// `max.message.bytes`.
    pub batch_bytes_max: usize,
    /// Whether `message.timestamp.type` is LogAppendTime.
    pub log_append_time: bool,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// Whether `cleanup.policy` has compact.
    pub compact: bool,
    /// Whether `cleanup.policy` has delete.
    pub delete: bool,
}

/// Whether `cleanup.policy` has this one of its two.
pub(super) fn has_policy(layers: &Layers<'_>, policy: &str) -> bool {
    let policies = layers.value(definition("cleanup.policy").expect("it is in the table"));
    definition::words(policies.trim()).any(|word| word == policy)
}

impl TopicConfig {
    /// Reads checked settings; a value that a newer version stored and this one cannot read counts as unset.
    pub fn new(layers: &Layers<'_>) -> Self {
        let value = |name: &str| layers.value(definition(name).expect("it is in the table")).trim();
        let number = |name: &str, default: i64| value(name).parse().unwrap_or(default);
        let compression = |codec, level: Option<i64>| Compression { codec, level: level.map(|level| level as i32) };
        let level = |name: &str, own: i64| Some(number(name, own)).filter(|level| *level != own);
        Self {
            compression: match value("compression.type") {
                "uncompressed" => Some(compression(Codec::None, None)),
                "gzip" => Some(compression(Codec::Gzip, level("compression.gzip.level", -1))),
                "snappy" => Some(compression(Codec::Snappy, None)),
                "lz4" => Some(compression(Codec::Lz4, None)),
                "zstd" => Some(compression(Codec::Zstd, level("compression.zstd.level", 3))),
                _ => None,
            },
            batch_bytes_max: usize::try_from(number("max.message.bytes", 1_048_588)).unwrap_or(0),
            log_append_time: value("message.timestamp.type") == "LogAppendTime",
            timestamp_before_max_ms: number("message.timestamp.before.max.ms", i64::MAX),
            timestamp_after_max_ms: number("message.timestamp.after.max.ms", 3_600_000),
            compact: has_policy(layers, "compact"),
            delete: has_policy(layers, "delete"),
        }
    }
}

/// The settings of a topic that decide what becomes of its records, parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifeConfig {
    /// Whether `cleanup.policy` has compact.
    pub compact: bool,
    /// Whether `cleanup.policy` has delete.
    pub delete: bool,
    /// `retention.ms`.
    pub retention_ms: i64,
    /// `retention.bytes`.
    pub retention_bytes: i64,
    /// `segment.ms`.
    pub segment_ms: u64,
    /// `segment.bytes`.
    pub segment_bytes: u64,
}

impl LifeConfig {
    /// Reads checked settings; a value that a newer version stored and this one cannot read counts as unset.
    pub fn new(layers: &Layers<'_>) -> Self {
        let value = |name: &str| layers.value(definition(name).expect("it is in the table")).trim();
        Self {
            compact: has_policy(layers, "compact"),
            delete: has_policy(layers, "delete"),
            // Of what cannot be read nothing is deleted.
            retention_ms: value("retention.ms").parse().unwrap_or(-1),
            retention_bytes: value("retention.bytes").parse().unwrap_or(-1),
            segment_ms: value("segment.ms").parse().unwrap_or(u64::MAX),
            segment_bytes: value("segment.bytes").parse().unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use kafscale_state::State;

    use super::*;

    #[test]
    fn definitions_are_sorted_and_their_defaults_are_valid() {
        assert!(DEFINITIONS.is_sorted_by(|a, b| a.name < b.name));
        for definition in DEFINITIONS {
            assert_eq!(check(definition.name, definition.default), Ok(()), "{}", definition.name);
        }
    }

    fn all(settings: &[(&str, &str)]) -> Settings {
        settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_its_reason() {
        let refused = |settings: &[(&str, &str)]| check_all(&all(settings)).unwrap_err().to_string();
        assert!(refused(&[("compression.type", "lzma")]).contains("String must be one of"));
        assert!(refused(&[("remote.storage.enable", "true")]).starts_with("Tiered Storage functionality"));
        assert_eq!(refused(&[("no.such", "1"), ("max.message.bytes", "x")]), "Unknown topic config name: no.such");
        let lags = [("min.compaction.lag.ms", "100"), ("max.compaction.lag.ms", "50")];
        assert!(refused(&lags).starts_with("conflict topic config setting"));
        assert_eq!(check_all(&all(&[("cleanup.policy", "compact"), ("retention.bytes", "-7")])), Ok(()));
    }

    #[test]
    fn parsed_defaults_are_those_of_the_table() {
        let given = DEFINITIONS.iter().map(|d| (d.name.to_owned(), d.default.to_owned())).collect();
        let state = State::new();
        let parsed = |settings: &Settings| TopicConfig::new(&Layers::of_settings(&state, 0, settings));
        assert_eq!(parsed(&Settings::new()), parsed(&given));
        assert!(parsed(&all(&[("cleanup.policy", "compact, delete")])).compact);
        let packed =
            |kind: &str, level: &[(&str, &str)]| parsed(&all(&[&[("compression.type", kind)], level].concat()));
        let zstd = |level| Some(Compression { codec: Codec::Zstd, level });
        assert_eq!(packed("zstd", &[]).compression, zstd(None));
        assert_eq!(packed("zstd", &[("compression.zstd.level", "-7")]).compression, zstd(Some(-7)));
        let none = Some(Compression { codec: Codec::None, level: None });
        assert_eq!((packed("uncompressed", &[]).compression, packed("producer", &[]).compression), (none, None));
        assert!(parsed(&given).delete && !parsed(&all(&[("cleanup.policy", "")])).delete);
    }
}
