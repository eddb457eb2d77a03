//! A bucket in a cloud, through `object_store` with its retries off: one call, one attempt, whoever the provider is.
//!
//! Names are put below the location's prefix. Bodies are sent as the segments they are, in one PUT of known length.
//! Creates say "only if absent" in the provider's own way (`If-None-Match: *`, generation 0). What an answer means is decided
//! from the HTTP answer alone ([`attempt`], [`outcome`]), by one rule and each provider's exceptions. What a provider adds
//! (its address, its credentials, its headers) is in `s3`, `gcs` and `azure`.

pub(crate) mod attempt;
pub(crate) mod bearer;
#[cfg(test)]
pub(crate) mod double;
pub(crate) mod files;
#[cfg(test)]
pub(crate) mod givers;
pub(crate) mod keys;
mod outcome;
mod scheme;
pub(crate) mod transport;
mod trust;
pub(crate) mod wire;
pub(crate) mod words;
mod writing;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use kafscale_runtime::{BoxFuture, Handle, timeout};
use object_store::{
    GetOptions, GetRange, ObjectStore, PutMode, PutOptions, PutPayload,
    list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore},
    path::Path,
};

use crate::{
    Body, CreateError, DeleteError, Facts, Listed, Observer, Operation, Outcome, ReadError, ReadRange, ReplaceError,
    Store, StoreDate, Throttled,
    body::Sending,
    name,
    observe::Watch,
    profile::{ConditionalCreate, Dialect, Profile},
};
use attempt::{Attempt, Clock};
use keys::Renewal;
use outcome::{Keys, Reading};
pub use transport::{TlsSettings, TransportError};
pub(crate) use writing::Headers;
pub use writing::{Encryption, NotOffered, Writing};

/// What providers give at most in one page of a listing.
const NAMES_PER_PAGE: usize = 1_000;

/// Deletions of one object each that run at the same time, where many cannot be named in one request.
const SINGLE_DELETES_AT_ONCE: usize = 8;

/// No object is longer, and some servers do not understand a range that goes beyond an `i64`.
const RANGE_END_MAX: u64 = 1 << 62;

/// The slowest line on which a body is given its time, in bytes a second. A snapshot may be hundreds of megabytes.
const RATE_MIN: u64 = 256 << 10;

/// Pages of one listing; more means that the store does not come to an end.
const LIST_PAGES_MAX: usize = 100_000;

/// What `object_store` offers for a provider.
pub(crate) trait Client: ObjectStore + PaginatedListStore {}

impl<T: ObjectStore + PaginatedListStore> Client for T {}

/// A bucket, or the part of it below a prefix.
pub struct CloudStore {
    client: Box<dyn Client>,
    /// Empty, or ending in a slash.
    prefix: String,
    profile: &'static Profile,
    place: u64,
    headers: Headers,
    keys: Option<Arc<dyn Renewal>>,
    whose: String,
    request_timeout: Duration,
    clock: Arc<Clock>,
    runtime: Handle,
    observer: Arc<dyn Observer>,
}

/// What a provider's module makes a store of.
pub(crate) struct Parts {
    pub client: Box<dyn Client>,
    pub prefix: String,
    pub profile: &'static Profile,
    /// Host and bucket.
    pub place: String,
    pub headers: Headers,
    /// Who renews the credentials; nobody, if they are fixed.
    pub keys: Option<Arc<dyn Renewal>>,
    /// Whose they are.
    pub whose: String,
    pub request_timeout: Duration,
    pub clock: Arc<Clock>,
}

impl CloudStore {
    /// A store whose names get the prefix and a slash in front (none if it is empty). Sends nothing.
    pub(crate) fn new(parts: Parts, runtime: Handle, observer: Arc<dyn Observer>) -> Self {
        let Parts { client, prefix, profile, place, headers, keys, whose, request_timeout, clock } = parts;
        let place = hash(&format!("{place}/{prefix}"));
        let prefix = if prefix.is_empty() { prefix } else { format!("{prefix}/") };
        Self { client, prefix, profile, place, headers, keys, whose, request_timeout, clock, runtime, observer }
    }

    fn watch(&self, operation: Operation, bytes_sent: u64) -> Watch {
        Watch::start(&self.runtime, &self.observer, operation, bytes_sent)
    }

    /// The object's key in the bucket.
    fn key(&self, name: &str) -> Result<Path, String> {
        name::check(name).map_err(|error| error.to_string())?;
        Path::parse(format!("{}{name}", self.prefix)).map_err(|error| error.to_string())
    }

    /// Makes a request, or a part of one, that moves so many bytes, and gives it up when it takes too long.
    async fn in_time<T>(
        &self,
        bytes: u64,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, String> {
        let limit = self.request_timeout + Duration::from_secs(bytes / RATE_MIN);
        match timeout(&*self.runtime, limit, request).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => {
                let late = format!("no answer within {limit:?}");
                Attempt::Unanswered(late.clone()).note();
                Err(late)
            }
        }
    }

    /// Makes one call and says what came of its request; where the store refuses the keys, asks for others.
    async fn attempt<F: Future>(&self, call: F) -> (F::Output, Reading) {
        let generation = self.keys.as_ref().map_or(0, |keys| keys.generation());
        let (output, attempt) = Attempt::of(call).await;
        let mut reading = Reading { attempt, special: self.profile.answers, keys: Keys::Fixed };
        if let Some(keys) = &self.keys {
            let refused = reading.doubts_keys();
            // A limit of its own: the fetch has one.
            let changed = refused && keys.refused(generation).await;
            reading.keys = if changed { Keys::Changed } else { Keys::Renewable };
        }
        (output, reading)
    }

    /// One PUT; `failed` says what a failure means.
    async fn put<E>(
        &self,
        operation: Operation,
        name: &str,
        body: Body,
        mode: PutMode,
        failed: impl FnOnce(Reading, &str) -> E,
    ) -> Result<(), E>
    where
        for<'a> &'a E: Into<Outcome>,
    {
        let key = match self.key(name) {
            Ok(key) => key,
            Err(why) => return Err(failed(Reading::of_nothing(), &why)),
        };
        let watch = self.watch(operation, body.len());
        let payload = PutPayload::from_iter(body.segments().iter().filter(|segment| !segment.is_empty()).cloned());
        let Headers { attributes, tags, .. } = self.headers.clone();
        let mut options = PutOptions { mode, tags, attributes, ..PutOptions::default() };
        if !matches!(body.sending(), Sending::Plainly) {
            options.extensions.insert(body.sending().clone());
        }
        let put = self.client.put_opts(&key, payload, options);
        let (result, reading) = self.attempt(self.in_time(body.len(), put)).await;
        let status = reading.attempt.status();
        let result = result.map(drop).map_err(|error| failed(reading, &error));
        watch.end(Outcome::of(&result), status, 0);
        result
    }

    async fn read(&self, name: &str, range: ReadRange) -> Result<Bytes, ReadError> {
        let key = self.key(name).map_err(ReadError::Refused)?;
        let (result, object_len) = self.read_once(&key, range).await;
        match (range, object_len) {
            // S3Proxy answers a range that reaches beyond the end of its object as if it were not cut there (RFC 9110, 14.4),
            // and never sends the rest.
            (ReadRange::At { start, len }, Some(object_len))
                if result.is_err() && start < object_len && object_len - start < len =>
            {
                self.read_once(&key, ReadRange::At { start, len: object_len - start }).await.0
            }
            _ => result,
        }
    }

    /// One GET, and how long the object is if it was a part that was asked for.
    async fn read_once(&self, key: &Path, range: ReadRange) -> (Result<Bytes, ReadError>, Option<u64>) {
        let (range, start, wanted) = match range {
            ReadRange::All => (None, 0, u64::MAX),
            // An empty range cannot be said in HTTP, so one byte is read and dropped.
            ReadRange::At { start, len } => {
                let start = start.min(RANGE_END_MAX - 1);
                let end = start.saturating_add(len.max(1)).min(RANGE_END_MAX);
                (Some(GetRange::Bounded(start..end)), start, len)
            }
        };
        let watch = self.watch(Operation::Get, 0);
        let options = GetOptions { range, ..GetOptions::default() };
        let get = async {
            let answer = self.in_time(0, self.client.get_opts(key, options)).await?;
            let len = answer.range.end.saturating_sub(answer.range.start);
            self.in_time(len, answer.bytes()).await
        };
        let (result, reading) = self.attempt(get).await;
        let (status, object_len) = (reading.attempt.status(), reading.attempt.object_len());
        let result = match result {
            Ok(bytes) => Ok(bytes.slice(..bytes.len().min(usize::try_from(wanted).unwrap_or(usize::MAX)))),
            Err(_) if reading.attempt.is_beyond_end(start) => Ok(Bytes::new()),
            Err(error) => Err(outcome::read(reading, &error)),
        };
        watch.end(Outcome::of(&result), status, result.as_ref().map_or(0, |bytes| bytes.len() as u64));
        (result, object_len)
    }

    async fn read_list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<Listed>, ReadError> {
        let mut found: Vec<Listed> = Vec::new();
        // All names behind the prefix, or none before `after`: nothing to ask for.
        let is_void = limit == 0 || (after > prefix && !after.starts_with(prefix));
        // Some servers refuse a prefix that no name can begin with; the answer is known.
        if is_void || !name::can_begin(prefix) {
            return Ok(found);
        }
        let mut whole_prefix = format!("{}{prefix}", self.prefix);
        let offset = (after > prefix).then(|| format!("{}{after}", self.prefix));
        // Azure's own way to say where to begin is young, and its emulator begins at the beginning.
        let may_begin_early = self.profile.dialect == Dialect::Azure;
        // And `object_store` leaves out a blob whose whole name is the prefix: so more is asked for, and cut below.
        if self.profile.dialect == Dialect::Azure && offset.is_none() && !prefix.is_empty() && !prefix.ends_with('/') {
            whole_prefix.pop();
        }
        let mut page_token = None;
        for _ in 0..LIST_PAGES_MAX {
            let options = PaginatedListOptions {
                offset: offset.clone(),
                max_keys: Some((limit - found.len()).min(NAMES_PER_PAGE)),
                page_token,
                ..PaginatedListOptions::default()
            };
            let page = self.list_page(&whole_prefix, options).await?;
            for object in page.result.objects {
                let Some(name) = object.location.as_ref().strip_prefix(&self.prefix) else { continue };
                if name::check(name).is_err() {
                    continue;
                }
                if !name.starts_with(prefix) {
                    if name < prefix {
                        continue;
                    }
                    return Ok(found);
                }
                let last = found.last().map_or(after, |row| &row.name);
                if may_begin_early && found.is_empty() && name <= after {
                    continue;
                }
                if name <= last {
                    return Err(ReadError::Refused(format!("the store lists {name} behind {last}: out of order")));
                }
                found.push(Listed { name: name.to_owned(), size: object.size });
            }
            page_token = page.page_token;
            if page_token.is_none() || found.len() >= limit {
                found.truncate(limit);
                return Ok(found);
            }
        }
        Err(ReadError::Refused(format!("the listing of {prefix} does not end")))
    }

    async fn list_page(&self, prefix: &str, options: PaginatedListOptions) -> Result<PaginatedListResult, ReadError> {
        let watch = self.watch(Operation::List, 0);
        let list = self.client.list_paginated(Some(prefix), options);
        let (result, reading) = self.attempt(self.in_time(0, list)).await;
        let status = reading.attempt.status();
        let result = result.map_err(|error| outcome::read(reading, &error));
        watch.end(Outcome::of(&result), status, 0);
        result
    }

    async fn remove(&self, names: &[String]) -> Result<(), DeleteError> {
        let keys: Vec<_> =
            names.iter().map(|name| self.key(name)).collect::<Result<_, _>>().map_err(DeleteError::Refused)?;
        let (per_request, at_once) = match self.profile.bulk_delete {
            Some(bulk) => (bulk.names_max, 1),
            None => (1, SINGLE_DELETES_AT_ONCE),
        };
        let requests: Vec<Vec<_>> = keys.chunks(per_request).map(<[_]>::to_vec).collect();
        stream::iter(requests.into_iter().map(|keys| self.remove_some(keys)))
            .buffer_unordered(at_once)
            .try_collect()
            .await
    }

    /// One request.
    async fn remove_some(&self, keys: Vec<Path>) -> Result<(), DeleteError> {
        let watch = self.watch(Operation::Delete, 0);
        // Some providers tell of each name that was absent: that is fine, unless the whole bucket is.
        let absent_is_fine = |deleted| match deleted {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        let deleted = self.client.delete_stream(stream::iter(keys.into_iter().map(Ok)).boxed());
        let all = deleted.map(absent_is_fine).try_for_each(|()| async { Ok(()) });
        let (result, reading) = self.attempt(self.in_time(0, all)).await;
        let status = reading.attempt.status();
        let result = match result {
            Ok(()) if !reading.misses_bucket() => Ok(()),
            Ok(()) => Err(outcome::delete(reading, "no such bucket")),
            Err(error) => Err(outcome::delete(reading, &error)),
        };
        watch.end(Outcome::of(&result), status, 0);
        result
    }
}

impl Store for CloudStore {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        if self.profile.conditional_create == ConditionalCreate::None {
            return Box::pin(async {
                Err(CreateError::Refused(outcome::no_conditional_create(self.profile.provider)))
            });
        }
        let wishes = self.headers.wishes;
        let failed = move |reading, raw: &_| outcome::create(reading, raw, wishes);
        Box::pin(self.put(Operation::Create, name, body, PutMode::Create, failed))
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        Box::pin(self.put(Operation::Replace, name, body, PutMode::Overwrite, outcome::replace))
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        Box::pin(self.read(name, range))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        Box::pin(self.read_list(prefix, after, limit))
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(self.remove(names))
    }

    fn date(&self) -> Option<StoreDate> {
        self.clock.latest()
    }

    fn throttled(&self) -> Throttled {
        self.clock.throttled()
    }

    fn identity(&self) -> Option<&str> {
        Some(&self.whose)
    }

    fn facts(&self) -> Facts {
        Facts { place: self.place, ..self.profile.facts() }
    }
}

/// FNV-1a. It is persisted, so it never changes; which scheme the host is reached by does not matter.
fn hash(place: &str) -> u64 {
    let place = place.split_once("://").map_or(place, |(_, rest)| rest);
    place.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
