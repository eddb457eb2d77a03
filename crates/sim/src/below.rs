//! A part of a store as a store of its own: so that a story's log can live apart from its data, and crashes, weather and
//! black-outs still be planned for both at once.

use std::sync::Arc;

use bytes::Bytes;
use kafscale_runtime::BoxFuture;
use kafscale_store::{
    Body, CreateError, DeleteError, Facts, Listed, ReadError, ReadRange, ReplaceError, Store, StoreDate,
};

/// What lies below a prefix of another store.
pub struct Below {
    store: Arc<dyn Store>,
    prefix: &'static str,
}

impl Below {
    /// Everything of `store` whose name begins with `prefix`, which ends in a slash.
    pub fn of(store: Arc<dyn Store>, prefix: &'static str) -> Arc<dyn Store> {
        Arc::new(Self { store, prefix })
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Store for Below {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(async move { self.store.create(&self.name(name), body).await })
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        Box::pin(async move { self.store.replace(&self.name(name), body).await })
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        Box::pin(async move { self.store.get(&self.name(name), range).await })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        Box::pin(async move {
            let after = if after.is_empty() { String::new() } else { self.name(after) };
            let found = self.store.list(&self.name(prefix), &after, limit).await?;
            Ok(found.into_iter().map(|row| Listed { name: row.name[self.prefix.len()..].to_owned(), ..row }).collect())
        })
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(async move {
            let names: Vec<String> = names.iter().map(|name| self.name(name)).collect();
            self.store.delete(&names).await
        })
    }

    fn date(&self) -> Option<StoreDate> {
        self.store.date()
    }

    fn facts(&self) -> Facts {
        self.store.facts()
    }
}
