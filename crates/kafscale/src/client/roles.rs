//! Producers and consumers with the properties that were given.

use std::time::Duration;

use krafka::{
    Compression, Kafka,
    consumer::{
        AutoOffsetReset, ConsumerBuilder, GroupProtocol, IsolationLevel, PartitionAssignmentStrategy as Strategy,
    },
    producer::{Acks, ProducerBuilder},
};

use super::properties::Properties;
use crate::exit::Failure;

/// A producer, not yet built.
pub fn producer(kafka: &Kafka, properties: &Properties) -> Result<ProducerBuilder, Failure> {
    let acks = match properties.text("acks") {
        "0" => Acks::None,
        "1" => Acks::Leader,
        "all" | "-1" => Acks::All,
        _ => return Err(properties.refused("acks", "expected 0, 1 or all")),
    };
    let (codec, level) = match properties.text("compression.type") {
        "none" => (Compression::None, None),
        "gzip" => (Compression::Gzip, level(properties, "compression.gzip.level")?),
        "snappy" => (Compression::Snappy, None),
        "lz4" => (Compression::Lz4, None),
        "zstd" => (Compression::Zstd, level(properties, "compression.zstd.level")?),
        _ => return Err(properties.refused("compression.type", "expected none, gzip, snappy, lz4 or zstd")),
    };
    let mut builder = kafka
        .producer()
        .acks(acks)
        .compression(codec)
        .compression_level(level)
        .idempotent(properties.switch("enable.idempotence")?)
        .batch_size(properties.number("batch.size")?)
        .linger(millis(properties, "linger.ms")?)
        .buffer_memory(properties.number("buffer.memory")?)
        .max_request_size(properties.number("max.request.size")?)
        .delivery_timeout(millis(properties, "delivery.timeout.ms")?)
        .max_block(millis(properties, "max.block.ms")?)
        .retry_backoff(millis(properties, "retry.backoff.ms")?)
        .metrics_push(false);
    if let Some(rack) = properties.some("client.rack") {
        builder = builder.client_rack(rack);
    }
    Ok(builder)
}

/// A consumer, not yet built: a member of `group.id` if that is given, one that is assigned its partitions otherwise.
pub fn consumer(kafka: &Kafka, properties: &Properties) -> Result<ConsumerBuilder, Failure> {
    let mut builder = match properties.some("group.id") {
        Some(group) => kafka.consumer(group),
        None => kafka.consumer_without_group(),
    };
    builder = builder
        .auto_offset_reset(reset(properties)?)
        .enable_auto_commit(properties.switch("enable.auto.commit")?)
        .auto_commit_interval(millis(properties, "auto.commit.interval.ms")?)
        .fetch_min_bytes(properties.number("fetch.min.bytes")?)
        .fetch_max_bytes(properties.number("fetch.max.bytes")?)
        .fetch_max_wait(millis(properties, "fetch.max.wait.ms")?)
        .max_partition_fetch_bytes(properties.number("max.partition.fetch.bytes")?)
        .max_poll_records(properties.number("max.poll.records")?)
        .isolation_level(match properties.text("isolation.level") {
            "read_uncommitted" => IsolationLevel::ReadUncommitted,
            "read_committed" => IsolationLevel::ReadCommitted,
            _ => return Err(properties.refused("isolation.level", "expected read_uncommitted or read_committed")),
        })
        .group_protocol(match properties.text("group.protocol").to_ascii_lowercase().as_str() {
            "classic" => GroupProtocol::Classic,
            "consumer" => GroupProtocol::Consumer,
            _ => return Err(properties.refused("group.protocol", "expected classic or consumer")),
        })
        .partition_assignment_strategies(strategies(properties)?)
        .session_timeout(millis(properties, "session.timeout.ms")?)
        .heartbeat_interval(millis(properties, "heartbeat.interval.ms")?)
        .max_poll_interval(millis(properties, "max.poll.interval.ms")?)
        .metrics_push(false);
    if let Some(instance) = properties.some("group.instance.id") {
        builder = builder.group_instance_id(instance);
    }
    if let Some(assignor) = properties.some("group.remote.assignor") {
        builder = builder.group_remote_assignor(assignor);
    }
    if let Some(rack) = properties.some("client.rack") {
        builder = builder.client_rack(rack);
    }
    Ok(builder)
}

fn reset(properties: &Properties) -> Result<AutoOffsetReset, Failure> {
    match properties.text("auto.offset.reset") {
        "earliest" => Ok(AutoOffsetReset::Earliest),
        "latest" => Ok(AutoOffsetReset::Latest),
        "none" => Ok(AutoOffsetReset::None),
        _ => Err(properties.refused("auto.offset.reset", "expected earliest, latest or none")),
    }
}

/// Assignors by their short names or by the classes of Kafka's Java client.
fn strategies(properties: &Properties) -> Result<Vec<Strategy>, Failure> {
    let name = "partition.assignment.strategy";
    let one = |text: &str| match text.trim().rsplit('.').next().unwrap_or_default() {
        "range" | "RangeAssignor" => Ok(Strategy::Range),
        "roundrobin" | "RoundRobinAssignor" => Ok(Strategy::RoundRobin),
        "cooperative-sticky" | "CooperativeStickyAssignor" => Ok(Strategy::CooperativeSticky),
        _ => Err(properties.refused(name, "expected range, roundrobin or cooperative-sticky")),
    };
    properties.text(name).split(',').map(one).collect()
}

fn level(properties: &Properties, name: &str) -> Result<Option<i32>, Failure> {
    properties.some(name).map(|_| properties.number(name)).transpose()
}

fn millis(properties: &Properties, name: &str) -> Result<Duration, Failure> {
    properties.number(name).map(Duration::from_millis)
}
