//! Metrics that clients push, as metrics of this broker: few, and of bounded labels whatever clients send.

use std::{collections::BTreeSet, sync::atomic::AtomicU64};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::telemetry::{Kind, Point};

/// Names of metrics that are told; those that come later are counted and dropped.
const NAMES_MAX: usize = 256;
/// Software that is told by name.
const SOFTWARE: [&str; 6] =
    ["apache-kafka-java", "librdkafka", "confluent-kafka-python", "confluent-kafka-go", "kgo", "sarama"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Software {
    software: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Metric {
    metric: String,
}

/// See the module.
#[derive(Default)]
pub struct ClientMetrics {
    pushes: Family<Software, Counter>,
    bytes: Counter,
    dropped: Counter,
    sums: Family<Metric, Counter<f64, AtomicU64>>,
    gauges: Family<Metric, Gauge<f64, AtomicU64>>,
    names: Mutex<BTreeSet<String>>,
}

impl ClientMetrics {
    /// Makes them part of the page.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("client_pushes", "Pushes of client metrics by client software", self.pushes.clone());
        registry.register_with_unit("client_push", "Pushed client metrics", Unit::Bytes, self.bytes.clone());
        registry.register("client_points_dropped", "Points of client metrics that are not told", self.dropped.clone());
        registry.register("client_sum", "Sums that clients pushed, of all clients together", self.sums.clone());
        registry.register("client_value", "Values that clients pushed, the last of any client", self.gauges.clone());
    }

    /// A client pushed these.
    pub fn pushed(&self, software: &str, bytes: usize, points: &[Point]) {
        let software = SOFTWARE.into_iter().find(|known| *known == software).unwrap_or("other");
        self.pushes.get_or_create(&Software { software }).inc();
        self.bytes.inc_by(bytes as u64);
        let mut names = self.names.lock();
        for point in points {
            if !names.contains(&point.name) {
                if names.len() >= NAMES_MAX {
                    self.dropped.inc();
                    continue;
                }
                names.insert(point.name.clone());
            }
            let label = Metric { metric: point.name.clone() };
            match point.kind {
                Kind::Delta => drop(self.sums.get_or_create(&label).inc_by(point.value)),
                Kind::Gauge | Kind::Total => drop(self.gauges.get_or_create(&label).set(point.value)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn point(name: &str, kind: Kind, value: f64) -> Point {
        Point { name: name.to_owned(), kind, value }
    }

    #[test]
    fn sums_add_up_values_replace_each_other_and_names_are_bounded() {
        let mut registry = Registry::with_prefix("kafscale");
        let metrics = ClientMetrics::default();
        metrics.register(&mut registry);
        for value in [2.0, 3.0] {
            let points = [point("sent", Kind::Delta, value), point("lag", Kind::Gauge, value)];
            metrics.pushed("librdkafka", 10, &points);
        }
        let many: Vec<_> = (0..NAMES_MAX + 8).map(|number| point(&format!("m{number}"), Kind::Gauge, 1.0)).collect();
        metrics.pushed("an unknown one", 5, &many);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes everything");
        for line in [
            "kafscale_client_sum_total{metric=\"sent\"} 5.0",
            "kafscale_client_value{metric=\"lag\"} 3.0",
            "kafscale_client_pushes_total{software=\"librdkafka\"} 2",
            "kafscale_client_pushes_total{software=\"other\"} 1",
            "kafscale_client_push_bytes_total 25",
            "kafscale_client_points_dropped_total 10",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
