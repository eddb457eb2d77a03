//! Any store with its [`Health`] told from the calls to it.

use std::sync::Arc;

use bytes::Bytes;
use kafscale_runtime::{BoxFuture, Handle, Instant};

use crate::{
    Body, CreateError, DeleteError, Facts, Health, Listed, Outcome, PaceFigures, ReadError, ReadRange, ReplaceError,
    Store, StoreDate, Throttled,
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
    began: Instant,
    ended: bool,
}

impl Diagnosed {
    /// Tells `health` what becomes of the calls to `store`.
    pub fn new(store: Arc<dyn Store>, runtime: Handle, health: Arc<Health>) -> Self {
        Self { store, runtime, health }
    }

    async fn watch<T, E>(&self, bytes: impl Fn(&T) -> u64, call: impl Future<Output = Result<T, E>>) -> Result<T, E>
    where
        for<'a> &'a E: Into<Outcome>,
    {
        let watched = Call { of: self, began: self.runtime.now(), ended: false };
        let result = call.await;
        watched.end(Outcome::of(&result), result.as_ref().map_or(0, bytes));
        result
    }
}

impl Call<'_> {
    fn took(&self) -> std::time::Duration {
        self.of.runtime.now().saturating_sub(self.began)
    }

    fn end(mut self, outcome: Outcome, bytes: u64) {
        self.ended = true;
        self.of.health.note(match outcome {
            Outcome::Ok | Outcome::AlreadyExists | Outcome::NotFound => End::Answered(self.took(), bytes),
            Outcome::Unknown | Outcome::Unavailable | Outcome::Refused | Outcome::Abandoned => End::Failed,
        });
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.ended && self.took() >= LATE {
            self.of.health.note(End::Failed);
        }
    }
}

impl Store for Diagnosed {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        let len = body.len();
        Box::pin(self.watch(move |()| len, self.store.create(name, body)))
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        let len = body.len();
        Box::pin(self.watch(move |()| len, self.store.replace(name, body)))
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        Box::pin(self.watch(|bytes: &Bytes| bytes.len() as u64, self.store.get(name, range)))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        Box::pin(self.watch(|_: &Vec<Listed>| 0, self.store.list(prefix, after, limit)))
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(self.watch(|()| 0, self.store.delete(names)))
    }

    fn date(&self) -> Option<StoreDate> {
        self.store.date()
    }

    fn throttled(&self) -> Throttled {
        self.store.throttled()
    }

    fn pace(&self) -> Option<PaceFigures> {
        self.store.pace()
    }

    fn facts(&self) -> Facts {
        self.store.facts()
    }
}
