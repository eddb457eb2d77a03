//! Where a broker keeps its things: one store for all, or the log in a store of its own.
//!
//! | Store | Holds |
//! |---|---|
//! | of the data | data objects, snapshots, and a marker |
//! | of the log | the log's frames, floor and archives, and the marker that counts |
//! | mirror | copies of the data store's objects, made by somebody else; read first, never written |
//!
//! The log needs create-if-absent; the data store does not: what is written there has names that only one writer uses, or
//! the same bytes whoever writes it. Snapshots lie with the data, so that a log that is lost takes no topic's name with it.

use std::sync::Arc;

use kafscale_runtime::Handle;
use kafscale_store::{Condition, Diagnosed, Facts, Health, Hedged, Store, health::Reading};

/// See the module.
#[derive(Clone)]
pub struct Stores {
    /// Of the data; of everything, if the log has none of its own.
    pub data: Arc<dyn Store>,
    /// Of the log, if that is another one.
    pub log: Option<Arc<dyn Store>>,
    /// Copies of the data, to read records from first.
    pub mirror: Option<Arc<dyn Store>>,
}

impl Stores {
    /// The log in `log`, everything else in `data`.
    pub fn apart(data: Arc<dyn Store>, log: Arc<dyn Store>) -> Self {
        Self { data, log: Some(log), mirror: None }
    }

    /// The store that the log lives in.
    pub fn of_log(&self) -> &Arc<dyn Store> {
        self.log.as_ref().unwrap_or(&self.data)
    }

    /// What a flush may assume, which goes through both.
    pub fn facts(&self) -> Facts {
        let data = self.data.facts();
        let Some(log) = self.log.as_ref().map(|log| log.facts()) else { return data };
        Facts {
            requests_cost_money: data.requests_cost_money || log.requests_cost_money,
            put_latency_hint: data.put_latency_hint + log.put_latency_hint,
            ..data
        }
    }
}

impl From<Arc<dyn Store>> for Stores {
    fn from(data: Arc<dyn Store>) -> Self {
        Self { data, log: None, mirror: None }
    }
}

/// How the stores do that a broker asks.
#[derive(Clone)]
pub struct Asked {
    hedged: Vec<Arc<Hedged>>,
    data: Arc<Health>,
    log: Arc<Health>,
}

impl Asked {
    /// The stores with their health watched, and with their slow reads asked twice.
    pub fn wrap(stores: Stores, runtime: &Handle) -> (Stores, Self) {
        let mut hedged = Vec::new();
        let mut wrap = |what, store| {
            let health = Arc::new(Health::new(what, Arc::clone(runtime)));
            let diagnosed = Arc::new(Diagnosed::new(store, Arc::clone(runtime), Arc::clone(&health)));
            let asked = Arc::new(Hedged::new(diagnosed, Arc::clone(runtime)));
            hedged.push(Arc::clone(&asked));
            (asked as Arc<dyn Store>, health)
        };
        let (data, of_data) = wrap("data", stores.data);
        let (log, of_log) = stores.log.map(|log| wrap("log", log)).unzip();
        let log_health = of_log.unwrap_or_else(|| Arc::clone(&of_data));
        (Stores { data, log, mirror: stores.mirror }, Self { hedged, data: of_data, log: log_health })
    }

    /// Of the store that does worst.
    pub fn worst(&self) -> Reading {
        let (data, log) = (self.data.reading(), self.log.reading());
        if log.condition > data.condition { log } else { data }
    }

    /// Whether a flush would find a store that does not answer.
    pub fn is_away(&self) -> bool {
        self.worst().condition == Condition::Unavailable
    }

    /// Whether the store of the log does not answer.
    pub fn is_log_away(&self) -> bool {
        self.log.condition() == Condition::Unavailable
    }

    /// Whether the store of the data does not answer.
    pub fn is_data_away(&self) -> bool {
        self.data.condition() == Condition::Unavailable
    }

    /// How many extra attempts were made beside slow reads.
    pub fn hedges(&self) -> u64 {
        self.hedged.iter().map(|hedged| hedged.count()).sum()
    }
}
