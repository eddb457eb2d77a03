//! What happened at the store, told to whoever counts it.
//!
//! One [`Request`] is reported per request to the store: on S3 per HTTP request (a long listing is several), on a
//! directory or in memory per call of the trait. A call whose future was dropped is reported too, as *abandoned*: it was
//! sent, and the provider bills it.

use std::{sync::Arc, time::Duration};

use kafscale_runtime::Instant;

use crate::{CreateError, DeleteError, ReadError, ReplaceError};

/// Receives one call per request; must be quick and must not block.
pub trait Observer: Send + Sync + 'static {
    /// A request ended.
    fn request(&self, request: &Request);
}

/// Counts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn request(&self, _request: &Request) {}
}

/// One request to the store, after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What was asked.
    pub operation: Operation,
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status, where there was an HTTP answer.
    pub status: Option<u16>,
    /// Bytes of object content sent.
    pub bytes_sent: u64,
    /// Bytes of object content received.
    pub bytes_received: u64,
    /// From the start to the last byte of the answer.
    pub latency: Duration,
}

/// The calls of [`Store`](crate::Store).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A create-if-absent.
    Create,
    /// An unconditional write.
    Replace,
    /// A read of an object or of a part of it.
    Get,
    /// One page of a listing.
    List,
    /// A deletion of one or many objects.
    Delete,
}

impl Operation {
    /// The name used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Get => "get",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }
}

/// How a request ended, in the contract's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It succeeded.
    Ok,
    /// The name was taken.
    AlreadyExists,
    /// There was no such object.
    NotFound,
    /// It may have taken effect.
    Unknown,
    /// Not applied, may be repeated.
    Unavailable,
    /// Not applied, a repeat would not help.
    Refused,
    /// The caller stopped waiting.
    Abandoned,
}

impl Outcome {
    /// The name used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::AlreadyExists => "already_exists",
            Self::NotFound => "not_found",
            Self::Unknown => "unknown",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
        }
    }

    /// The outcome of a call.
    pub(crate) fn of<T, E>(result: &Result<T, E>) -> Self
    where
        for<'a> &'a E: Into<Self>,
    {
        match result {
            Ok(_) => Self::Ok,
            Err(error) => error.into(),
        }
    }
}

impl From<&CreateError> for Outcome {
    fn from(error: &CreateError) -> Self {
        match error {
            CreateError::AlreadyExists => Self::AlreadyExists,
            CreateError::Unknown(_) => Self::Unknown,
            CreateError::Unavailable { .. } => Self::Unavailable,
            CreateError::Refused(_) => Self::Refused,
        }
    }
}

impl From<&ReplaceError> for Outcome {
    fn from(error: &ReplaceError) -> Self {
        match error {
            ReplaceError::Unknown(_) => Self::Unknown,
            ReplaceError::Unavailable(_) => Self::Unavailable,
            ReplaceError::Refused(_) => Self::Refused,
        }
    }
}

impl From<&ReadError> for Outcome {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::NotFound(_) => Self::NotFound,
            ReadError::Unavailable(_) => Self::Unavailable,
            ReadError::Refused(_) => Self::Refused,
        }
    }
}

impl From<&DeleteError> for Outcome {
    fn from(error: &DeleteError) -> Self {
        match error {
            DeleteError::Unavailable(_) => Self::Unavailable,
            DeleteError::Refused(_) => Self::Refused,
        }
    }
}

/// A request under way; reports itself when it is dropped, whatever became of it.
pub(crate) struct Watch {
    runtime: kafscale_runtime::Handle,
    observer: Arc<dyn Observer>,
    started: Instant,
    request: Request,
}

impl Watch {
    /// Starts the clock.
    pub(crate) fn start(
        runtime: &kafscale_runtime::Handle,
        observer: &Arc<dyn Observer>,
        operation: Operation,
        bytes_sent: u64,
    ) -> Self {
        let request = Request {
            operation,
            outcome: Outcome::Abandoned,
            status: None,
            bytes_sent,
            bytes_received: 0,
            latency: Duration::ZERO,
        };
        Self { runtime: runtime.clone(), observer: observer.clone(), started: runtime.now(), request }
    }

    /// Notes the end.
    pub(crate) fn end(mut self, outcome: Outcome, status: Option<u16>, bytes_received: u64) {
        self.request.outcome = outcome;
        self.request.status = status;
        self.request.bytes_received = bytes_received;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.request.latency = self.runtime.now().saturating_sub(self.started);
        self.observer.request(&self.request);
    }
}
