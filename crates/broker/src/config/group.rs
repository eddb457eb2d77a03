//! Settings of groups, as Kafka 4.3's `GroupConfig` names them, and a look-up of those in force for a group.

use std::time::Duration;

use kafscale_state::{State, topic::Named};

use super::definition::{
    self, ConfigError, Definition,
    Kind::{Boolean, Int, Word, WordOr},
    Settings,
    Treatment::{Accepted, Enforced},
    definitions,
};

const I32: i64 = i32::MAX as i64;
const NO_SHARE: &str = "There are no share groups here.";
const NO_STREAMS: &str = "There are no streams groups here.";

/// Every setting of a group, by name. The bounds of `consumer.*` are those of an unconfigured Kafka broker
/// (`group.consumer.min.*` and `group.consumer.max.*`).
pub const DEFINITIONS: &[Definition] = definitions! {
    "consumer.assignment.interval.ms", Int(0, I32), "1000", Enforced,
        "The shortest time between two assignments of a KIP-848 group.";
    "consumer.heartbeat.interval.ms", Int(1, I32), "5000", Enforced,
        "How often members of a KIP-848 group send a heartbeat.";
    "consumer.session.timeout.ms", Int(1, I32), "45000", Enforced,
        "After so long without a heartbeat a member of a KIP-848 group is gone.";
    "share.assignment.interval.ms", Int(0, I32), "1000", Accepted, NO_SHARE;
    "share.auto.offset.reset", WordOr(&["latest", "earliest"], "by_duration:"), "latest", Accepted, NO_SHARE;
    "share.delivery.count.limit", Int(2, I32), "5", Accepted, NO_SHARE;
    "share.heartbeat.interval.ms", Int(1, I32), "5000", Accepted, NO_SHARE;
    "share.isolation.level", Word(&["read_committed", "read_uncommitted"]), "read_uncommitted", Accepted, NO_SHARE;
    "share.partition.max.record.locks", Int(100, I32), "2000", Accepted, NO_SHARE;
    "share.record.lock.duration.ms", Int(1_000, I32), "30000", Accepted, NO_SHARE;
    "share.renew.acknowledge.enable", Boolean, "true", Accepted, NO_SHARE;
    "share.session.timeout.ms", Int(1, I32), "45000", Accepted, NO_SHARE;
    "streams.assignment.interval.ms", Int(0, I32), "1000", Accepted, NO_STREAMS;
    "streams.heartbeat.interval.ms", Int(1, I32), "5000", Accepted, NO_STREAMS;
    "streams.initial.rebalance.delay.ms", Int(0, I32), "3000", Accepted, NO_STREAMS;
    "streams.num.standby.replicas", Int(0, I32), "0", Accepted, NO_STREAMS;
    "streams.session.timeout.ms", Int(1, I32), "45000", Accepted, NO_STREAMS;
};

/// The broker's setting under which Kafka's tools look for the default of a group's.
pub fn of_broker(name: &'static str) -> &'static str {
    match name {
        "consumer.assignment.interval.ms" => "group.consumer.assignment.interval.ms",
        "consumer.heartbeat.interval.ms" => "group.consumer.heartbeat.interval.ms",
        "consumer.session.timeout.ms" => "group.consumer.session.timeout.ms",
        "share.assignment.interval.ms" => "group.share.assignment.interval.ms",
        "share.delivery.count.limit" => "group.share.delivery.count.limit",
        "share.heartbeat.interval.ms" => "group.share.heartbeat.interval.ms",
        "share.partition.max.record.locks" => "group.share.partition.max.record.locks",
        "share.record.lock.duration.ms" => "group.share.record.lock.duration.ms",
        "share.session.timeout.ms" => "group.share.session.timeout.ms",
        "streams.assignment.interval.ms" => "group.streams.assignment.interval.ms",
        "streams.heartbeat.interval.ms" => "group.streams.heartbeat.interval.ms",
        "streams.initial.rebalance.delay.ms" => "group.streams.initial.rebalance.delay.ms",
        "streams.num.standby.replicas" => "group.streams.num.standby.replicas",
        "streams.session.timeout.ms" => "group.streams.session.timeout.ms",
        other => other,
    }
}

/// What the settings of consumers may be: Kafka's limits of the broker.
const LIMITS: &[(&str, &str, i64, i64)] = &[
    ("consumer.heartbeat.interval.ms", "group.consumer.{}.heartbeat.interval.ms", 5_000, 15_000),
    ("consumer.session.timeout.ms", "group.consumer.{}.session.timeout.ms", 45_000, 60_000),
];

/// The settings in force for a KIP-848 consumer group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupConfig {
    /// `consumer.session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// `consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i32,
    /// `consumer.assignment.interval.ms`.
    pub assignment_interval_ms: i32,
}

impl GroupConfig {
    /// What is in force for this group now. A value that cannot be read counts as unset.
    pub fn of(state: &State, group: &str) -> Self {
        Self::new(state.named_settings(Named::Group, group))
    }

    /// After so much silence a member is removed.
    pub fn session_timeout(&self) -> Duration {
        Duration::from_millis(self.session_timeout_ms.unsigned_abs().into())
    }

    /// The shortest time between two assignments.
    pub fn assignment_interval(&self) -> Duration {
        Duration::from_millis(self.assignment_interval_ms.unsigned_abs().into())
    }

    fn new(settings: Option<&Settings>) -> Self {
        let number = |name: &str, default: i32| {
            let given = settings.and_then(|settings| settings.get(name));
            given.and_then(|value| value.trim().parse().ok()).unwrap_or(default)
        };
        Self {
            session_timeout_ms: number("consumer.session.timeout.ms", 45_000),
            heartbeat_interval_ms: number("consumer.heartbeat.interval.ms", 5_000),
            assignment_interval_ms: number("consumer.assignment.interval.ms", 1_000),
        }
    }
}

/// Checks all settings of a group together, as they would be.
pub fn check_all(settings: &Settings) -> Result<(), ConfigError> {
    let definition = |name: &String| {
        let found = definition::find(DEFINITIONS, name);
        found.ok_or_else(|| ConfigError::Unknown { of: "group", name: name.clone() })
    };
    for name in settings.keys() {
        definition(name)?;
    }
    settings.iter().try_for_each(|(name, value)| definition(name)?.check(value))?;
    for &(name, limit, min, max) in LIMITS {
        let Some(number) = settings.get(name).and_then(|value| value.trim().parse::<i64>().ok()) else { continue };
        let refused = |than: &str, which: &str| {
            Err(ConfigError::Refused(format!("{name} must be {than} than or equal to {}", limit.replace("{}", which))))
        };
        match number {
            _ if number < min => return refused("greater", "min"),
            _ if number > max => return refused("less", "max"),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_sorted_and_their_defaults_are_valid() {
        assert!(DEFINITIONS.is_sorted_by(|a, b| a.name < b.name));
        let defaults = DEFINITIONS.iter().map(|d| (d.name.to_owned(), d.default.to_owned())).collect();
        assert_eq!(check_all(&defaults), Ok(()));
        assert_eq!(GroupConfig::new(None), GroupConfig::new(Some(&defaults)));
    }

    #[test]
    fn timeouts_of_consumers_keep_within_the_brokers_limits() {
        let check = |name: &str, value: &str| {
            check_all(&[(name.to_owned(), value.to_owned())].into()).map_err(|error| error.to_string())
        };
        assert_eq!(check("consumer.session.timeout.ms", "50000"), Ok(()));
        let text = "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms";
        assert_eq!(check("consumer.session.timeout.ms", "10"), Err(text.to_owned()));
        let text = "consumer.heartbeat.interval.ms must be less than or equal to \
                    group.consumer.max.heartbeat.interval.ms";
        assert_eq!(check("consumer.heartbeat.interval.ms", "15001"), Err(text.to_owned()));
        assert_eq!(check("no.such", "1"), Err("Unknown group config name: no.such".to_owned()));
    }
}
