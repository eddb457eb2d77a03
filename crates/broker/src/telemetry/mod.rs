//! Metrics of clients (KIP-714): which client was asked for what, and when it may speak again.
//!
//! What is known of a client instance is memory of this broker alone, as in Apache Kafka: a broker that does not know an
//! instance asks its subscriptions anew. Instances are bounded; the one that was silent longest is forgotten first.

mod otlp;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kafscale_protocol::{ErrorCode, Uuid};
use kafscale_records::Codec;
use kafscale_runtime::Instant;
use kafscale_state::{State, topic::Named};
use parking_lot::Mutex;

pub use otlp::{Kind, Malformed, Point};

use crate::config::client_metrics::{ClientFacts, INTERVAL_MS_DEFAULT, Subscription};

/// The longest push, compressed (`telemetry.max.bytes`).
pub const PUSH_BYTES_MAX: usize = 1 << 20;
/// What a push may decompress to.
const METRICS_BYTES_MAX: usize = 16 << 20;
/// Instances that are remembered, as in Apache Kafka.
const INSTANCES_MAX: usize = 16_384;
/// A subscription that asks for all metrics.
const ALL: &str = "*";

/// What a client is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Tells this question from others.
    pub subscription_id: i32,
    /// Beginnings of names; nothing for no metrics, `*` for all.
    pub metrics: BTreeSet<String>,
    /// How often.
    pub interval_ms: i32,
}

impl Asked {
    /// What all subscriptions that are about this client ask for together.
    pub fn of(state: &State, client: &ClientFacts<'_>, instance: Uuid) -> Self {
        let subscriptions = state.named(Named::ClientMetrics).filter_map(|(_, settings)| Subscription::new(settings));
        let mut interval_ms = INTERVAL_MS_DEFAULT;
        let mut metrics = BTreeSet::new();
        for subscription in subscriptions.filter(|subscription| subscription.matches(client)) {
            interval_ms = interval_ms.min(subscription.interval_ms);
            metrics.extend(subscription.metrics);
        }
        if metrics.contains(ALL) {
            metrics = [ALL.to_owned()].into();
        }
        let text = metrics.iter().fold(format!("{interval_ms}"), |text, metric| text + "," + metric);
        let instance = u128::from_be_bytes(instance.0);
        let folded = instance ^ (instance >> 32) ^ (instance >> 64) ^ (instance >> 96);
        Self { subscription_id: (fnv(text.as_bytes()) ^ folded as u32) as i32, metrics, interval_ms }
    }
}

/// FNV-1a: equal questions have equal numbers, on every broker.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// A client instance.
#[derive(Debug, Clone, Default)]
struct Instance {
    subscription_id: i32,
    last_get: Option<Instant>,
    last_push: Option<Instant>,
    /// It has said that it ends.
    terminating: bool,
    /// Its last push was refused with something that it must ask about.
    must_ask: bool,
    touched: u64,
}

/// All instances.
#[derive(Debug, Default)]
pub struct Telemetry {
    instances: Mutex<Instances>,
}

#[derive(Debug, Default)]
struct Instances {
    by_id: BTreeMap<[u8; 16], Instance>,
    /// The same in the order of their last requests.
    by_touch: BTreeMap<u64, [u8; 16]>,
    touches: u64,
}

impl Instances {
    fn touch(&mut self, id: Uuid) -> &mut Instance {
        self.touches += 1;
        let touched = self.touches;
        let instance = self.by_id.entry(id.0).or_default();
        self.by_touch.remove(&std::mem::replace(&mut instance.touched, touched));
        self.by_touch.insert(touched, id.0);
        if self.by_id.len() > INSTANCES_MAX
            && let Some((_, oldest)) = self.by_touch.pop_first()
        {
            self.by_id.remove(&oldest);
        }
        self.by_id.entry(id.0).or_default()
    }
}

impl Telemetry {
    /// A client asks what it shall send. It may ask again when the interval has passed, when the answer has changed, or when
    /// its push was refused.
    pub fn get(&self, id: Uuid, asked: &Asked, now: Instant) -> Result<(), ErrorCode> {
        let mut instances = self.instances.lock();
        let instance = instances.touch(id);
        let last = instance.last_get.max(instance.last_push);
        let is_due = last.is_none_or(|last| now.saturating_sub(last) >= interval(asked));
        let is_new = instance.subscription_id != asked.subscription_id;
        if !(is_due || is_new || instance.must_ask) {
            return Err(ErrorCode::ThrottlingQuotaExceeded);
        }
        instance.subscription_id = asked.subscription_id;
        instance.last_get = Some(now);
        instance.must_ask = false;
        Ok(())
    }

    /// A client pushes. The first push after an answer to `get` may come early: clients spread them.
    pub fn push(&self, id: Uuid, asked: &Asked, push: &Push<'_>, now: Instant) -> Result<Vec<Point>, ErrorCode> {
        let mut instances = self.instances.lock();
        let instance = instances.touch(id);
        let was_terminating = std::mem::replace(&mut instance.terminating, push.terminating);
        if was_terminating {
            return Err(ErrorCode::InvalidRequest);
        }
        let early = instance.last_get > instance.last_push;
        let is_due = instance.last_push.is_none_or(|last| now.saturating_sub(last) >= interval(asked));
        if !(early || is_due || push.terminating) {
            return Err(ErrorCode::ThrottlingQuotaExceeded);
        }
        instance.last_push = Some(now);
        let refused = match Codec::from_id(push.compression) {
            _ if push.subscription_id != asked.subscription_id => Err(ErrorCode::UnknownSubscriptionId),
            None => Err(ErrorCode::UnsupportedCompressionType),
            _ if push.metrics.len() > PUSH_BYTES_MAX => Err(ErrorCode::TelemetryTooLarge),
            Some(codec) => Ok(codec),
        };
        instance.must_ask =
            matches!(refused, Err(ErrorCode::UnknownSubscriptionId | ErrorCode::UnsupportedCompressionType));
        drop(instances);
        let metrics = match refused? {
            _ if push.metrics.is_empty() => return Ok(Vec::new()),
            codec => codec.decompress(push.metrics, METRICS_BYTES_MAX).map_err(|_| ErrorCode::InvalidRecord)?,
        };
        otlp::points(&metrics).map_err(|Malformed| ErrorCode::InvalidRecord)
    }
}

fn interval(asked: &Asked) -> Duration {
    Duration::from_millis(u64::try_from(asked.interval_ms).unwrap_or(0))
}

/// What a client sends.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// The question that it answers.
    pub subscription_id: i32,
    /// Whether it is the last one.
    pub terminating: bool,
    /// Kafka's id of the compression.
    pub compression: u8,
    /// Metrics in OTLP, compressed.
    pub metrics: &'a [u8],
}

#[cfg(test)]
mod tests;
