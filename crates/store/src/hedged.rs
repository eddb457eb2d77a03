//! Any store with its slow reads asked twice.
//!
//! Reading is harmless, so it needs no caller's consent: the log, snapshots, and records all read through this. Listings,
//! reads of up to [`SMALL`] bytes and larger ones are told apart, because each kind has its own usual duration. Reads of
//! whole objects, whose length nobody knows, and writes pass through as they are.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_runtime::{BoxFuture, Handle};

use crate::{
    Body, CreateError, DeleteError, Facts, Listed, PaceFigures, ReadError, ReadRange, ReplaceError, Store, StoreDate,
    Throttled,
    hedge::{Hedge, Slow},
};

/// Reads up to here take about as long as one of a single byte.
const SMALL: u64 = 128 << 10;

const SLOW: Slow = Slow { at_least: Duration::from_millis(100), at_first: Duration::from_millis(500) };

/// See the module.
pub struct Hedged {
    store: Arc<dyn Store>,
    runtime: Handle,
    lists: Hedge,
    small: Hedge,
    large: Hedge,
}

impl Hedged {
    /// Asks `store`, and asks it again on `runtime`'s clock.
    pub fn new(store: Arc<dyn Store>, runtime: Handle) -> Self {
        let [lists, small, large] = [SLOW; 3].map(Hedge::new);
        Self { store, runtime, lists, small, large }
    }

    /// How many second and third attempts were made.
    pub fn count(&self) -> u64 {
        [&self.lists, &self.small, &self.large].into_iter().map(Hedge::count).sum()
    }

    /// A store of this process alone has nobody else to answer: a second attempt would wait for the same disk.
    fn is_worth_it(&self) -> bool {
        !self.store.facts().exclusive
    }
}

/// A refusal and an absence are answers.
fn is_definite(error: &ReadError) -> bool {
    !matches!(error, ReadError::Unavailable(_))
}

impl Store for Hedged {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        self.store.create(name, body)
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        self.store.replace(name, body)
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        match range {
            ReadRange::At { len, .. } if self.is_worth_it() => {
                let hedge = if len <= SMALL { &self.small } else { &self.large };
                Box::pin(hedge.run(&*self.runtime, len, move || self.store.get(name, range), is_definite))
            }
            _ => self.store.get(name, range),
        }
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        if !self.is_worth_it() {
            return self.store.list(prefix, after, limit);
        }
        Box::pin(self.lists.run(&*self.runtime, 0, move || self.store.list(prefix, after, limit), is_definite))
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        self.store.delete(names)
    }

    fn date(&self) -> Option<StoreDate> {
        self.store.date()
    }

    fn throttled(&self) -> Throttled {
        self.store.throttled()
    }

    fn identity(&self) -> Option<&str> {
        self.store.identity()
    }

    fn pace(&self) -> Option<PaceFigures> {
        self.store.pace()
    }

    fn facts(&self) -> Facts {
        self.store.facts()
    }
}
