//! What the broker counts, in one registry per process (several brokers may run in one simulated process).

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64},
    },
    time::Duration,
};

use kafscale_log::Position;
use kafscale_protocol::{ApiKey, ErrorCode};
use kafscale_store::{Observer, Request};
use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{client_metrics::ClientMetrics, write::Reason};

/// A label of one API.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Api {
    api: &'static str,
}

/// Labels of one error of one API.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiError {
    api: &'static str,
    error: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FlushReason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Fault {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreRequest {
    store: &'static str,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreOperation {
    store: &'static str,
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reading {
    name: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stage {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rewritten {
    into: &'static str,
}

type Latency = Family<Api, Histogram, fn() -> Histogram>;
type StoreLatency = Family<StoreOperation, Histogram, fn() -> Histogram>;

/// All metrics of one broker.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<Api, Counter>,
    request_seconds: Latency,
    errors: Family<ApiError, Counter>,
    /// Open connections.
    pub connections: Gauge,
    connections_closed: Family<Fault, Counter>,
    produced_bytes: Counter,
    produced_batches: Counter,
    /// Record bytes that left by Fetch.
    pub fetched_bytes: Counter,
    flushes: Family<FlushReason, Counter>,
    flush_bytes: Histogram,
    log_position: Gauge<i64, AtomicI64>,
    log_entry_bytes: Counter,
    /// What others count, read when the page is made.
    readings: Family<Reading, Gauge>,
    stage_seconds: Family<Stage, Histogram, fn() -> Histogram>,
    /// Snapshots that were written and read back.
    pub snapshots: Counter,
    rewritten_objects: Family<Rewritten, Counter>,
    rewritten_bytes: Family<Rewritten, Counter>,
    compacted_records: Counter,
    compacted_bytes: Counter,
    deleted_objects: Counter,
    billed_again_bytes: Counter,
    retention_deleted_records: Counter,
    store_requests: Family<StoreRequest, Counter>,
    store_bytes: Family<StoreOperation, Counter<u64, AtomicU64>>,
    store_seconds: StoreLatency,
    client_metrics: ClientMetrics,
}

fn seconds() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("kafscale")),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            errors: Family::default(),
            connections: Gauge::default(),
            connections_closed: Family::default(),
            produced_bytes: Counter::default(),
            produced_batches: Counter::default(),
            fetched_bytes: Counter::default(),
            flushes: Family::default(),
            flush_bytes: Histogram::new([1e3, 1e4, 1e5, 1e6, 2e6, 4e6, 8e6, 16e6, 64e6]),
            log_position: Gauge::default(),
            log_entry_bytes: Counter::default(),
            readings: Family::default(),
            stage_seconds: Family::new_with_constructor(seconds),
            snapshots: Counter::default(),
            rewritten_objects: Family::default(),
            rewritten_bytes: Family::default(),
            compacted_records: Counter::default(),
            compacted_bytes: Counter::default(),
            deleted_objects: Counter::default(),
            billed_again_bytes: Counter::default(),
            retention_deleted_records: Counter::default(),
            store_requests: Family::default(),
            store_bytes: Family::default(),
            store_seconds: Family::new_with_constructor(seconds),
            client_metrics: ClientMetrics::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&self) {
        let registry = &mut self.registry.lock();
        self.register_requests(registry);
        self.register_log(registry);
        self.register_background(registry);
        self.register_store(registry);
        self.client_metrics.register(registry);
    }

    fn register_requests(&self, registry: &mut Registry) {
        registry.register("requests", "Requests by API", self.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "From frame to answer by API",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        registry.register("errors", "Errors in answers by API and Kafka error", self.errors.clone());
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register(
            "connections_closed",
            "Connections closed for what the client did or left undone, by reason",
            self.connections_closed.clone(),
        );
        registry.register_with_unit(
            "produced",
            "Bytes of batches accepted into the buffer",
            Unit::Bytes,
            self.produced_bytes.clone(),
        );
        registry.register("produced_batches", "Batches accepted into the buffer", self.produced_batches.clone());
        registry.register_with_unit("fetched", "Records sent to consumers", Unit::Bytes, self.fetched_bytes.clone());
    }

    fn register_log(&self, registry: &mut Registry) {
        registry.register("flushes", "Objects written by reason", self.flushes.clone());
        registry.register_with_unit("flush_size", "Payload of an object", Unit::Bytes, self.flush_bytes.clone());
        registry.register("log_position", "Last position applied", self.log_position.clone());
        registry.register_with_unit("log_entries", "Entries applied", Unit::Bytes, self.log_entry_bytes.clone());
        registry.register("reading", "Cache, state, log and budgets now, by name", self.readings.clone());
        registry.register_with_unit(
            "write_stage_duration",
            "A flush by stage: `buffer` from its first byte to closing, `log` from there to being applied, `data` of that time \
             until its data object is stored",
            Unit::Seconds,
            self.stage_seconds.clone(),
        );
        registry.register("snapshots", "Snapshots written", self.snapshots.clone());
    }

    fn register_background(&self, registry: &mut Registry) {
        registry.register(
            "rewritten_objects",
            "Objects that records were rewritten into",
            self.rewritten_objects.clone(),
        );
        registry.register_with_unit("rewritten", "Their bytes", Unit::Bytes, self.rewritten_bytes.clone());
        registry.register(
            "retention_deleted_records",
            "Records that retention let go of",
            self.retention_deleted_records.clone(),
        );
        registry.register(
            "compaction_removed_records",
            "Records that log compaction took out",
            self.compacted_records.clone(),
        );
        registry.register_with_unit(
            "compaction_read",
            "Batches that log compaction went through",
            Unit::Bytes,
            self.compacted_bytes.clone(),
        );
        registry.register("deleted_objects", "Objects deleted that nothing referred to", self.deleted_objects.clone());
        registry.register_with_unit(
            "billed_again",
            "Rewritten while the provider's minimum storage time of what they were written from was not over",
            Unit::Bytes,
            self.billed_again_bytes.clone(),
        );
    }

    fn register_store(&self, registry: &mut Registry) {
        registry.register("store_requests", "Requests to the store", self.store_requests.clone());
        registry.register_with_unit("store", "Bytes to and from the store", Unit::Bytes, self.store_bytes.clone());
        registry.register_with_unit(
            "store_request_duration",
            "Requests to the store",
            Unit::Seconds,
            self.store_seconds.clone(),
        );
    }

    /// What clients pushed.
    pub fn client_metrics(&self) -> &ClientMetrics {
        &self.client_metrics
    }

    /// Something that another part counts, as it is now.
    pub fn reading(&self, name: &'static str, value: u64) {
        self.readings.get_or_create(&Reading { name }).set(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// How long a flush was in a stage.
    pub fn stage(&self, stage: &'static str, took: Duration) {
        self.stage_seconds.get_or_create(&Stage { stage }).observe(took.as_secs_f64());
    }

    /// Records were merged into an object.
    pub fn merged(&self, bytes: u64) {
        self.rewritten("merged", bytes);
    }

    /// A segment was published.
    pub fn segmented(&self, bytes: u64) {
        self.rewritten("segment", bytes);
    }

    /// Compacted records were written to a merged object.
    pub fn cleaned(&self, bytes: u64) {
        self.rewritten("compacted", bytes);
    }

    /// Log compaction went through so many bytes and took out so many records.
    pub fn compacted(&self, records: u64, bytes: u64) {
        self.compacted_records.inc_by(records);
        self.compacted_bytes.inc_by(bytes);
    }

    fn rewritten(&self, into: &'static str, bytes: u64) {
        let label = Rewritten { into };
        self.rewritten_objects.get_or_create(&label).inc();
        self.rewritten_bytes.get_or_create(&label).inc_by(bytes);
    }

    /// Records were rewritten where what they were written from is billed on.
    pub fn billed_again(&self, bytes: u64) {
        self.billed_again_bytes.inc_by(bytes);
    }

    /// Objects that nothing referred to are gone.
    pub fn deleted(&self, objects: u64) {
        self.deleted_objects.inc_by(objects);
    }

    /// Retention let go of records.
    pub fn retained(&self, records: u64) {
        self.retention_deleted_records.inc_by(records);
    }

    /// All metrics as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock()).expect("writing to a string does not fail");
        text
    }

    /// A request was answered.
    pub fn request(&self, api: ApiKey, took: Duration) {
        let label = Api { api: api.facts().name };
        self.requests.get_or_create(&label).inc();
        self.request_seconds.get_or_create(&label).observe(took.as_secs_f64());
    }

    /// An answer, or a part of it, carried an error.
    pub fn error(&self, api: ApiKey, error: ErrorCode) {
        self.errors.get_or_create(&ApiError { api: api.facts().name, error: format!("{error:?}") }).inc();
    }

    /// A connection was closed for what the client did or left undone.
    pub fn connection_closed(&self, reason: &'static str) {
        self.connections_closed.get_or_create(&Fault { reason }).inc();
    }

    /// Batches went into the buffer.
    pub fn produced(&self, bytes: usize, batches: usize) {
        self.produced_bytes.inc_by(bytes as u64);
        self.produced_batches.inc_by(batches as u64);
    }

    /// A buffer was closed.
    pub fn flushed(&self, reason: Reason, record_bytes: u64) {
        let reason = match reason {
            Reason::Size => "size",
            Reason::Timer => "timer",
            Reason::Quiet => "quiet",
            Reason::Age => "age",
        };
        self.flushes.get_or_create(&FlushReason { reason }).inc();
        self.flush_bytes.observe(record_bytes as f64);
    }

    /// Bytes of entries applied since the start.
    pub fn entry_bytes(&self) -> u64 {
        self.log_entry_bytes.get()
    }

    /// A frame was applied.
    pub fn applied(&self, position: Position, entry_bytes: usize) {
        self.log_position.set(i64::try_from(position).unwrap_or(i64::MAX));
        self.log_entry_bytes.inc_by(entry_bytes as u64);
    }
}

/// Which of a broker's stores is asked, as a label says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreRole {
    /// Of the records; of everything, if the log has none of its own.
    Data,
    /// Of the log, if that is another one.
    Log,
    /// The read replica.
    Replica,
}

/// The requests to one store.
struct OfStore {
    metrics: Arc<Metrics>,
    store: &'static str,
}

impl Metrics {
    /// Counts the requests to the store of this role.
    pub fn of_store(self: &Arc<Self>, role: StoreRole) -> Arc<dyn Observer> {
        let store = match role {
            StoreRole::Data => "data",
            StoreRole::Log => "log",
            StoreRole::Replica => "replica",
        };
        Arc::new(OfStore { metrics: Arc::clone(self), store })
    }
}

impl Observer for OfStore {
    fn request(&self, request: &Request) {
        let (metrics, store, operation) = (&self.metrics, self.store, request.operation.as_str());
        let label = StoreRequest { store, operation, outcome: request.outcome.as_str() };
        metrics.store_requests.get_or_create(&label).inc();
        let operation = StoreOperation { store, operation };
        metrics.store_bytes.get_or_create(&operation).inc_by(request.bytes_sent + request.bytes_received);
        metrics.store_seconds.get_or_create(&operation).observe(request.latency.as_secs_f64());
    }
}
