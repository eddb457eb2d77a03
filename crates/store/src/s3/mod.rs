//! A bucket behind the S3 protocol, through `object_store` with its retries off: one call, one attempt.
//!
//! Names are put below the location's prefix. Creates carry `If-None-Match: *`. Bodies are sent as the segments they are,
//! in one PUT of known length, signed with SHA-256, which every provider checks or ignores but none refuses. Keys come
//! from the settings alone; no request ever goes to a machine's metadata service.

mod attempt;
mod outcome;
mod settings;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use kafscale_runtime::{BoxFuture, Handle, timeout};
use object_store::{
    GetOptions, GetRange, ObjectStore, PutMode, PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    list::{PaginatedListOptions, PaginatedListStore},
    path::Path,
};

use crate::{
    Body, CreateError, DeleteError, Facts, Listed, Observer, Operation, Outcome, ReadError, ReadRange, ReplaceError,
    Store, StoreDate, StoreSettings, name,
    observe::Watch,
    profile::{ConditionalCreate, Profile},
};
use attempt::{Attempt, Clock, Connector};
pub use settings::{S3Settings, S3SettingsError};

/// What S3 gives at most in one page of a listing.
const NAMES_PER_PAGE: usize = 1_000;

/// Deletions of one object each that run at the same time, where many cannot be named in one request.
const SINGLE_DELETES_AT_ONCE: usize = 8;

/// No object is longer, and some servers do not understand a range that goes beyond an `i64`.
const RANGE_END_MAX: u64 = 1 << 62;

/// The slowest line on which a body is given its time, in bytes a second. A snapshot may be hundreds of megabytes.
const RATE_MIN: u64 = 256 << 10;

/// Pages of one listing; more means that the store does not come to an end.
const LIST_PAGES_MAX: usize = 100_000;

/// A bucket, or the part of it below a prefix.
pub struct S3Store {
    s3: AmazonS3,
    /// Empty, or ending in a slash.
    prefix: String,
    profile: &'static Profile,
    request_timeout: Duration,
    clock: Arc<Clock>,
    runtime: Handle,
    observer: Arc<dyn Observer>,
}

impl S3Store {
    /// A client for `bucket`, whose names get `prefix` and a slash in front (none if it is empty). Sends nothing.
    pub fn new(
        bucket: &str,
        prefix: &str,
        settings: &StoreSettings,
        runtime: Handle,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, S3SettingsError> {
        let checked = settings.s3.check(bucket, settings.profile)?;
        let client = |error: &dyn ToString| S3SettingsError::Client(error.to_string());
        let connector = Connector::new(runtime.clone()).map_err(|error| client(&error))?;
        let clock = connector.clock();
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(checked.region)
            .with_endpoint(checked.endpoint)
            .with_virtual_hosted_style_request(checked.virtual_hosted)
            .with_allow_http(true)
            .with_access_key_id(checked.access_key_id)
            .with_secret_access_key(checked.secret_access_key.reveal())
            .with_disable_bulk_delete(checked.profile.bulk_delete.is_none())
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(connector);
        if let Some(token) = checked.session_token {
            builder = builder.with_token(token.reveal());
        }
        let s3 = builder.build().map_err(|error| client(&error))?;
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let (profile, request_timeout) = (checked.profile, settings.request_timeout);
        Ok(Self { s3, prefix, profile, request_timeout, clock, runtime, observer })
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

    /// One PUT; `failed` says what a failure means.
    async fn put<E>(
        &self,
        operation: Operation,
        name: &str,
        body: Body,
        mode: PutMode,
        failed: impl FnOnce(Attempt, &String) -> E,
    ) -> Result<(), E>
    where
        for<'a> &'a E: Into<Outcome>,
    {
        let key = match self.key(name) {
            Ok(key) => key,
            Err(why) => return Err(failed(Attempt::NotMade, &why)),
        };
        let watch = self.watch(operation, body.len());
        let payload = PutPayload::from_iter(body.segments().iter().filter(|segment| !segment.is_empty()).cloned());
        let put = self.s3.put_opts(&key, payload, mode.into());
        let (result, attempt) = Attempt::of(self.in_time(body.len(), put)).await;
        let status = attempt.status();
        let result = result.map(drop).map_err(|error| failed(attempt, &error));
        watch.end(Outcome::of(&result), status, 0);
        result
    }

    async fn read(&self, name: &str, range: ReadRange) -> Result<Bytes, ReadError> {
        let key = self.key(name).map_err(ReadError::Refused)?;
        let (range, wanted) = match range {
            ReadRange::All => (None, u64::MAX),
            // An empty range cannot be said in HTTP, so one byte is read and dropped.
            ReadRange::At { start, len } => {
                let start = start.min(RANGE_END_MAX - 1);
                let end = start.saturating_add(len.max(1)).min(RANGE_END_MAX);
                (Some(GetRange::Bounded(start..end)), len)
            }
        };
        let watch = self.watch(Operation::Get, 0);
        let options = GetOptions { range, ..GetOptions::default() };
        let get = async {
            let answer = self.in_time(0, self.s3.get_opts(&key, options)).await?;
            let len = answer.range.end.saturating_sub(answer.range.start);
            self.in_time(len, answer.bytes()).await
        };
        let (result, attempt) = Attempt::of(get).await;
        let status = attempt.status();
        let result = match result {
            Ok(bytes) => Ok(bytes.slice(..bytes.len().min(usize::try_from(wanted).unwrap_or(usize::MAX)))),
            Err(_) if status == Some(416) => Ok(Bytes::new()),
            Err(error) => Err(outcome::read(attempt, self.profile.answers, &error)),
        };
        watch.end(Outcome::of(&result), status, result.as_ref().map_or(0, |bytes| bytes.len() as u64));
        result
    }

    async fn read_list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<Listed>, ReadError> {
        let mut found: Vec<Listed> = Vec::new();
        // All names behind the prefix, or none before `after`: nothing to ask for.
        if limit == 0 || (after > prefix && !after.starts_with(prefix)) {
            return Ok(found);
        }
        let whole_prefix = format!("{}{prefix}", self.prefix);
        let offset = (after > prefix).then(|| format!("{}{after}", self.prefix));
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
                let last = found.last().map_or(after, |row| &row.name);
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

    async fn list_page(
        &self,
        prefix: &str,
        options: PaginatedListOptions,
    ) -> Result<object_store::list::PaginatedListResult, ReadError> {
        let watch = self.watch(Operation::List, 0);
        let (result, attempt) = Attempt::of(self.in_time(0, self.s3.list_paginated(Some(prefix), options))).await;
        let status = attempt.status();
        let result = result.map_err(|error| outcome::read(attempt, self.profile.answers, &error));
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
        let deleted = self.s3.delete_stream(stream::iter(keys.into_iter().map(Ok)).boxed());
        let (result, attempt) = Attempt::of(self.in_time(0, deleted.try_for_each(|_| async { Ok(()) }))).await;
        let status = attempt.status();
        let result = match (result, &attempt) {
            (Ok(()), _) => Ok(()),
            (Err(_), Attempt::Answered(answer)) if answer.status == 404 && answer.code != "NoSuchBucket" => Ok(()),
            (Err(error), _) => Err(outcome::delete(attempt, self.profile.answers, &error)),
        };
        watch.end(Outcome::of(&result), status, 0);
        result
    }
}

impl Store for S3Store {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        if self.profile.conditional_create == ConditionalCreate::None {
            return Box::pin(async {
                Err(CreateError::Refused(outcome::no_conditional_create(self.profile.provider)))
            });
        }
        let answers = self.profile.answers;
        let failed = |attempt, error: &String| outcome::create(attempt, answers, error);
        Box::pin(self.put(Operation::Create, name, body, PutMode::Create, failed))
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        let answers = self.profile.answers;
        let failed = |attempt, error: &String| outcome::replace(attempt, answers, error);
        Box::pin(self.put(Operation::Replace, name, body, PutMode::Overwrite, failed))
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

    fn facts(&self) -> Facts {
        self.profile.facts()
    }
}
