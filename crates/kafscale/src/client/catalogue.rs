//! The properties of clients that we know: their names, defaults and meaning.
//!
//! Names are Kafka's; where the ones of librdkafka differ and are common, they are there too. The client is always told
//! every value explicitly, so that the defaults in this table are the ones in force.

/// Which client a property is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Every client: where to connect and how.
    Connection,
    /// Those that write.
    Producer,
    /// Those that read.
    Consumer,
}

/// One property.
#[derive(Debug)]
pub struct Known {
    /// Its name in files and in `--set`.
    pub name: &'static str,
    /// Whom it is for.
    pub part: Part,
    /// The value that holds where none is given; empty where there is none.
    pub default: &'static str,
    /// What it means, in sentences.
    pub doc: &'static str,
}

impl Known {
    /// Whether the value must never be printed.
    pub fn is_secret(&self) -> bool {
        ["sasl.jaas.config", "sasl.password", "sasl.oauthbearer.token", "ssl.keystore.key"].contains(&self.name)
    }
}

/// The property of this name.
pub fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

const fn known(part: Part, name: &'static str, default: &'static str, doc: &'static str) -> Known {
    Known { name, part, default, doc }
}

use Part::{Connection, Consumer, Producer};

/// All of them, in the order of the documentation.
pub const KNOWN: &[Known] = &[
    known(Connection, "bootstrap.servers", "127.0.0.1:9092", "Brokers to ask first: `HOST:PORT`, separated by commas."),
    known(Connection, "client.id", "kafscale", "Name of this client in the broker's logs and metrics."),
    known(Connection, "security.protocol", "PLAINTEXT", "`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`."),
    known(Connection, "sasl.mechanism", "", "`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`."),
    known(Connection, "sasl.jaas.config", "", "Kafka's login line; user name and password are taken from it."),
    known(Connection, "sasl.username", "", "User name, where `sasl.jaas.config` is not given."),
    known(Connection, "sasl.password", "", "Password, where `sasl.jaas.config` is not given."),
    known(Connection, "sasl.oauthbearer.token", "", "Token for `OAUTHBEARER`."),
    known(Connection, "ssl.truststore.type", "PEM", "Only `PEM`."),
    known(Connection, "ssl.truststore.location", "", "PEM file with the authorities to trust; without it, Mozilla's."),
    known(Connection, "ssl.truststore.certificates", "", "The authorities themselves, as PEM."),
    known(Connection, "ssl.ca.location", "", "The same as `ssl.truststore.location`."),
    known(Connection, "ssl.keystore.type", "PEM", "Only `PEM`."),
    known(Connection, "ssl.keystore.location", "", "PEM file with this client's certificate chain and its key."),
    known(Connection, "ssl.keystore.certificate.chain", "", "This client's certificate chain itself, as PEM."),
    known(Connection, "ssl.keystore.key", "", "The key of that chain, as PEM."),
    known(Connection, "ssl.certificate.location", "", "PEM file with this client's certificate chain."),
    known(Connection, "ssl.key.location", "", "PEM file with the key of that chain."),
    known(Connection, "ssl.endpoint.identification.algorithm", "https", "Only `https`: the host name is checked."),
    known(Connection, "enable.ssl.certificate.verification", "true", "`false` trusts any server; for trials only."),
    known(Connection, "request.timeout.ms", "30000", "How long one request may wait for its answer."),
    known(Connection, "default.api.timeout.ms", "30000", "How long an administrative call may take with its retries."),
    known(Connection, "socket.connection.setup.timeout.ms", "10000", "How long connecting to one broker may take."),
    known(Connection, "connections.max.idle.ms", "540000", "When an unused connection is closed; 0 is never."),
    known(Connection, "metadata.max.age.ms", "300000", "When what is known of the cluster is asked for again."),
    known(Connection, "send.buffer.bytes", "-1", "Size of the socket's send buffer; -1 is the system's choice."),
    known(Connection, "receive.buffer.bytes", "-1", "Size of the socket's receive buffer; -1 is the system's choice."),
    known(Producer, "acks", "all", "Which acknowledgement to wait for: `0`, `1` or `all`."),
    known(
        Producer,
        "enable.idempotence",
        "true",
        "Whether the broker drops repeated batches; off unless `acks` is `all`.",
    ),
    known(Producer, "compression.type", "none", "`none`, `gzip`, `snappy`, `lz4` or `zstd`."),
    known(Producer, "compression.gzip.level", "", "1 to 9."),
    known(Producer, "compression.zstd.level", "", "1 to 22, or negative for speed."),
    known(Producer, "batch.size", "16384", "Bytes of a partition's records that go into one batch."),
    known(Producer, "linger.ms", "5", "How long a batch waits for more records while its partition is idle."),
    known(Producer, "buffer.memory", "33554432", "Bytes of records that may wait; beyond, the command waits."),
    known(Producer, "max.request.size", "1048576", "Largest request that is written, in bytes."),
    known(
        Producer,
        "delivery.timeout.ms",
        "120000",
        "How long a record may take, with all retries, before it is given up.",
    ),
    known(Producer, "max.block.ms", "60000", "How long sending may wait for the topic or for memory."),
    known(Producer, "retry.backoff.ms", "100", "Pause before the first repetition of a request."),
    known(Producer, "client.rack", "", "Zone of this client. Consumers read from there where the broker offers it."),
    known(Consumer, "group.id", "", "Group to join."),
    known(Consumer, "group.instance.id", "", "Name of a static member of the group."),
    known(Consumer, "group.protocol", "classic", "`classic` or `consumer` (KIP-848)."),
    known(Consumer, "group.remote.assignor", "", "Assignor on the server, for `group.protocol=consumer`."),
    known(Consumer, "partition.assignment.strategy", "range,cooperative-sticky", "Assignors of a classic group."),
    known(Consumer, "session.timeout.ms", "45000", "When a silent member of a classic group is given up."),
    known(Consumer, "heartbeat.interval.ms", "3000", "How often a member of a classic group is heard."),
    known(Consumer, "max.poll.interval.ms", "300000", "How long a member may be busy with what it read."),
    known(Consumer, "enable.auto.commit", "true", "Whether a group's offsets are committed as records are handed out."),
    known(Consumer, "auto.commit.interval.ms", "5000", "How often they are committed."),
    known(
        Consumer,
        "auto.offset.reset",
        "latest",
        "Where a partition without a committed offset begins: `earliest`, `latest`, `none`.",
    ),
    known(Consumer, "fetch.min.bytes", "1", "Bytes for which the broker waits before it answers."),
    known(Consumer, "fetch.max.bytes", "52428800", "Bytes of one answer, over all partitions."),
    known(Consumer, "fetch.max.wait.ms", "500", "How long the broker waits for `fetch.min.bytes`."),
    known(Consumer, "max.partition.fetch.bytes", "1048576", "Bytes of one partition in one answer."),
    known(Consumer, "max.poll.records", "500", "Records that are handed out at a time."),
    known(
        Consumer,
        "isolation.level",
        "read_uncommitted",
        "`read_committed` hides records of open and aborted transactions.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_there_once() {
        let mut names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KNOWN.len());
    }
}
