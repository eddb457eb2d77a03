//! Any store with each of its calls reported to an [`Observer`].

use std::sync::Arc;

use bytes::Bytes;
use kafscale_runtime::BoxFuture;

use crate::{
    Body, CreateError, DeleteError, Facts, Listed, Observer, Operation, Outcome, ReadError, ReadRange, ReplaceError,
    Store, StoreDate, Throttled, observe::Watch,
};

/// `S` with its calls reported: for stores where a call is a request (a directory, memory).
pub struct Observed<S> {
    store: S,
    runtime: kafscale_runtime::Handle,
    observer: Arc<dyn Observer>,
}

impl<S: Store> Observed<S> {
    /// Reports the calls of `store` to `observer`, timed on `runtime`'s clock.
    pub fn new(store: S, runtime: kafscale_runtime::Handle, observer: Arc<dyn Observer>) -> Self {
        Self { store, runtime, observer }
    }

    fn watch(&self, operation: Operation, bytes_sent: u64) -> Watch {
        Watch::start(&self.runtime, &self.observer, operation, bytes_sent)
    }
}

impl<S: Store> Store for Observed<S> {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(async move {
            let watch = self.watch(Operation::Create, body.len());
            let result = self.store.create(name, body).await;
            watch.end(Outcome::of(&result), None, 0);
            result
        })
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        Box::pin(async move {
            let watch = self.watch(Operation::Replace, body.len());
            let result = self.store.replace(name, body).await;
            watch.end(Outcome::of(&result), None, 0);
            result
        })
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        Box::pin(async move {
            let watch = self.watch(Operation::Get, 0);
            let result = self.store.get(name, range).await;
            let received = result.as_ref().map_or(0, |bytes| bytes.len() as u64);
            watch.end(Outcome::of(&result), None, received);
            result
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        Box::pin(async move {
            let watch = self.watch(Operation::List, 0);
            let result = self.store.list(prefix, after, limit).await;
            watch.end(Outcome::of(&result), None, 0);
            result
        })
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(async move {
            let watch = self.watch(Operation::Delete, 0);
            let result = self.store.delete(names).await;
            watch.end(Outcome::of(&result), None, 0);
            result
        })
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

    fn facts(&self) -> Facts {
        self.store.facts()
    }
}

#[cfg(test)]
mod tests {
    use kafscale_runtime::TokioRuntime;
    use parking_lot::Mutex;

    use super::*;
    use crate::{MemoryStore, Request};

    #[derive(Default)]
    struct Log(Mutex<Vec<(&'static str, &'static str, u64, u64)>>);

    impl Observer for Log {
        fn request(&self, request: &Request) {
            let seen =
                (request.operation.as_str(), request.outcome.as_str(), request.bytes_sent, request.bytes_received);
            self.0.lock().push(seen);
        }
    }

    #[tokio::test]
    async fn every_call_is_reported_with_its_end() {
        let log = Arc::new(Log::default());
        let store = Observed::new(MemoryStore::new(), TokioRuntime::handle(), log.clone());
        let body = || Body::from(Bytes::from_static(b"12345"));
        store.create("a", body()).await.unwrap();
        store.create("a", body()).await.unwrap_err();
        store.replace("..", body()).await.unwrap_err();
        store.get("a", ReadRange::At { start: 1, len: 2 }).await.unwrap();
        store.get("b", ReadRange::All).await.unwrap_err();
        store.list("", "", 1).await.unwrap();
        store.delete(&["a".to_owned()]).await.unwrap();
        let expected = [
            ("create", "ok", 5, 0),
            ("create", "already_exists", 5, 0),
            ("replace", "refused", 5, 0),
            ("get", "ok", 0, 2),
            ("get", "not_found", 0, 0),
            ("list", "ok", 0, 0),
            ("delete", "ok", 0, 0),
        ];
        assert_eq!(*log.0.lock(), expected);
    }
}
