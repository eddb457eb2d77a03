//! The settings of a broker as DescribeConfigs shows them, under Kafka's names: only those that mean something here, each
//! with the value that is really in force. They are set when the broker starts, so all are read-only.

use crate::{
    Settings,
    net::IDLE_LIMIT,
    topic_config::{self, Kind},
};

/// One setting of a broker.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerConfig {
    /// Kafka's name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The value in force.
    pub value: Option<String>,
    /// Whether it is the value that an unconfigured broker has.
    pub is_default: bool,
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
    ("max.connections", INT, |s| Some(s.connections_max.to_string()), "Connections at once."),
    ("node.id", INT, |s| Some(s.node_id.to_string()), "This broker's node id."),
    ("num.partitions", INT, |s| Some(s.default_partitions.to_string()), "Partitions of a topic that names no number."),
    ("queued.max.request.bytes", LONG, |s| Some(s.request_memory.to_string()), "Bytes of requests held at once."),
    ("socket.request.max.bytes", INT, |s| Some(s.request_bytes_max.to_string()), "The longest request in bytes."),
];

fn listener(settings: &Settings) -> String {
    format!("PLAINTEXT://{}:{}", settings.advertised_host, settings.advertised_port)
}

/// Every setting of a broker, by name. `producer_id_expiration_ms` is the cluster's.
pub fn describe(settings: &Settings, producer_id_expiration_ms: i64) -> Vec<BrokerConfig> {
    let unconfigured = Settings::default();
    let own = OWN.iter().map(|&(name, kind, read, doc)| {
        let value = read(settings);
        BrokerConfig { name, kind, is_default: value == read(&unconfigured), value, doc }
    });
    let fixed = [
        ("connections.max.idle.ms", IDLE_LIMIT.as_millis().to_string(), "Idle connections are closed after this time."),
        (
            "producer.id.expiration.ms",
            producer_id_expiration_ms.to_string(),
            "How long a silent producer's sequences are remembered.",
        ),
    ];
    let fixed =
        fixed.map(|(name, value, doc)| BrokerConfig { name, kind: LONG, value: Some(value), is_default: true, doc });
    let of_topics = topic_config::DEFINITIONS.iter().filter_map(|definition| {
        let value = Some(definition.default.to_owned());
        let name = of_topic(definition.name)?;
        Some(BrokerConfig { name, kind: definition.kind, value, is_default: true, doc: definition.doc })
    });
    let mut all: Vec<BrokerConfig> = own.chain(fixed).chain(of_topics).collect();
    all.sort_by_key(|config| config.name);
    all
}

/// The broker's setting that gives topics the default of one of theirs; tools look for defaults under these names.
pub fn of_topic(name: &str) -> Option<&'static str> {
    Some(match name {
        "cleanup.policy" => "log.cleanup.policy",
        "compression.type" => "compression.type",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_in_force_and_say_whether_they_were_chosen() {
        let settings = Settings { node_id: 7, default_partitions: 12, ..Settings::default() };
        let all = describe(&settings, 5_000);
        assert!(all.is_sorted_by(|a, b| a.name < b.name), "sorted, and no name twice");
        let find = |name| all.iter().find(|config| config.name == name).map(|c| (c.value.as_deref(), c.is_default));
        assert_eq!(find("num.partitions"), Some((Some("12"), false)));
        assert_eq!(find("broker.id"), Some((Some("7"), false)));
        assert_eq!(find("broker.rack"), Some((None, true)));
        assert_eq!(find("socket.request.max.bytes"), Some((Some("104857600"), true)));
        assert_eq!(find("producer.id.expiration.ms"), Some((Some("5000"), true)));
        assert_eq!(find("message.max.bytes"), Some((Some("1048588"), true)));
    }
}
