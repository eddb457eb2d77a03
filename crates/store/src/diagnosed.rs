//! Any store with its [`Health`] told from the calls to it.

use std::{fmt::Display, sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_runtime::{BoxFuture, Handle, Instant};

use crate::{
    Body, CreateError, DeleteError, Facts, Health, Listed, Operation, Outcome, PaceFigures, ReadError, ReadRange,
    ReplaceError, Store, StoreDate, Throttled,
    health::{End, LATE},
};

/// See the module.
pub struct Diagnosed {
    store: Arc<dyn Store>,
    runtime: Handle,
    health: Arc<Health>,
}

/// A call under way; one that is dropped has failed if it had waited long enough.
struct Call<'a> {
    of: &'a Diagnosed,
    operation: Operation,
    began: Instant,
    ended: bool,
}

impl Diagnosed {
    /// Tells `health` what becomes of the calls to `store`.
    pub fn new(store: Arc<dyn Store>, runtime: Handle, health: Arc<Health>) -> Self {
        Self { store, runtime, health }
    }

    async fn watch<T, E: Display>(
        &self,
        operation: Operation,
        bytes: impl Fn(&T) -> u64,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E>
    where
        for<'a> &'a E: Into<Outcome>,
    {
        let watched = Call { of: self, operation, began: self.runtime.now(), ended: false };
        let result = call.await;
        watched.end(&result, result.as_ref().map_or(0, bytes));
        result
    }
}

impl Call<'_> {
    fn took(&self) -> Duration {
        self.of.runtime.now().saturating_sub(self.began)
    }

    fn end<T, E: Display>(mut self, result: &Result<T, E>, bytes: u64)
    where
        for<'a> &'a E: Into<Outcome>,
    {
        self.ended = true;
        match (Outcome::of(result), result) {
            (Outcome::Unknown | Outcome::Unavailable | Outcome::Refused | Outcome::Abandoned, Err(error)) => {
                self.failed(error);
            }
            _ => self.of.health.note(End::Answered(self.took(), bytes)),
        }
    }

    fn failed(&self, words: &dyn Display) {
        self.of.health.note(End::Failed(format!("{}: {words}", self.operation.as_str())));
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.ended && self.took() >= LATE {
            self.failed(&format_args!("no answer in {} s", self.took().as_secs()));
        }
    }
}

impl Store for Diagnosed {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        let len = body.len();
        Box::pin(self.watch(Operation::Create, move |()| len, self.store.create(name, body)))
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        let len = body.len();
        Box::pin(self.watch(Operation::Replace, move |()| len, self.store.replace(name, body)))
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        Box::pin(self.watch(Operation::Get, |bytes: &Bytes| bytes.len() as u64, self.store.get(name, range)))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        Box::pin(self.watch(Operation::List, |_: &Vec<Listed>| 0, self.store.list(prefix, after, limit)))
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(self.watch(Operation::Delete, |()| 0, self.store.delete(names)))
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
