//! Topic settings: which exist, what they may be, and what the broker does with them.
//!
//! A setting is *enforced*, or *accepted* because keeping more than asked for is legal until retention and compaction
//! exist, or refused with its reason. Names, types and defaults are Apache Kafka's (topic configs of 4.3).

use std::collections::BTreeMap;

/// What the broker does with a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It has its effect.
    Enforced,
    /// It is stored and shown; its effect is not needed for correctness here.
    Accepted,
}

/// The type of a value, as DescribeConfigs tells it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A 32-bit number within bounds.
    Int(i64, i64),
    /// A 64-bit number within bounds.
    Long(i64, i64),
    /// A fraction within bounds.
    Double(f64, f64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Words from this list, separated by commas.
    List(&'static [&'static str]),
    /// Any words, separated by commas.
    FreeList,
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// Kafka's name.
    pub name: &'static str,
    /// Its type and bounds.
    pub kind: Kind,
    /// Its value where none is set.
    pub default: &'static str,
    /// What it does here.
    pub treatment: Treatment,
    /// One sentence for DescribeConfigs.
    pub doc: &'static str,
}

use Kind::{Boolean, Double, FreeList, Int, List, Long, Word};
use Treatment::{Accepted, Enforced};

const I32: i64 = i32::MAX as i64;

macro_rules! definitions {
    ($($name:literal, $kind:expr, $default:literal, $treatment:expr, $doc:literal;)+) => {
        &[$(Definition { name: $name, kind: $kind, default: $default, treatment: $treatment, doc: $doc }),+]
    };
}

/// Every setting of a topic, by name.
pub const DEFINITIONS: &[Definition] = definitions! {
    "cleanup.policy", List(&["delete"]), "delete", Accepted, "What becomes of old records; nothing is removed yet.";
    "compression.type", Word(&["producer"]), "producer", Enforced, "Batches are kept as the producer sent them.";
    "delete.retention.ms", Long(0, i64::MAX), "86400000", Accepted, "How long tombstones are kept at least.";
    "file.delete.delay.ms", Long(0, i64::MAX), "60000", Accepted, "No files are deleted here.";
    "flush.messages", Long(1, i64::MAX), "9223372036854775807", Accepted, "Every acknowledged record is durable.";
    "flush.ms", Long(0, i64::MAX), "9223372036854775807", Accepted, "Every acknowledged record is durable.";
    "follower.replication.throttled.replicas", FreeList, "", Accepted, "There are no followers.";
    "index.interval.bytes", Int(0, I32), "4096", Accepted, "There are no index files.";
    "leader.replication.throttled.replicas", FreeList, "", Accepted, "There are no followers.";
    "local.retention.bytes", Long(-2, i64::MAX), "-2", Accepted, "All data is in the object store.";
    "local.retention.ms", Long(-2, i64::MAX), "-2", Accepted, "All data is in the object store.";
    "max.compaction.lag.ms", Long(1, i64::MAX), "9223372036854775807", Accepted, "Nothing is compacted yet.";
    "max.message.bytes", Int(0, I32), "1048588", Enforced, "The largest record batch.";
    "message.timestamp.after.max.ms", Long(0, i64::MAX), "3600000", Enforced,
        "How far a batch's max timestamp may be ahead of the broker's clock.";
    "message.timestamp.before.max.ms", Long(0, i64::MAX), "9223372036854775807", Enforced,
        "How far a batch's base timestamp may be behind the broker's clock.";
    "message.timestamp.type", Word(&["CreateTime", "LogAppendTime"]), "CreateTime", Enforced,
        "Whose clock a record's timestamp is.";
    "min.cleanable.dirty.ratio", Double(0.0, 1.0), "0.5", Accepted, "Nothing is compacted yet.";
    "min.compaction.lag.ms", Long(0, i64::MAX), "0", Accepted, "Nothing is compacted yet.";
    "min.insync.replicas", Int(1, I32), "1", Accepted, "The object store replicates.";
    "preallocate", Boolean, "false", Accepted, "There are no files.";
    "remote.log.copy.disable", Boolean, "false", Accepted, "All data is in the object store.";
    "remote.log.delete.on.disable", Boolean, "false", Accepted, "All data is in the object store.";
    "remote.storage.enable", Boolean, "false", Accepted, "All data is in the object store.";
    "retention.bytes", Long(-1, i64::MAX), "-1", Accepted, "Nothing is removed yet.";
    "retention.ms", Long(-1, i64::MAX), "604800000", Accepted, "Nothing is removed yet.";
    "segment.bytes", Int(1 << 20, I32), "1073741824", Accepted, "There are no segment files.";
    "segment.index.bytes", Int(4, I32), "10485760", Accepted, "There are no index files.";
    "segment.jitter.ms", Long(0, i64::MAX), "0", Accepted, "There are no segment files.";
    "segment.ms", Long(1, i64::MAX), "604800000", Accepted, "There are no segment files.";
    "unclean.leader.election.enable", Boolean, "false", Accepted, "There are no leaders to elect.";
};

/// Why a setting was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No such setting.
    #[error("unknown topic config name: {0}")]
    Unknown(String),
    /// The value is of the wrong type or out of bounds, or not supported.
    #[error("invalid value {value} for configuration {name}: {reason}")]
    Invalid {
        /// The setting.
        name: String,
        /// What was asked for.
        value: String,
        /// What would do.
        reason: String,
    },
}

/// The definition of a setting.
pub fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.binary_search_by(|definition| definition.name.cmp(name)).ok().map(|index| &DEFINITIONS[index])
}

/// Checks one setting.
pub fn check(name: &str, value: &str) -> Result<(), ConfigError> {
    let definition = definition(name).ok_or_else(|| ConfigError::Unknown(name.to_owned()))?;
    let reason = match definition.kind {
        Boolean => (!matches!(value, "true" | "false")).then(|| "must be true or false".to_owned()),
        Int(min, max) | Long(min, max) => {
            let fits = value.trim().parse::<i64>().is_ok_and(|number| (min..=max).contains(&number));
            (!fits).then(|| format!("must be a number from {min} to {max}"))
        }
        Double(min, max) => {
            let fits = value.trim().parse::<f64>().is_ok_and(|number| (min..=max).contains(&number));
            (!fits).then(|| format!("must be a number from {min} to {max}"))
        }
        Word(words) => (!words.contains(&value)).then(|| format!("must be one of: {}", words.join(", "))),
        List(words) => {
            let fits = value.split(',').all(|word| words.contains(&word.trim()));
            (!fits).then(|| format!("supported here: {}", words.join(", ")))
        }
        FreeList => None,
    };
    match reason {
        None => Ok(()),
        Some(reason) => Err(ConfigError::Invalid { name: name.to_owned(), value: value.to_owned(), reason }),
    }
}

/// The enforced settings of a topic, parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicConfig {
    /// `max.message.bytes`.
    pub batch_bytes_max: usize,
    /// Whether `message.timestamp.type` is LogAppendTime.
    pub log_append_time: bool,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
}

impl TopicConfig {
    /// Reads checked settings; a value that a newer version stored and this one cannot read counts as unset.
    pub fn new(settings: &BTreeMap<String, String>) -> Self {
        let number =
            |name: &str, default: i64| settings.get(name).and_then(|value| value.parse().ok()).unwrap_or(default);
        Self {
            batch_bytes_max: usize::try_from(number("max.message.bytes", 1_048_588)).unwrap_or(0),
            log_append_time: settings.get("message.timestamp.type").is_some_and(|value| value == "LogAppendTime"),
            timestamp_before_max_ms: number("message.timestamp.before.max.ms", i64::MAX),
            timestamp_after_max_ms: number("message.timestamp.after.max.ms", 3_600_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_sorted_and_their_defaults_are_valid() {
        assert!(DEFINITIONS.is_sorted_by(|a, b| a.name < b.name));
        for definition in DEFINITIONS {
            assert_eq!(check(definition.name, definition.default), Ok(()), "{}", definition.name);
        }
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_its_reason() {
        for (name, value) in [
            ("cleanup.policy", "compact"),
            ("compression.type", "zstd"),
            ("max.message.bytes", "-1"),
            ("max.message.bytes", "1MB"),
            ("message.timestamp.type", "logappendtime"),
            ("preallocate", "yes"),
            ("min.cleanable.dirty.ratio", "1.5"),
        ] {
            assert!(matches!(check(name, value), Err(ConfigError::Invalid { .. })), "{name}={value}");
        }
        assert!(matches!(check("no.such", "1"), Err(ConfigError::Unknown(_))));
    }

    #[test]
    fn parsed_defaults_are_those_of_the_table() {
        let given = DEFINITIONS.iter().map(|d| (d.name.to_owned(), d.default.to_owned())).collect();
        assert_eq!(TopicConfig::new(&BTreeMap::new()), TopicConfig::new(&given));
    }
}
