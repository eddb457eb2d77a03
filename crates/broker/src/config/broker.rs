//! The settings of a broker under Kafka's names: only those that mean something here, each with the value that is really in
//! force. Most are set when the broker starts and can only be read; those that give topics the defaults of theirs, and
//! `producer.id.expiration.ms`, can be changed while it runs.

use kafscale_state::{PRODUCER_ID_EXPIRATION_MS, State};

use super::{
    definition::{ConfigError, Definition, Kind, Settings as Given, Treatment, definitions},
    layers::{Given as Layer, Layers, Source},
    topic,
};
use crate::{Settings, net::IDLE_LIMIT};

/// One setting of a broker.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerConfig<'a> {
    /// Kafka's name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The value in force.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: Source,
    /// What was given for it, the value in force first.
    pub layers: Vec<Layer<'a>>,
    /// One sentence for DescribeConfigs.
    pub doc: &'static str,
}

/// A setting that comes from [`Settings`]: name, type, how to read it, documentation.
type Own = (&'static str, Kind, fn(&Settings) -> Option<String>, &'static str);

const TEXT: Kind = Kind::Word(&[]);
const INT: Kind = Kind::Int(0, i32::MAX as i64);
const LONG: Kind = Kind::Long(0, i64::MAX);

const OWN: &[Own] = &[
    ("advertised.listeners", TEXT, |s| Some(listener(s)), "Where clients are told to connect."),
    (
        "auto.create.topics.enable",
        Kind::Boolean,
        |s| Some(s.auto_create_topics.to_string()),
        "Whether Metadata creates topics.",
    ),
    ("broker.id", INT, |s| Some(s.node_id.to_string()), "This broker's node id."),
    ("broker.rack", TEXT, |s| s.rack.clone(), "This broker's zone."),
    ("default.replication.factor", INT, |_| Some("1".to_owned()), "The object store replicates."),
    ("delete.topic.enable", Kind::Boolean, |_| Some("true".to_owned()), "Whether topics may be deleted."),
    ("group.consumer.max.size", INT, |s| Some(s.groups.consumer_max_size.to_string()), "Members of one KIP-848 group."),
    (
        "group.consumer.migration.policy",
        TEXT,
        |s| Some(s.groups.migration.name().to_owned()),
        "Which groups may change their protocol while they have members.",
    ),
    (
        "group.initial.rebalance.delay.ms",
        INT,
        |s| Some(s.groups.initial_rebalance_delay.as_millis().to_string()),
        "How long the first rebalance of an empty group waits for more members.",
    ),
    (
        "group.max.session.timeout.ms",
        INT,
        |s| Some(s.groups.session_timeout_max.as_millis().to_string()),
        "The longest session timeout of a group member.",
    ),
    ("group.max.size", INT, |s| Some(s.groups.max_size.to_string()), "Members of one group."),
    (
        "group.min.session.timeout.ms",
        INT,
        |s| Some(s.groups.session_timeout_min.as_millis().to_string()),
        "The shortest session timeout of a group member.",
    ),
    (
        "log.retention.check.interval.ms",
        LONG,
        |s| Some(s.life.retention_check.as_millis().to_string()),
        "How often it is looked for records that retention lets go.",
    ),
    ("max.connections", INT, |s| Some(s.connections_max.to_string()), "Connections at once."),
    ("node.id", INT, |s| Some(s.node_id.to_string()), "This broker's node id."),
    ("num.partitions", INT, |s| Some(s.default_partitions.to_string()), "Partitions of a topic that names no number."),
    (
        "offset.metadata.max.bytes",
        INT,
        |s| Some(s.groups.offset_metadata_max.to_string()),
        "The longest metadata of a committed offset.",
    ),
    (
        "offsets.retention.check.interval.ms",
        LONG,
        |s| Some(s.groups.offsets_retention_check.as_millis().to_string()),
        "How often expired offsets are looked for.",
    ),
    (
        "offsets.retention.minutes",
        INT,
        |s| Some((s.groups.offsets_retention.as_secs() / 60).to_string()),
        "How long the offsets of a group without members are kept.",
    ),
    ("queued.max.request.bytes", LONG, |s| Some(s.request_memory.to_string()), "Bytes of requests held at once."),
    ("socket.request.max.bytes", INT, |s| Some(s.request_bytes_max.to_string()), "The longest request in bytes."),
];

fn listener(settings: &Settings) -> String {
    format!("PLAINTEXT://{}:{}", settings.advertised_host, settings.advertised_port)
}

/// The one setting of our own that can be changed while brokers run, for all of them.
const EXPIRATION: Definition = Definition {
    name: PRODUCER_ID_EXPIRATION_MS,
    kind: Kind::Int(1, i32::MAX as i64),
    default: "86400000",
    treatment: Treatment::Enforced,
    doc: "How long a silent producer's sequences are remembered.",
};

/// Every setting of a broker, by name.
pub fn describe<'a>(settings: &Settings, state: &'a State) -> Vec<BrokerConfig<'a>> {
    let unconfigured = Settings::default();
    let own = OWN.iter().map(|&(name, kind, read, doc)| {
        let value = read(settings);
        let source = if value == read(&unconfigured) { Source::Default } else { Source::Start };
        BrokerConfig { name, kind, value, source, layers: Vec::new(), doc }
    });
    let idle = BrokerConfig {
        name: "connections.max.idle.ms",
        kind: LONG,
        value: Some(IDLE_LIMIT.as_millis().to_string()),
        source: Source::Default,
        layers: Vec::new(),
        doc: "Idle connections are closed after this time.",
    };
    let expiration = state.broker_defaults().get(EXPIRATION.name).map(|value| (value.as_str(), Source::AllBrokers));
    let layers = expiration.into_iter().chain([(EXPIRATION.default, Source::Default)]);
    let layers = layers.map(|(value, source)| Layer { name: EXPIRATION.name, value, source }).collect();
    let of_producers = layered(EXPIRATION.name, &EXPIRATION, layers);
    let node = Layers::of_broker(state, settings.node_id);
    let of_topics = topic::DEFINITIONS.iter().filter_map(|definition| {
        let name = of_topic(definition.name)?;
        Some(layered(name, definition, node.of(definition).collect()))
    });
    let mut all: Vec<BrokerConfig<'_>> = own.chain([idle, of_producers]).chain(of_topics).collect();
    all.sort_by_key(|config| config.name);
    all
}

fn layered<'a>(name: &'static str, definition: &Definition, layers: Vec<Layer<'a>>) -> BrokerConfig<'a> {
    let first = layers.first().expect("the default is always there");
    let (value, source) = (Some(first.value.to_owned()), first.source);
    BrokerConfig { name, kind: definition.kind, value, source, layers, doc: definition.doc }
}

/// The settings of brokers that are lists.
pub const LISTS: &[Definition] = definitions! {
    "log.cleanup.policy", Kind::List(&["compact", "delete"]), "delete", Treatment::Accepted, "Of topics that have none.";
};

/// The definition of a setting that can be changed while brokers run, under the broker's name for it.
pub fn dynamic(name: &str) -> Option<&'static Definition> {
    if name == EXPIRATION.name {
        return Some(&EXPIRATION);
    }
    topic::DEFINITIONS.iter().find(|definition| of_topic(definition.name) == Some(name))
}

/// Checks all settings of this broker (`of_one`), or of all of them, as they would be. Kafka answers with INVALID_REQUEST
/// where a value is wrong.
pub fn check_all(settings: &Given, of_one: bool) -> Result<(), ConfigError> {
    let fixed: Vec<&str> = settings.keys().map(String::as_str).filter(|name| dynamic(name).is_none()).collect();
    if !fixed.is_empty() {
        return Err(ConfigError::Request(format!("Cannot update these configs dynamically: [{}]", fixed.join(", "))));
    }
    if of_one && settings.contains_key(EXPIRATION.name) {
        let name = EXPIRATION.name;
        return Err(ConfigError::Request(format!("Cannot update these configs at per broker level: [{name}]")));
    }
    for (name, value) in settings {
        let definition = dynamic(name).expect("looked at above");
        let checked = Definition { name: dynamic_name(name, definition), ..*definition }.check(value);
        let checked = checked.and_then(|()| match name == EXPIRATION.name {
            true => Ok(()),
            false => topic::check(definition.name, value),
        });
        checked.map_err(|error| ConfigError::Request(error.to_string()))?;
    }
    Ok(())
}

/// The broker's own name, as a constant.
fn dynamic_name(name: &str, definition: &Definition) -> &'static str {
    of_topic(definition.name).filter(|of_topic| *of_topic == name).unwrap_or(definition.name)
}

/// The broker's setting that gives topics the default of one of theirs; tools look for defaults under these names.
pub fn of_topic(name: &str) -> Option<&'static str> {
    Some(match name {
        "cleanup.policy" => "log.cleanup.policy",
        "compression.gzip.level" => "compression.gzip.level",
        "compression.lz4.level" => "compression.lz4.level",
        "compression.type" => "compression.type",
        "compression.zstd.level" => "compression.zstd.level",
        "delete.retention.ms" => "log.cleaner.delete.retention.ms",
        "file.delete.delay.ms" => "log.segment.delete.delay.ms",
        "flush.messages" => "log.flush.interval.messages",
        "flush.ms" => "log.flush.interval.ms",
        "index.interval.bytes" => "log.index.interval.bytes",
        "local.retention.bytes" => "log.local.retention.bytes",
        "local.retention.ms" => "log.local.retention.ms",
        "max.compaction.lag.ms" => "log.cleaner.max.compaction.lag.ms",
        "max.message.bytes" => "message.max.bytes",
        "message.timestamp.after.max.ms" => "log.message.timestamp.after.max.ms",
        "message.timestamp.before.max.ms" => "log.message.timestamp.before.max.ms",
        "message.timestamp.type" => "log.message.timestamp.type",
        "min.cleanable.dirty.ratio" => "log.cleaner.min.cleanable.ratio",
        "min.compaction.lag.ms" => "log.cleaner.min.compaction.lag.ms",
        "min.insync.replicas" => "min.insync.replicas",
        "preallocate" => "log.preallocate",
        "retention.bytes" => "log.retention.bytes",
        "retention.ms" => "log.retention.ms",
        "segment.bytes" => "log.segment.bytes",
        "segment.index.bytes" => "log.index.size.max.bytes",
        "segment.jitter.ms" => "log.roll.jitter.ms",
        "segment.ms" => "log.roll.ms",
        "unclean.leader.election.enable" => "unclean.leader.election.enable",
        _ => return None,
    })
}

/// Whether Kafka has a default for this setting itself. For some it has one in another unit, which it does not show.
pub fn has_default(name: &str) -> bool {
    !matches!(name, "log.flush.interval.ms" | "log.retention.ms" | "log.roll.jitter.ms" | "log.roll.ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_in_force_and_say_whether_they_were_chosen() {
        let settings = Settings { node_id: 7, default_partitions: 12, ..Settings::default() };
        let state = State::new();
        let all = describe(&settings, &state);
        assert!(all.is_sorted_by(|a, b| a.name < b.name), "sorted, and no name twice");
        let find = |name| all.iter().find(|config| config.name == name).map(|c| (c.value.as_deref(), c.source));
        assert_eq!(find("num.partitions"), Some((Some("12"), Source::Start)));
        assert_eq!(find("broker.id"), Some((Some("7"), Source::Start)));
        assert_eq!(find("broker.rack"), Some((None, Source::Default)));
        assert_eq!(find("socket.request.max.bytes"), Some((Some("104857600"), Source::Default)));
        assert_eq!(find("producer.id.expiration.ms"), Some((Some("86400000"), Source::Default)));
        assert_eq!(find("message.max.bytes"), Some((Some("1048588"), Source::Default)));
    }

    #[test]
    fn only_what_takes_effect_at_once_can_be_changed() {
        let check = |name: &str, value: &str, of_one| {
            let refused = check_all(&[(name.to_owned(), value.to_owned())].into(), of_one);
            refused.map_err(|error| error.to_string())
        };
        assert_eq!(check("log.retention.ms", "1000", true), Ok(()));
        assert_eq!(check("producer.id.expiration.ms", "1000", false), Ok(()));
        let refused = |text: &str| Err(text.to_owned());
        let text = "Cannot update these configs dynamically: [num.partitions]";
        assert_eq!(check("num.partitions", "3", false), refused(text));
        let text = "Cannot update these configs at per broker level: [producer.id.expiration.ms]";
        assert_eq!(check("producer.id.expiration.ms", "1000", true), refused(text));
        let text = "Invalid value x for configuration message.max.bytes: Not a number of type INT";
        assert_eq!(check("message.max.bytes", "x", false), refused(text));
    }
}
