//! Live brokers and the sessions that are gone.

use std::collections::{BTreeMap, BTreeSet};

use crate::Position;
use crate::topic::Settings;

/// The setting that says after how many milliseconds of silence a producer is forgotten.
pub const PRODUCER_ID_EXPIRATION_MS: &str = "producer.id.expiration.ms";
/// Its default, Kafka's: a day.
pub const PRODUCER_ID_EXPIRATION_MS_DEFAULT: i64 = 86_400_000;

/// A live broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Its session: one life of its process.
    pub session: u64,
    /// Kafka's broker id.
    pub node_id: i32,
    /// Where clients reach it.
    pub host: String,
    /// And at which port.
    pub port: u16,
    /// Its zone.
    pub rack: Option<String>,
    /// The lowest free number in its zone when it joined.
    pub seat: u32,
    /// The position at which it joined.
    pub joined_at: Position,
}

/// Brokers by session, their settings by node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Brokers {
    pub(crate) live: BTreeMap<u64, Broker>,
    /// Sessions whose later frames are void; those below the sequencer's session need no mention.
    pub(crate) gone: BTreeSet<u64>,
    /// Settings of all brokers.
    pub(crate) defaults: Settings,
    /// Settings of one node.
    pub(crate) settings: BTreeMap<i32, Settings>,
}

impl Brokers {
    pub(crate) fn producer_id_expiration_ms(&self) -> i64 {
        let set = self.defaults.get(PRODUCER_ID_EXPIRATION_MS);
        set.and_then(|set| set.parse().ok()).filter(|ms| *ms > 0).unwrap_or(PRODUCER_ID_EXPIRATION_MS_DEFAULT)
    }

    /// The lowest seat that no live broker of the zone has.
    pub(crate) fn free_seat(&self, rack: Option<&str>) -> u32 {
        let taken: BTreeSet<u32> =
            self.live.values().filter(|broker| broker.rack.as_deref() == rack).map(|broker| broker.seat).collect();
        (0..).zip(&taken).find(|(seat, taken)| seat != *taken).map_or(taken.len() as u32, |(seat, _)| seat)
    }
}
