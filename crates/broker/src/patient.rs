//! Asking the store again during a start: one that is away for a moment must not end it, and one that never answers must
//! not hold it up in silence.
//!
//! A call that is *unavailable* (503, no connection, no answer in time) is repeated with doubling pauses for [`PATIENCE`],
//! and a line every few seconds says what is waited for. Every other outcome ends it at once: a refusal needs a person. The
//! log brings a patience of its own.

use std::time::Duration;

use kafscale_runtime::{Runtime, timeout};
use kafscale_store::{CreateError, ReadError, ReplaceError, Waiting};

/// How long a start goes on asking a store that is away.
const PATIENCE: Duration = Duration::from_secs(60);
/// An attempt without an answer is given up after this, and some seconds more per MiB that it moves.
const ATTEMPT: Duration = Duration::from_secs(5);
const SECONDS_PER_MIB: u64 = 4;
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Repeats a get of at most `bytes` bytes, or a listing, while the store is unavailable.
pub async fn read<T, F>(runtime: &dyn Runtime, what: &str, bytes: u64, attempt: impl Fn() -> F) -> Result<T, ReadError>
where
    F: Future<Output = Result<T, ReadError>>,
{
    let attempt = &attempt;
    let in_time = || async move {
        let answer = timeout(runtime, limit(bytes), attempt()).await;
        answer.unwrap_or_else(|_| Err(ReadError::Unavailable(no_answer(what, bytes))))
    };
    repeat(runtime, what, in_time, |error| match error {
        ReadError::Unavailable(reason) => Some(reason.clone()),
        ReadError::NotFound(_) | ReadError::Refused(_) => None,
    })
    .await
}

/// Repeats a create of a few bytes while the store is unavailable or its answers are lost: the bytes are the same, so
/// whichever attempt lands is right, and "exists already" may then speak of our own.
pub async fn create<F>(runtime: &dyn Runtime, what: &str, attempt: impl Fn() -> F) -> Result<(), CreateError>
where
    F: Future<Output = Result<(), CreateError>>,
{
    let attempt = &attempt;
    let in_time = || async move {
        let answer = timeout(runtime, limit(0), attempt()).await;
        answer.unwrap_or_else(|_| Err(CreateError::Unknown(no_answer(what, 0))))
    };
    repeat(runtime, what, in_time, |error| match error {
        CreateError::Unavailable { reason, .. } | CreateError::Unknown(reason) => Some(reason.clone()),
        CreateError::AlreadyExists | CreateError::Refused(_) => None,
    })
    .await
}

/// The same for an unconditional write of a few bytes that are always the same.
pub async fn replace<F>(runtime: &dyn Runtime, what: &str, attempt: impl Fn() -> F) -> Result<(), ReplaceError>
where
    F: Future<Output = Result<(), ReplaceError>>,
{
    let attempt = &attempt;
    let in_time = || async move {
        let answer = timeout(runtime, limit(0), attempt()).await;
        answer.unwrap_or_else(|_| Err(ReplaceError::Unknown(no_answer(what, 0))))
    };
    repeat(runtime, what, in_time, |error| match error {
        ReplaceError::Unavailable(reason) | ReplaceError::Unknown(reason) => Some(reason.clone()),
        ReplaceError::Refused(_) => None,
    })
    .await
}

fn limit(bytes: u64) -> Duration {
    ATTEMPT + Duration::from_secs((bytes >> 20) * SECONDS_PER_MIB)
}

fn no_answer(what: &str, bytes: u64) -> String {
    format!("no answer about {what} within {:?}", limit(bytes))
}

async fn repeat<T, E, F>(
    runtime: &dyn Runtime,
    what: &str,
    attempt: impl Fn() -> F,
    unavailable: impl Fn(&E) -> Option<String>,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let (started, waiting) = (runtime.now(), Waiting::default());
    let mut pause = PAUSE_MIN;
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let now = runtime.now();
        let waited = now.saturating_sub(started);
        let Some(reason) = unavailable(&error).filter(|_| waited < PATIENCE) else { return Err(error) };
        waiting.tell(now, waited, what, &reason);
        runtime.sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
