//! The broker as `serve` sees it: started on a store, listening, ended, drained; and which exit code each end has.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::anyhow;
use kafscale_broker::{
    Broker, Ended, StartError,
    cluster::ClusterError,
    metrics::Metrics,
    net::{self, Listener},
    snapshot,
};
use kafscale_log::{
    frame::DecodeError,
    lone::{OpenError, floor::FloorError},
};
use kafscale_runtime::{Handle, TokioRuntime};
use tokio::net::TcpListener;

use super::{access::access, http::Source, places};
use crate::{
    exit::{Exit, Failure},
    settings::{Address, Latency, MigrationPolicy, Settings},
};

/// A running broker.
pub struct Node {
    broker: Arc<Broker>,
    pages: Arc<Pages>,
    runtime: Handle,
    listener: Option<Listener>,
}

impl Node {
    /// Opens the store, takes it over and replays the log; `pages` tell of it from then on.
    pub async fn start(settings: &Settings, advertised: &Address, pages: Arc<Pages>) -> Result<Self, Failure> {
        let runtime = TokioRuntime::handle();
        let metrics = Arc::clone(&pages.metrics);
        let stores = places::open(settings, &access(settings), &runtime, &metrics)?;
        let broker = Broker::start(stores, runtime.clone(), metrics, translate(settings, advertised)).await;
        let broker = broker.map_err(not_started)?;
        assert!(pages.broker.set(Arc::clone(&broker)).is_ok(), "a process starts one broker");
        Ok(Self { broker, pages, runtime, listener: None })
    }

    /// The cluster's id, as clients see it.
    pub fn cluster_id(&self) -> String {
        self.broker.cluster().kafka_id()
    }

    /// Begins to accept clients.
    pub fn listen(&mut self, socket: TcpListener) -> Result<(), Failure> {
        let listener = net::listen(socket, Arc::clone(&self.broker), self.runtime.clone());
        self.listener = Some(listener.map_err(|error| Failure::from(anyhow!("cannot accept clients: {error}")))?);
        Ok(())
    }

    /// Completes when the broker cannot go on.
    pub async fn ended(&self) -> Failure {
        match self.broker.ended().await {
            Ended::Fenced(reason) => Failure::new(Exit::Fenced, anyhow!("fenced: {reason}")),
            Ended::Newer(reason) => {
                Failure::new(Exit::NewerVersion, anyhow!("a newer version writes to this store: {reason}"))
            }
            Ended::Stopped(reason) => Failure::new(Exit::Unexpected, anyhow!("the broker stopped: {reason}")),
        }
    }

    /// Stops accepting and reading, flushes, and answers what was taken in, all within `limit`.
    pub async fn drain(self, limit: Duration) -> Result<(), Failure> {
        self.pages.draining.store(true, Ordering::Relaxed);
        let late = || Failure::from(anyhow!("the drain did not end within {limit:?}: some requests were not answered"));
        let closed = async {
            match self.listener {
                Some(listener) => listener.drain(limit).await,
                None => 0,
            }
        };
        let flushed = async {
            // At once, so that nobody waits for a timer; and again for what was still on its way into the buffer.
            let ((), cut) = tokio::join!(self.broker.drain(), closed);
            self.broker.drain().await;
            cut
        };
        match tokio::time::timeout(limit, flushed).await {
            Ok(0) => Ok(()),
            Ok(_) | Err(_) => Err(late()),
        }
    }
}

/// What HTTP shows, from before the broker has started.
#[derive(Default)]
pub struct Pages {
    metrics: Arc<Metrics>,
    broker: OnceLock<Arc<Broker>>,
    draining: AtomicBool,
}

impl Source for Pages {
    fn metrics(&self) -> String {
        self.broker.get().map_or_else(|| self.metrics.encode(), |broker| broker.metrics_text())
    }

    fn ready(&self) -> Result<Option<String>, String> {
        match self.broker.get() {
            None => Err("starting: the log is being replayed".to_owned()),
            Some(_) if self.draining.load(Ordering::Relaxed) => Err("draining".to_owned()),
            Some(broker) => broker.readiness(),
        }
    }
}

fn translate(settings: &Settings, advertised: &Address) -> kafscale_broker::Settings {
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    kafscale_broker::Settings {
        node_id: settings.node_id.0,
        rack: settings.rack.clone(),
        advertised_host: advertised.host.clone(),
        advertised_port: advertised.port,
        latency: match settings.latency {
            Latency::Economical => kafscale_broker::Latency::Economical,
            Latency::Balanced => kafscale_broker::Latency::Balanced,
            Latency::Fast => kafscale_broker::Latency::Fast,
        },
        request_bytes_max: bytes(settings.socket_request_max_bytes.bytes()),
        request_memory: bytes(settings.request_memory.bytes()),
        connections_max: settings.max_connections as usize,
        cache_bytes: settings.cache_memory.bytes(),
        auto_create_topics: settings.auto_create_topics,
        default_partitions: settings.num_partitions,
        groups: kafscale_broker::GroupSettings {
            initial_rebalance_delay: settings.group_initial_rebalance_delay,
            session_timeout_min: settings.group_min_session_timeout,
            session_timeout_max: settings.group_max_session_timeout,
            max_size: settings.group_max_size,
            consumer_max_size: settings.group_consumer_max_size,
            migration: match settings.group_consumer_migration_policy {
                MigrationPolicy::Disabled => kafscale_broker::MigrationPolicy::Disabled,
                MigrationPolicy::Upgrade => kafscale_broker::MigrationPolicy::Upgrade,
                MigrationPolicy::Downgrade => kafscale_broker::MigrationPolicy::Downgrade,
                MigrationPolicy::Bidirectional => kafscale_broker::MigrationPolicy::Bidirectional,
            },
            offset_metadata_max: settings.offset_metadata_max_bytes as usize,
            offsets_retention: settings.offsets_retention,
            offsets_retention_check: settings.offsets_retention_check_interval,
        },
        life: kafscale_broker::LifeSettings {
            merge_interval: settings.merge_interval,
            merge_age: settings.merge_age,
            merge_bytes: settings.merge_size.bytes(),
            segment_bytes: settings.segment_size.bytes(),
            segment_age: settings.segment_age,
            segment_small_age: settings.segment_age_small,
            clean_interval: settings.compaction_interval,
            clean_memory: settings.compaction_memory.bytes(),
            bandwidth: settings.rewrite_bandwidth.bytes(),
            retention_check: settings.retention_check_interval,
            delete_age: settings.delete_delay,
            delete_replaced_age: settings.delete_delay * 4,
            ..kafscale_broker::LifeSettings::default()
        },
        look_at_stores: true,
        ..kafscale_broker::Settings::default()
    }
}

/// The exit code of a broker that did not start.
fn not_started(error: StartError) -> Failure {
    let exit = match &error {
        StartError::Cluster(error) => match error {
            ClusterError::Read(_)
            | ClusterError::Write(_)
            | ClusterError::Unfit(_)
            | ClusterError::KnownUnfit(_)
            | ClusterError::Misused { .. }
            | ClusterError::Strangers { .. } => Exit::StoreUnusable,
            ClusterError::Newer(_) => Exit::NewerVersion,
            ClusterError::Malformed(_)
            | ClusterError::MarkerMissing
            | ClusterError::LogMissing
            | ClusterError::DataMissing => Exit::DataLoss,
        },
        StartError::Snapshot(error) => match error {
            snapshot::Error::Read(_) | snapshot::Error::Write(_) => Exit::StoreUnusable,
            snapshot::Error::Newer { .. } => Exit::NewerVersion,
            snapshot::Error::NoneReadable(_) | snapshot::Error::Altered(_) => Exit::DataLoss,
        },
        StartError::Log(error) => match error {
            OpenError::Unavailable(_) | OpenError::Refused(_) => Exit::StoreUnusable,
            OpenError::Corrupt { source: DecodeError::NewerVersion { .. }, .. } => Exit::NewerVersion,
            OpenError::Floor(FloorError::NewerVersion(_)) => Exit::NewerVersion,
            OpenError::Lost { .. } | OpenError::Corrupt { .. } | OpenError::Trimmed { .. } | OpenError::Floor(_) => {
                Exit::DataLoss
            }
            OpenError::Abandoned => Exit::Unexpected,
        },
        StartError::Newer(_) => Exit::NewerVersion,
        StartError::LogBehind(_) | StartError::Replay(_) => Exit::DataLoss,
    };
    Failure::new(exit, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_tells_of_a_broker_that_is_still_starting() {
        let pages = Pages::default();
        assert_eq!(pages.ready(), Err("starting: the log is being replayed".to_owned()));
        assert!(pages.metrics().contains("kafscale_connections 0"));
    }
}
