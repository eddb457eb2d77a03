//! A store in this process's memory: for trying things out and for tests. Nothing survives the process.

use std::{collections::BTreeMap, ops::Bound, time::Duration};

use bytes::Bytes;
use kafscale_runtime::BoxFuture;
use parking_lot::Mutex;

use crate::{
    Body, CreateError, DeleteError, Facts, Listed, ReadError, ReadRange, ReplaceError, Store, StoreDate, name,
};

/// Objects in a sorted map. Every call completes at once.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<String, Body>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn create_now(&self, name: &str, body: Body) -> Result<(), CreateError> {
        name::check(name).map_err(|error| CreateError::Refused(error.to_string()))?;
        let mut objects = self.objects.lock();
        if objects.contains_key(name) {
            return Err(CreateError::AlreadyExists);
        }
        objects.insert(name.to_owned(), body);
        Ok(())
    }

    fn replace_now(&self, name: &str, body: Body) -> Result<(), ReplaceError> {
        name::check(name).map_err(|error| ReplaceError::Refused(error.to_string()))?;
        self.objects.lock().insert(name.to_owned(), body);
        Ok(())
    }

    fn get_now(&self, name: &str, range: ReadRange) -> Result<Bytes, ReadError> {
        name::check(name).map_err(|error| ReadError::Refused(error.to_string()))?;
        let body = self.objects.lock().get(name).cloned();
        let body = body.ok_or_else(|| ReadError::NotFound(format!("no object {name}")))?;
        Ok(match range {
            ReadRange::All => body.to_bytes(),
            ReadRange::At { start, len } => body.slice(start, len),
        })
    }

    fn list_now(&self, prefix: &str, after: &str, limit: usize) -> Vec<Listed> {
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        let objects = self.objects.lock();
        objects
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .take(limit)
            .map(|(name, body)| Listed { name: name.clone(), size: body.len() })
            .collect()
    }

    fn delete_now(&self, names: &[String]) -> Result<(), DeleteError> {
        for name in names {
            name::check(name).map_err(|error| DeleteError::Refused(error.to_string()))?;
        }
        let mut objects = self.objects.lock();
        for name in names {
            objects.remove(name);
        }
        Ok(())
    }
}

impl Store for MemoryStore {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(async move { self.create_now(name, body) })
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        Box::pin(async move { self.replace_now(name, body) })
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        Box::pin(async move { self.get_now(name, range) })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        Box::pin(async move { Ok(self.list_now(prefix, after, limit)) })
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(async move { self.delete_now(names) })
    }

    fn date(&self) -> Option<StoreDate> {
        None
    }

    fn facts(&self) -> Facts {
        Facts {
            requests_cost_money: false,
            may_hedge: false,
            exclusive: true,
            create_is_known: true,
            storage_days_min: 0,
            place: 0,
            put_latency_hint: Duration::from_millis(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_conforms() {
        crate::conformance::run(&MemoryStore::new(), "suite").await;
    }
}
