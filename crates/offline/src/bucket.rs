//! The stores of a cluster as tools ask them: again and again for a minute, with bounded answers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_broker::Stores;
use kafscale_runtime::{Handle, timeout};
use kafscale_store::{Body, CreateError, Listed, ReadError, ReadRange, ReplaceError, Store};

use crate::Error;

/// An attempt is given up after this, and two seconds more per MiB that it moves.
const ATTEMPT: Duration = Duration::from_secs(30);
/// Attempts at one request.
const ATTEMPTS: u32 = 7;
/// The pause after the first failed attempt; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// Objects in one answer of a listing.
const PAGE: usize = 1_000;
/// Names that a tool holds at once.
pub const NAMES_MAX: usize = 50_000_000;

/// Which of a cluster's stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// That of the records; the only one, unless the log has its own.
    Data,
    /// That of the log.
    Log,
}

/// See the module.
#[derive(Clone)]
pub struct Bucket {
    stores: Stores,
    runtime: Handle,
    /// The store of the records may know no create-if-absent.
    plain: bool,
}

impl Bucket {
    /// Tools for these stores.
    pub fn new(stores: impl Into<Stores>, runtime: Handle) -> Self {
        let stores = stores.into();
        let plain = stores.log.is_some();
        Self { stores, runtime, plain }
    }

    /// Asks for nothing but plain writes: for a place that holds copies and no log.
    pub fn plain(self) -> Self {
        Self { plain: true, ..self }
    }

    /// Time and randomness.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Whether the log has a store of its own.
    pub fn is_apart(&self) -> bool {
        self.stores.log.is_some()
    }

    /// The stores, each once.
    pub fn sides(&self) -> &'static [Side] {
        if self.is_apart() { &[Side::Data, Side::Log] } else { &[Side::Data] }
    }

    /// One of the stores.
    pub fn store(&self, side: Side) -> &Arc<dyn Store> {
        match side {
            Side::Data => &self.stores.data,
            Side::Log => self.stores.of_log(),
        }
    }

    /// `len` bytes of an object from `start`; none if there is no such object.
    pub async fn get(&self, side: Side, name: &str, start: u64, len: u64) -> Result<Option<Bytes>, Error> {
        let store = self.store(side);
        let got = self.ask(name, len, || store.get(name, ReadRange::At { start, len })).await?;
        match got {
            Some(bytes) if bytes.len() as u64 > len => {
                Err(Error::damaged(name, "the store gave more than was asked for"))
            }
            got => Ok(got),
        }
    }

    /// A whole object of at most `len_max` bytes; none if there is no such object.
    pub async fn get_small(&self, side: Side, name: &str, len_max: u64) -> Result<Option<Bytes>, Error> {
        let got = self.get(side, name, 0, len_max + 1).await?;
        match got {
            Some(bytes) if bytes.len() as u64 > len_max => {
                Err(Error::damaged(name, format!("more than {len_max} bytes")))
            }
            got => Ok(got),
        }
    }

    /// All objects whose names begin so, in order.
    pub async fn list(&self, side: Side, prefix: &str) -> Result<Vec<Listed>, Error> {
        let mut found: Vec<Listed> = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.page(side, prefix, &after, PAGE).await?;
            let is_last = page.len() < PAGE;
            let ascends = page.first().is_none_or(|first| first.name > after);
            if !ascends || found.len() + page.len() > NAMES_MAX {
                return Err(Error::damaged(prefix, "the store's listing has no end"));
            }
            if let Some(last) = page.last() {
                after.clone_from(&last.name);
            }
            found.extend(page);
            if is_last {
                return Ok(found);
            }
        }
    }

    /// Up to `limit` objects behind the name `after`.
    pub async fn page(&self, side: Side, prefix: &str, after: &str, limit: usize) -> Result<Vec<Listed>, Error> {
        let store = self.store(side);
        Ok(self.ask(prefix, 0, || store.list(prefix, after, limit)).await?.unwrap_or_default())
    }

    /// Writes an object whose bytes follow from its name. Where the store may know no create-if-absent it is looked at first.
    pub async fn create(&self, side: Side, name: &str, body: &Body) -> Result<(), Error> {
        if self.plain && side == Side::Data {
            return match self.get(side, name, 0, 1).await? {
                Some(_) => self.require_same(side, name, body).await,
                None => self.replace(side, name, body).await,
            };
        }
        let store = self.store(side);
        let mut said = String::new();
        for attempt in 0..ATTEMPTS {
            self.pause(attempt).await;
            match timeout(&*self.runtime, limit(body.len()), store.create(name, body.clone())).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(CreateError::AlreadyExists)) => return self.require_same(side, name, body).await,
                Ok(Err(CreateError::Refused(reason))) => return Err(Error::Store { name: name.to_owned(), reason }),
                Ok(Err(error)) => said = error.to_string(),
                Err(_) => said = "no answer in time".to_owned(),
            }
        }
        Err(Error::Store { name: name.to_owned(), reason: said })
    }

    async fn require_same(&self, side: Side, name: &str, body: &Body) -> Result<(), Error> {
        const PART: u64 = 16 << 20;
        for start in (0..=body.len()).step_by(PART as usize) {
            let found = self.get(side, name, start, PART).await?;
            if found.is_none_or(|found| found != body.slice(start, PART)) {
                return Err(Error::damaged(name, "another object stands there"));
            }
        }
        Ok(())
    }

    /// Writes an object whatever is there.
    pub async fn replace(&self, side: Side, name: &str, body: &Body) -> Result<(), Error> {
        let store = self.store(side);
        let mut said = String::new();
        for attempt in 0..ATTEMPTS {
            self.pause(attempt).await;
            match timeout(&*self.runtime, limit(body.len()), store.replace(name, body.clone())).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(ReplaceError::Refused(reason))) => return Err(Error::Store { name: name.to_owned(), reason }),
                Ok(Err(error)) => said = error.to_string(),
                Err(_) => said = "no answer in time".to_owned(),
            }
        }
        Err(Error::Store { name: name.to_owned(), reason: said })
    }

    async fn ask<T, F>(&self, name: &str, bytes: u64, attempt: impl Fn() -> F) -> Result<Option<T>, Error>
    where
        F: Future<Output = Result<T, ReadError>>,
    {
        let mut said = String::new();
        for number in 0..ATTEMPTS {
            self.pause(number).await;
            match timeout(&*self.runtime, limit(bytes), attempt()).await {
                Ok(Ok(value)) => return Ok(Some(value)),
                Ok(Err(ReadError::NotFound(_))) => return Ok(None),
                Ok(Err(ReadError::Refused(reason))) => return Err(Error::Store { name: name.to_owned(), reason }),
                Ok(Err(ReadError::Unavailable(reason))) => said = reason,
                Err(_) => said = "no answer in time".to_owned(),
            }
        }
        Err(Error::Store { name: name.to_owned(), reason: said })
    }

    async fn pause(&self, attempt: u32) {
        if attempt > 0 {
            self.runtime.sleep(PAUSE * (1 << attempt)).await;
        }
    }
}

fn limit(bytes: u64) -> Duration {
    ATTEMPT + Duration::from_secs((bytes >> 20).min(1 << 20) * 2)
}
