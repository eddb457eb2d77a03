//! Adding what a probe found to a marker that is there.
//!
//! The marker names the live generation of the log, and it can only be written over as a whole. So whoever adds to it must
//! not bring back an older one:
//!
//! - *Another broker, or another probe, at the same time*: both write the same cluster and generation, and either result
//!   is one of this store.
//! - *A recovery, which begins the next generation*: it takes the next positions of the old log before it writes its marker.
//!   A broker therefore passes a barrier first, then looks whether the marker is as it was, and only then writes, in one
//!   attempt that is given up after [`ATTEMPT`]. Recovery looks at its own marker for longer than that ([`SETTLED`]), and
//!   puts it right.

use std::time::Duration;

use bytes::Bytes;
use kafscale_runtime::{Runtime, timeout};
use kafscale_store::{Body, ReadError, ReadRange, Store};

use super::{Cluster, ClusterError, MARKER, MARKER_BYTES_MAX, Probed};
use crate::patient;

/// One attempt to write over a marker is given up after so long.
pub const ATTEMPT: Duration = Duration::from_secs(5);
/// After so long nobody's attempt is under way any more.
pub const SETTLED: Duration = Duration::from_secs(15);

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// The marker has it.
    Yes,
    /// There is no marker.
    NoMarker,
    /// It is not as it was before: somebody else wrote it.
    Changed,
    /// The store did not take it, or did not say so.
    Failed(String),
}

/// The bytes of a store's marker, if it has one.
pub async fn read(store: &dyn Store, runtime: &dyn Runtime) -> Result<Option<Bytes>, ClusterError> {
    let range = ReadRange::At { start: 0, len: MARKER_BYTES_MAX };
    match patient::read(runtime, MARKER, MARKER_BYTES_MAX, || store.get(MARKER, range)).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ReadError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The same in one attempt, for whoever asks whether the store answers at all.
pub async fn read_once(store: &dyn Store) -> Result<Option<Bytes>, ReadError> {
    match store.get(MARKER, ReadRange::At { start: 0, len: MARKER_BYTES_MAX }).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ReadError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Adds to the marker that had these bytes before the store was asked.
pub async fn note(store: &dyn Store, runtime: &dyn Runtime, before: &Bytes, probed: Probed) -> Noted {
    let with = match Cluster::with_probed(before, probed) {
        Ok(with) => with,
        Err(error) => return Noted::Failed(error.to_string()),
    };
    match read(store, runtime).await {
        Ok(Some(now)) if now == *before => {}
        Ok(Some(_)) => return Noted::Changed,
        Ok(None) => return Noted::NoMarker,
        Err(error) => return Noted::Failed(error.to_string()),
    }
    match timeout(runtime, ATTEMPT, store.replace(MARKER, Body::from(with))).await {
        Ok(Ok(())) => Noted::Yes,
        Ok(Err(error)) => Noted::Failed(error.to_string()),
        Err(_) => Noted::Failed("no answer in time".to_owned()),
    }
}
