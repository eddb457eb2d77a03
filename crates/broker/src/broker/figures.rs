//! What a broker says of itself in numbers.

use super::Broker;

impl Broker {
    /// All metrics as OpenMetrics text, with what cache, state, log and budgets say now.
    pub fn metrics_text(&self) -> String {
        let (hits, misses) = self.reader.cache().hits_and_misses();
        let loads = self.reader.loader().counts();
        let (backlog, live, segments) =
            self.replica.read(|state| (state.backlog(), state.object_count(), state.segment_count()));
        let log = self.lone.figures();
        let (groups, members) = self.groups.counts();
        let objects = self.writer.object_figures();
        let mirror = self.reader.mirror().map(|mirror| mirror.counts()).unwrap_or_default();
        for (name, value) in [
            ("cache_hits", hits),
            ("cache_misses", misses),
            ("cache_bytes", self.reader.cache().bytes()),
            ("cache_capacity_bytes", self.reader.cache().capacity()),
            ("load_gets", loads.gets),
            ("load_bytes", loads.bytes),
            ("load_failures", loads.failed),
            ("read_hedges", self.read_hedges()),
            ("store_complaints", self.stores.data.throttled().times),
            ("store_condition", self.asked.worst().condition as u64),
            ("read_replica_hits", mirror.hits),
            ("read_replica_misses", mirror.misses),
            ("read_replica_failures", mirror.failures + mirror.wrong),
            ("read_replica_skipped", mirror.skipped),
            ("read_replica_lag_ms", mirror.lag_ms),
            ("request_memory_bytes", self.budget.used()),
            ("request_memory_limit_bytes", self.budget.limit()),
            ("extents", backlog.used),
            ("extents_limit", backlog.cap),
            ("objects", live as u64),
            ("segments", segments),
            ("groups", groups),
            ("group_members", members),
            ("log_tail", log.tail),
            ("log_creates", log.creates),
            ("log_repeats", log.repeats),
            ("log_hedges", log.hedges),
            ("log_read_backs", log.read_backs),
            ("log_barriers", log.barriers),
            ("data_puts", objects.puts),
            ("data_repeats", objects.repeats),
            ("data_hedges", objects.hedges),
        ] {
            self.metrics.reading(name, value);
        }
        let of_log = self.stores.log.as_ref().and_then(|log| log.pace());
        for (names, pace) in [
            (["store_writes_per_second", "store_reads_per_second", "store_waited"], self.stores.data.pace()),
            (["log_store_writes_per_second", "log_store_reads_per_second", "log_store_waited"], of_log),
        ] {
            let Some(pace) = pace else { continue };
            for (name, value) in names.into_iter().zip([pace.writes_per_second, pace.reads_per_second, pace.waited]) {
                self.metrics.reading(name, value);
            }
        }
        self.metrics.encode()
    }
}
