//! librdkafka clients: their settings, and the topic that a run needs.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rdkafka::{
    ClientConfig, ClientContext,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::{Client, DefaultClientContext},
    types::RDKafkaErrorCode,
};

use super::options::Options;
use crate::exit::{Exit, Failure};

/// How long one question to the Kafka may take.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long a new topic may take to be known.
const TOPIC_PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a topic that is not known yet.
const TOPIC_PAUSE: Duration = Duration::from_millis(100);

/// The settings that bear on the figures, as far as they exist for this kind of client.
const PRODUCER_SETTINGS: &[&str] = &[
    "acks",
    "batch.num.messages",
    "batch.size",
    "compression.type",
    "enable.idempotence",
    "linger.ms",
    "max.in.flight.requests.per.connection",
    "message.timeout.ms",
    "partitioner",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "request.timeout.ms",
    "sticky.partitioning.linger.ms",
];
const CONSUMER_SETTINGS: &[&str] = &[
    "check.crcs",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "isolation.level",
    "queued.max.messages.kbytes",
    "queued.min.messages",
];

/// Which kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It writes.
    Producer,
    /// It reads partitions that it was assigned.
    Consumer,
}

/// The client's settings: its own defaults, what the command line sets, and what a consumer cannot do without.
pub fn config(options: &Options, kind: Kind) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &options.bootstrap).set("client.id", "kafscale-bench");
    if kind == Kind::Consumer {
        // librdkafka assigns partitions only to a client that names a group; it never joins it, and commits nothing.
        config.set("group.id", "kafscale-bench").set("enable.auto.commit", "false");
    }
    for (key, value) in &options.properties {
        config.set(key, value);
    }
    config
}

/// The effective settings that bear on the figures, and all that were set. A setting that the client refuses is a usage
/// error.
pub fn effective(config: &ClientConfig, kind: Kind) -> Result<BTreeMap<String, String>, Failure> {
    let mut probe = config.clone();
    if kind == Kind::Producer && config.get("acks").is_none() {
        // Its default: the library tells the settings of topics only where at least one of them is set.
        probe.set("acks", "-1");
    }
    let native = probe.create_native_config().map_err(|error| Failure::new(Exit::Usage, error))?;
    let names = match kind {
        Kind::Producer => PRODUCER_SETTINGS,
        Kind::Consumer => CONSUMER_SETTINGS,
    };
    let mut settings: BTreeMap<String, String> = config
        .config_map()
        .iter()
        .map(|(key, value)| ((*key).to_owned(), if is_secret(key) { "(secret)" } else { value }.to_owned()))
        .collect();
    for name in names {
        if let Ok(value) = native.get(name) {
            settings.insert((*name).to_owned(), value.trim_end_matches('\0').to_owned());
        }
    }
    Ok(settings)
}

fn is_secret(key: &str) -> bool {
    key.contains("password") || key.contains("secret") || key.ends_with(".pem") || key.starts_with("sasl.jaas")
}

/// Creates the topic with so many partitions, if it is absent.
pub fn create_topic(options: &Options, partitions: u32) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        admin_config(options).create().context("the client refuses its settings")?;
    let partitions = i32::try_from(partitions).context("too many partitions")?;
    // The replication is the server's default.
    let topic = NewTopic::new(&options.topic, partitions, TopicReplication::Fixed(-1));
    let asked = AdminOptions::new().request_timeout(Some(TOPIC_PATIENCE)).operation_timeout(Some(TOPIC_PATIENCE));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let created = runtime.block_on(admin.create_topics([&topic], &asked));
    for result in created.with_context(|| format!("cannot create topic {}", options.topic))? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => bail!("cannot create topic {topic}: {code}"),
        }
    }
    Ok(())
}

/// An admin client refuses properties of producers and consumers only by a warning; it needs the connection alone.
fn admin_config(options: &Options) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &options.bootstrap).set("client.id", "kafscale-bench");
    let connection = ["security.", "sasl.", "ssl.", "socket.", "broker."];
    for (key, value) in &options.properties {
        if connection.iter().any(|prefix| key.starts_with(prefix)) {
            config.set(key, value);
        }
    }
    config
}

/// The partitions of a topic, once every one has a leader.
pub fn partitions<C: ClientContext>(client: &Client<C>, topic: &str) -> anyhow::Result<Vec<i32>> {
    let started = Instant::now();
    loop {
        let metadata = client.fetch_metadata(Some(topic), PATIENCE).context("no answer from the Kafka")?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        if let Some(found) = found.filter(|found| found.error().is_none()) {
            let led = found.partitions().iter().all(|partition| partition.leader() >= 0);
            if led && !found.partitions().is_empty() {
                return Ok(found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect());
            }
        }
        if started.elapsed() > TOPIC_PATIENCE {
            bail!("topic {topic} did not become known within {TOPIC_PATIENCE:?}");
        }
        std::thread::sleep(TOPIC_PAUSE);
    }
}
