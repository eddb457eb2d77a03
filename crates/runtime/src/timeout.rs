//! A time limit on any future.

use std::{future::Future, pin::pin, time::Duration};

use futures_util::future::{Either, select};

use crate::Runtime;

/// The time limit passed before the future completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

/// Runs `future` for at most `limit`; dropping it is how it is cancelled.
pub async fn timeout<F: Future>(runtime: &dyn Runtime, limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    match select(pin!(future), runtime.sleep(limit)).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(_) => Err(Elapsed),
    }
}
