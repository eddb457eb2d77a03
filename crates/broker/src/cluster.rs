//! The bucket's marker, `cluster.json`: which cluster a store belongs to, and which generation of its log is the live one.
//!
//! It is written once, before anything else, and read at every start. A store without it must be empty: a log without a
//! marker is somebody's loss or somebody else's, and is not touched.

use kafscale_runtime::{Handle, Runtime};
use kafscale_store::{Body, CreateError, ReadError, ReadRange, Store};
use serde::{Deserialize, Serialize};

use crate::patient;

/// The marker's name in the store.
pub const MARKER: &str = "cluster.json";
/// The marker format that this build writes and reads.
const FORMAT: u32 = 1;
/// A marker is small; more is not one.
const MARKER_BYTES_MAX: u64 = 64 << 10;
/// The prefix of everything that only a live cluster leaves behind.
const LOG_PREFIX: &str = "log/";

/// What the marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's id.
    pub id: u128,
    /// The live generation of the log.
    pub generation: u64,
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The store failed.
    #[error("the store cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The marker could not be written.
    #[error("{MARKER} cannot be written: {0}")]
    Write(String),
    /// It is there but is not a marker.
    #[error("{MARKER} is not a cluster marker: {0}")]
    Malformed(String),
    /// A newer version wrote it.
    #[error("{MARKER} has format {0}, this version knows {FORMAT}: the store was written by a newer version")]
    Newer(u32),
    /// There is a log and no marker.
    #[error("the store holds a log but no {MARKER}: nothing is touched; `kafscale recover` is for this")]
    MarkerMissing,
}

#[derive(Serialize, Deserialize)]
struct Marker {
    format: u32,
    cluster_id: String,
    generation: u64,
}

impl Cluster {
    /// The id as Kafka clients see it: 22 characters of unpadded URL-safe base64.
    pub fn kafka_id(&self) -> String {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(self.id.to_be_bytes())
    }

    /// Reads the marker, or makes one in an empty store.
    pub async fn open(store: &dyn Store, runtime: &Handle) -> Result<Self, ClusterError> {
        loop {
            if let Some(found) = Self::read(store, &**runtime).await? {
                return Ok(found);
            }
            if !patient::read(&**runtime, LOG_PREFIX, 0, || store.list(LOG_PREFIX, "", 1)).await?.is_empty() {
                // Another process may have made both since the first look.
                return Self::read(store, &**runtime).await?.ok_or(ClusterError::MarkerMissing);
            }
            let made = Self { id: runtime.random_u128(), generation: 1 };
            match patient::create(&**runtime, MARKER, || store.create(MARKER, Body::from(made.encode()))).await {
                Ok(()) => return Ok(made),
                // Somebody was faster, or it was us: what is there counts.
                Err(CreateError::AlreadyExists) => {}
                Err(error) => return Err(ClusterError::Write(error.to_string())),
            }
        }
    }

    async fn read(store: &dyn Store, runtime: &dyn Runtime) -> Result<Option<Self>, ClusterError> {
        let range = ReadRange::At { start: 0, len: MARKER_BYTES_MAX };
        match patient::read(runtime, MARKER, MARKER_BYTES_MAX, || store.get(MARKER, range)).await {
            Ok(bytes) => Self::parse(&bytes).map(Some),
            Err(ReadError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn encode(&self) -> bytes::Bytes {
        let marker = Marker { format: FORMAT, cluster_id: format!("{:032x}", self.id), generation: self.generation };
        serde_json::to_vec_pretty(&marker).expect("a marker is plain data").into()
    }

    fn parse(bytes: &[u8]) -> Result<Self, ClusterError> {
        let malformed = |error: String| ClusterError::Malformed(error);
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if format > FORMAT {
            return Err(ClusterError::Newer(format));
        }
        let marker: Marker = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        let id = u128::from_str_radix(&marker.cluster_id, 16).map_err(|error| malformed(error.to_string()))?;
        Ok(Self { id, generation: marker.generation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_is_persisted_like_this() {
        let cluster = Cluster { id: 0x0123, generation: 7 };
        let text = concat!(
            "{\n  \"format\": 1,\n",
            "  \"cluster_id\": \"00000000000000000000000000000123\",\n",
            "  \"generation\": 7\n}"
        );
        assert_eq!(cluster.encode(), text);
        assert_eq!(Cluster::parse(text.as_bytes()).unwrap(), cluster);
        assert_eq!(cluster.kafka_id(), "AAAAAAAAAAAAAAAAAAABIw");
    }

    #[test]
    fn what_is_not_a_marker_is_refused() {
        assert!(matches!(Cluster::parse(b"{}"), Err(ClusterError::Malformed(_))));
        assert!(matches!(Cluster::parse(b"{\"format\": 2, \"future\": true}"), Err(ClusterError::Newer(2))));
        let odd = b"{\"format\": 1, \"cluster_id\": \"x\", \"generation\": 1}";
        assert!(matches!(Cluster::parse(odd), Err(ClusterError::Malformed(_))));
    }
}
