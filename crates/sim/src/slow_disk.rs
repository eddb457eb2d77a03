//! The real directory store on a simulated disk, for one process: each call takes a while, and when the power fails the
//! process dies in that very call.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use kafscale_runtime::{BoxFuture, Runtime};
use kafscale_store::{
    Body, CreateError, DeleteError, DirectoryStore, Facts, Listed, ReadError, ReadRange, ReplaceError, Store,
    StoreDate,
    directory::{Blocking, CrashFs, Fs, OpenDirectoryError},
};
use std::sync::Arc;

use crate::executor::Node;

/// See the module.
pub struct SlowDisk {
    store: DirectoryStore,
    disk: CrashFs,
    node: Node,
}

impl SlowDisk {
    /// Opens the directory `/data` of `disk` for `node`.
    pub fn open(disk: &CrashFs, node: &Node) -> Result<Arc<Self>, OpenDirectoryError> {
        let store = DirectoryStore::open_on(Arc::new(disk.clone()), Path::new("/data"), Blocking::Inline)?;
        Ok(Arc::new(Self { store, disk: disk.clone(), node: node.clone() }))
    }

    async fn call<T>(&self, what: &str, name: &str, call: impl Future<Output = T>) -> T {
        self.node.world().note(&format!("{} {what} {name}", self.node.name()));
        self.pass_time().await;
        let outcome = call.await;
        if self.disk.list_dir(Path::new("/")).is_err() {
            self.node.kill();
            std::future::pending::<()>().await;
        }
        self.pass_time().await;
        outcome
    }

    async fn pass_time(&self) {
        self.node.sleep(Duration::from_micros(self.node.random_u64() % 3_000)).await;
    }
}

impl Store for SlowDisk {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(self.call("create", name, self.store.create(name, body)))
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        Box::pin(self.call("replace", name, self.store.replace(name, body)))
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        Box::pin(self.call("get", name, self.store.get(name, range)))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        Box::pin(self.call("list", prefix, self.store.list(prefix, after, limit)))
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(self.call("delete", names.first().map_or("", String::as_str), self.store.delete(names)))
    }

    fn date(&self) -> Option<StoreDate> {
        self.store.date()
    }

    fn facts(&self) -> Facts {
        self.store.facts()
    }
}
