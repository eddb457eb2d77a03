//! The HTTP side of one request: what was answered, kept beside `object_store`'s own errors.
//!
//! `object_store` folds what we must tell apart (no connection, no answer, which status, which S3 code) into one kind of
//! error and drops the headers. So its HTTP client is wrapped: each request leaves an [`Attempt`] in a task-local slot
//! that the caller opened, from which alone the outcome is decided. Redirects are never followed: following one turns a
//! PUT into a GET, whose success would look like a write.

use std::{cell::RefCell, error::Error, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use kafscale_runtime::Handle;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    },
};
use parking_lot::Mutex;
use reqwest::header::{CONTENT_RANGE, DATE, HeaderMap, RETRY_AFTER};

use super::{scheme, transport::with_causes, words};
use crate::{StoreDate, Throttled};

/// More of an error's body is not read.
const ERROR_BODY_MAX: usize = 64 << 10;

/// A longer wait is not believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

tokio::task_local! {
    static ATTEMPT: RefCell<Attempt>;
}

/// What came of one HTTP request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// None was made.
    #[default]
    NotMade,
    /// No connection came about, so nothing was sent.
    NotConnected(String),
    /// Sent in whole or in part, and no answer came.
    Unanswered(String),
    /// Answered.
    Answered(Answer),
}

/// An HTTP answer without its body; code and message are those of an S3 error. Without a code the message is ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: u16,
    pub code: String,
    pub message: String,
    pub retry_after: Option<Duration>,
    /// How long the object is of which a range was asked for.
    pub object_len: Option<u64>,
}

impl Attempt {
    /// The status of the answer, if there was one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answered(answer) => Some(answer.status),
            _ => None,
        }
    }

    /// How long the object is of which a range was asked for, if the answer says so.
    pub(crate) fn object_len(&self) -> Option<u64> {
        match self {
            Self::Answered(answer) => answer.object_len,
            _ => None,
        }
    }

    /// Whether a range was asked for that starts at the end of the object or behind it. Some say 416, and Azure's emulator
    /// an empty range.
    pub(crate) fn is_beyond_end(&self, start: u64) -> bool {
        match self {
            Self::Answered(answer) if answer.status == 416 => true,
            Self::Answered(answer) => answer.status == 206 && answer.object_len.is_some_and(|len| start >= len),
            _ => false,
        }
    }

    /// Runs a call that makes one HTTP request, and tells what came of that request.
    pub(crate) async fn of<F: Future>(call: F) -> (F::Output, Self) {
        let scoped = async {
            let output = call.await;
            (output, ATTEMPT.with(RefCell::take))
        };
        ATTEMPT.scope(RefCell::default(), scoped).await
    }

    /// Says what came of the request that the caller of [`of`](Self::of) makes.
    pub(crate) fn note(self) {
        // Outside of `of` nobody asks.
        let _ = ATTEMPT.try_with(|slot| slot.replace(self));
    }
}

/// Makes the wrapped client.
#[derive(Clone)]
pub(crate) struct Connector {
    client: Client,
}

#[derive(Clone)]
struct Client {
    inner: Arc<dyn HttpService>,
    clock: Arc<Clock>,
}

/// The latest `Date`.
pub(crate) struct Clock {
    runtime: Handle,
    latest: Mutex<Option<StoreDate>>,
    throttled: Mutex<Throttled>,
}

impl Clock {
    pub(crate) fn latest(&self) -> Option<StoreDate> {
        *self.latest.lock()
    }

    pub(crate) fn throttled(&self) -> Throttled {
        *self.throttled.lock()
    }

    fn note(&self, answer: &Answer) {
        if matches!(answer.status, 429 | 503) {
            let mut throttled = self.throttled.lock();
            throttled.times += 1;
            throttled.until = answer.retry_after.map(|wait| self.runtime.now() + wait);
        }
    }
}

impl Connector {
    /// Around a client without a limit of its own: how long a request may take depends on its size, which the caller knows.
    pub(crate) fn new(inner: Arc<dyn HttpService>, runtime: Handle) -> Self {
        let clock = Clock { runtime, latest: Mutex::default(), throttled: Mutex::default() };
        Self { client: Client { inner, clock: Arc::new(clock) } }
    }

    pub(crate) fn clock(&self) -> Arc<Clock> {
        self.client.clock.clone()
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Connector")
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Client")
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.client.clone()))
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let scheme = request.uri().scheme_str().map(str::to_owned);
        let response = match self.inner.call(request).await {
            Ok(response) => response,
            Err(error) => {
                not_answered(&error, scheme.as_deref()).note();
                return Err(error);
            }
        };
        let (parts, mut body) = response.into_parts();
        let mut answer = Answer { status: parts.status.as_u16(), ..Answer::default() };
        self.read_headers(&parts.headers, &mut answer);
        self.clock.note(&answer);
        if !parts.status.is_success() {
            let start = read_start(body).await;
            let text = String::from_utf8_lossy(&start);
            answer.code = words::shown(&text, "Code");
            answer.message = words::shown(&text, "Message");
            if answer.code.is_empty() {
                scheme::of_answer(answer.status, &text).clone_into(&mut answer.message);
            }
            body = HttpResponseBody::from(start);
        }
        Attempt::Answered(answer).note();
        Ok(HttpResponse::from_parts(parts, body))
    }
}

impl Client {
    fn read_headers(&self, headers: &HeaderMap, answer: &mut Answer) {
        let unix_ms = |text: &str| {
            let since_epoch = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
            i64::try_from(since_epoch.as_millis()).ok()
        };
        let header = |name| headers.get(name).and_then(|value: &reqwest::header::HeaderValue| value.to_str().ok());
        let date = header(DATE).and_then(unix_ms);
        if let Some(unix_ms) = date {
            let seen_at = self.clock.runtime.now();
            *self.clock.latest.lock() = Some(StoreDate { unix_ms, seen_at });
        }
        answer.object_len = header(CONTENT_RANGE).and_then(|text| text.rsplit_once('/')?.1.parse().ok());
        answer.retry_after = header(RETRY_AFTER).and_then(|text| {
            let wait = match (text.trim().parse().ok(), unix_ms(text), date) {
                (Some(seconds), _, _) => Duration::from_secs(seconds),
                (None, Some(until), Some(now)) => Duration::from_millis(u64::try_from(until - now).ok()?),
                _ => return None,
            };
            Some(wait.min(RETRY_AFTER_MAX))
        });
    }
}

/// The beginning of a body, as far as it came.
async fn read_start(body: HttpResponseBody) -> Bytes {
    let mut stream = body.bytes_stream();
    let mut start = BytesMut::new();
    while start.len() < ERROR_BODY_MAX
        && let Some(Ok(chunk)) = stream.next().await
    {
        start.extend_from_slice(&chunk[..chunk.len().min(ERROR_BODY_MAX - start.len())]);
    }
    start.freeze()
}

fn not_answered(error: &HttpError, scheme: Option<&str>) -> Attempt {
    let mut never_connected = error.kind() == HttpErrorKind::Connect;
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    let mut text = cause.map_or_else(|| error.to_string(), with_causes);
    text.push_str(scheme::of_failure(scheme, &text));
    while let Some(current) = cause {
        never_connected |= current.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect);
        cause = current.source();
    }
    if never_connected { Attempt::NotConnected(text) } else { Attempt::Unanswered(text) }
}
