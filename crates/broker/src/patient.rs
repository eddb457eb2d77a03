//! Asking the store again during a start: one that is away for a moment must not end it.
//!
//! A call that is *unavailable* (503, no connection) is repeated with doubling pauses for [`PATIENCE`], and the first
//! failure is logged, so that nobody waits in silence. Every other outcome ends it at once: a refusal needs a person. The
//! log brings a patience of its own.

use std::time::Duration;

use kafscale_runtime::Runtime;
use kafscale_store::{CreateError, ReadError};

/// How long a start goes on asking a store that is away.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Repeats a get or a listing while the store is unavailable.
pub async fn read<T, F>(runtime: &dyn Runtime, what: &str, attempt: impl Fn() -> F) -> Result<T, ReadError>
where
    F: Future<Output = Result<T, ReadError>>,
{
    repeat(runtime, what, attempt, |error| match error {
        ReadError::Unavailable(reason) => Some(reason.clone()),
        ReadError::NotFound(_) | ReadError::Refused(_) => None,
    })
    .await
}

/// Repeats a create while the store is unavailable or its answers are lost: the bytes are the same, so whichever attempt
/// lands is right, and "exists already" may then speak of our own.
pub async fn create<F>(runtime: &dyn Runtime, what: &str, attempt: impl Fn() -> F) -> Result<(), CreateError>
where
    F: Future<Output = Result<(), CreateError>>,
{
    repeat(runtime, what, attempt, |error| match error {
        CreateError::Unavailable { reason, .. } | CreateError::Unknown(reason) => Some(reason.clone()),
        CreateError::AlreadyExists | CreateError::Refused(_) => None,
    })
    .await
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
    let started = runtime.now();
    let mut pause = PAUSE_MIN;
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let waited = runtime.now().saturating_sub(started);
        let Some(reason) = unavailable(&error).filter(|_| waited < PATIENCE) else { return Err(error) };
        if pause == PAUSE_MIN {
            tracing::warn!(what, reason, limit = ?PATIENCE, "the store is unavailable; the start asks it again");
        }
        runtime.sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
