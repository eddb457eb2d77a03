//! Where a broker keeps its things: one store for all, or the log in a store of its own.
//!
//! | Store | Holds |
//! |---|---|
//! | of the data | data objects, snapshots, and a marker |
//! | of the log | the log's frames, floor and archives, and the marker that counts |
//!
//! The log needs create-if-absent; the data store does not: what is written there has names that only one writer uses, or
//! the same bytes whoever writes it. Snapshots lie with the data, so that a log that is lost takes no topic's name with it.

use std::sync::Arc;

use kafscale_store::{Facts, Store};

/// See the module.
#[derive(Clone)]
pub struct Stores {
    /// Of the data; of everything, if the log has none of its own.
    pub data: Arc<dyn Store>,
    /// Of the log, if that is another one.
    pub log: Option<Arc<dyn Store>>,
}

impl Stores {
    /// The log in `log`, everything else in `data`.
    pub fn apart(data: Arc<dyn Store>, log: Arc<dyn Store>) -> Self {
        Self { data, log: Some(log) }
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
        Self { data, log: None }
    }
}
