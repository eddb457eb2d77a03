//! The settings of log compaction that are in force for a topic.

use super::{layers::Layers, topic};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CleaningConfig {
    /// Whether `cleanup.policy` has compact.
    pub compact: bool,
    /// `min.compaction.lag.ms`.
    pub min_lag_ms: i64,
    /// `max.compaction.lag.ms`.
    pub max_lag_ms: i64,
    /// When Apache Kafka closes the segment of a record at the latest, so that it can be compacted: `segment.ms`, or
    /// `max.compaction.lag.ms` if that is sooner.
    pub roll_ms: i64,
    /// `min.cleanable.dirty.ratio`.
    pub dirty_ratio_min: f64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
}

impl CleaningConfig {
    /// Reads checked settings; a value that a newer version stored and this one cannot read counts as unset.
    pub fn new(layers: &Layers<'_>) -> Self {
        let value = |name: &str| layers.value(topic::definition(name).expect("it is in the table")).trim();
        let number = |name: &str, default: i64| value(name).parse().unwrap_or(default);
        let max_lag_ms = number("max.compaction.lag.ms", i64::MAX);
        Self {
            compact: topic::has_policy(layers, "compact"),
            min_lag_ms: number("min.compaction.lag.ms", 0),
            max_lag_ms,
            roll_ms: number("segment.ms", i64::MAX).min(max_lag_ms),
            dirty_ratio_min: value("min.cleanable.dirty.ratio").parse().unwrap_or(0.5),
            delete_retention_ms: number("delete.retention.ms", 86_400_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use kafscale_state::State;

    use super::*;

    #[test]
    fn defaults_are_those_of_the_table_and_topics_have_their_own() {
        let state = State::new();
        let parsed = |settings: &[(&str, &str)]| {
            let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
            CleaningConfig::new(&Layers::of_settings(&state, 0, &settings))
        };
        let given: Vec<_> = topic::DEFINITIONS.iter().map(|it| (it.name, it.default)).collect();
        assert_eq!(parsed(&[]), parsed(&given));
        let own = [("cleanup.policy", "delete, compact"), ("min.cleanable.dirty.ratio", "0.01")];
        assert!(parsed(&own).compact && parsed(&own).dirty_ratio_min < 0.02);
    }
}
