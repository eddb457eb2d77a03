//! The marker of a store, `cluster.json`: which cluster it belongs to, and which generation of its log is the live one.
//!
//! It is written once, before anything else, and read at every start. A store without it must be empty: a log without a
//! marker is somebody's loss or somebody else's, and is not touched. Where the log lives in another store both have a marker,
//! and each says which part it is, so that neither is ever taken for the whole. The log's is made first and counts: it alone
//! can be made only once. Where that has to be asked of the store ([`crate::trial`]) it is asked before, and the marker says
//! so. What else was found out of a bucket is added to its marker later ([`noted`]), once in its life.

pub mod noted;
mod probed;

use std::sync::Arc;

use bytes::Bytes;
use kafscale_log::data;
use kafscale_runtime::{Handle, Runtime};
use kafscale_store::{
    Body, CreateError, ReadError, Store,
    probe::{Plan, Trial, Unfit},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::probed::{Probed, Trouble};
use crate::{
    patient,
    stores::Stores,
    trial::{self, Creates, Look},
};

/// The marker's name in the store.
pub const MARKER: &str = "cluster.json";
/// The newest marker format that this build writes and reads.
const FORMAT: u32 = 2;
/// The format of a store that is the whole of a cluster; older versions know no other.
const FORMAT_WHOLE: u32 = 1;
/// A marker is small; more is not one.
pub const MARKER_BYTES_MAX: u64 = 64 << 10;
/// The prefix of everything that only a live cluster leaves behind.
const LOG_PREFIX: &str = "log/";

/// What the markers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's id.
    pub id: u128,
    /// The live generation of the log.
    pub generation: u64,
}

/// What a store holds of its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// The log; the data lies elsewhere.
    Log,
    /// The data; the log lies elsewhere.
    Data,
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
    /// A store that is used as one part of a cluster, or as all of it, is another.
    #[error("{}", misused(*.used_as, *.is))]
    Misused {
        /// As what it was named.
        used_as: Part,
        /// What its marker says.
        is: Part,
    },
    /// Data and log of two clusters.
    #[error(
        "the data belongs to generation {} of cluster {:032x} and the log to generation {} of cluster {:032x}: \
         --store and --log do not belong together",
        .data.generation, .data.id, .log.generation, .log.id
    )]
    Strangers {
        /// The marker of the data.
        data: Cluster,
        /// The marker of the log.
        log: Cluster,
    },
    /// The log cannot live there.
    #[error("{}", unfit(.0))]
    Unfit(#[from] Unfit),
    /// The log cannot live there, as its marker says.
    #[error("{}; {MARKER} says so of an earlier probe: `kafscale storage probe` asks again", unfit(.0))]
    KnownUnfit(Unfit),
    /// There is data whose log is not where it was looked for.
    #[error(
        "the store holds the data of a cluster, and the store of the log is empty: nothing is touched; name the store that \
         has its log with --log; if that is lost, `kafscale recover` is for this"
    )]
    LogMissing,
    /// There is a log whose data is not where it was looked for.
    #[error(
        "the log is not empty, and the store has no data of its cluster: nothing is touched; name the store that has it with \
         --store; if that is lost, `kafscale recover` is for this"
    )]
    DataMissing,
}

fn unfit(why: &Unfit) -> String {
    match why {
        Unfit::Broken { check, .. } if check.is_of_the_log() => {
            format!("{why}: no log may live there, name another store for it with --log, such as --log file:DIR")
        }
        Unfit::Broken { .. } | Unfit::Denied { .. } | Unfit::Unanswered { .. } => why.to_string(),
    }
}

fn misused(used_as: Part, is: Part) -> &'static str {
    match (used_as, is) {
        (Part::Whole, Part::Data) => {
            "the log of this store's cluster lives in another store: name that with --log (or KAFSCALE_LOG)"
        }
        (Part::Whole, Part::Log) => {
            "this store holds the log of a cluster whose data lives in another store: name that with --store, and this one \
             with --log"
        }
        (Part::Data, Part::Whole) => "this store holds its own log: serve it without --log",
        (Part::Log, Part::Whole) => "the store of --log holds a whole cluster, with data of its own: name another one",
        (Part::Log, _) => {
            "the store of --log holds the data of a cluster and not its log: --store and --log are mixed up"
        }
        (_, _) => "the store holds the log of a cluster and not its data: --store and --log are mixed up",
    }
}

#[derive(Serialize, Deserialize)]
struct Marker {
    format: u32,
    cluster_id: String,
    generation: u64,
    #[serde(default, skip_serializing_if = "is_whole")]
    holds: Part,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probed: Option<AnyProbed>,
}

/// What a marker says of its store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum AnyProbed {
    Known(Probed),
    /// Nothing that this version understands; it stays there.
    Other(Value),
}

/// A marker as it was found or made.
struct Found {
    cluster: Cluster,
    holds: Part,
    is_new: bool,
    probed: Option<AnyProbed>,
    bytes: Bytes,
}

impl Found {
    /// What is known of this very store.
    fn known(&self, store: &dyn Store) -> Option<&Probed> {
        match &self.probed {
            Some(AnyProbed::Known(probed)) => Some(probed).filter(|probed| probed.is_of(store.facts())),
            Some(AnyProbed::Other(_)) | None => None,
        }
    }

    /// Whether something is still to be found out about the store.
    fn is_to_be_looked_at(&self, store: &dyn Store) -> bool {
        !store.facts().exclusive && !self.known(store).is_some_and(Probed::is_full)
    }
}

/// The cluster of a broker that starts, and what is still to be asked of its stores.
pub struct Opened {
    /// What the markers say.
    pub cluster: Cluster,
    /// What they are asked behind the scene.
    pub(crate) looks: Vec<Look>,
    /// The log's marker, if that store is to be asked whether it would create it once more.
    pub(crate) again: Option<Bytes>,
}

fn is_whole(part: &Part) -> bool {
    *part == Part::Whole
}

impl Cluster {
    /// The id as Kafka clients see it: 22 characters of unpadded URL-safe base64.
    pub fn kafka_id(&self) -> String {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(self.id.to_be_bytes())
    }

    /// Reads the markers, or makes them in empty stores. `in_full`: what is not known of a bucket yet is to be asked behind
    /// the scene, and noted in its marker.
    pub async fn open(stores: &Stores, runtime: &Handle, in_full: bool) -> Result<Opened, ClusterError> {
        let mut trial = None;
        let (of_log, of_data) = Self::find(stores, runtime, &mut trial).await?;
        let store = stores.of_log();
        let known = of_log.known(&**store);
        if let Some(unfit) = known.and_then(Probed::refuses_log) {
            return Err(ClusterError::KnownUnfit(unfit));
        }
        let is_probed = of_log.is_new || known.is_some_and(Probed::creates_passed);
        if trial.is_none() && !is_probed && !store.facts().create_is_known {
            // Made by an older version, or when its provider was taken for another, or somewhere else and copied.
            trial = Some(trial::passed(store, runtime).await?);
        }
        for (found, store) in [(&of_log, store)].into_iter().chain(of_data.iter().map(|found| (found, &stores.data))) {
            found.known(&**store).into_iter().for_each(trial::tell_known);
        }
        let again = (trial.is_none() && !of_log.is_new).then(|| of_log.bytes.clone());
        let mut looks = Vec::new();
        let is_unknown = of_log.is_to_be_looked_at(&**store);
        if trial.is_some() || in_full && is_unknown {
            let marker = (in_full && is_unknown).then_some(of_log.bytes);
            let creates = trial.map_or(Creates::Ask, Creates::Passed);
            looks.push(Look { store: Arc::clone(store), creates, marker });
        }
        if let Some(of_data) = of_data.filter(|found| in_full && found.is_to_be_looked_at(&*stores.data)) {
            let store = Arc::clone(&stores.data);
            looks.push(Look { store, creates: Creates::NotNeeded, marker: Some(of_data.bytes) });
        }
        Ok(Opened { cluster: of_log.cluster, looks, again })
    }

    /// The marker of the log, and that of the data if it is another one.
    async fn find(
        stores: &Stores,
        runtime: &Handle,
        trial: &mut Option<Trial>,
    ) -> Result<(Found, Option<Found>), ClusterError> {
        let data = &*stores.data;
        let Some(log) = &stores.log else {
            return Ok((Self::make(&stores.data, Part::Whole, runtime, trial).await?, None));
        };
        // The log's marker is the older one, so it is looked for after the other.
        let (of_data, of_log) = match Self::read(data, Part::Data, &**runtime).await? {
            Some(of_data) => {
                let of_log = Self::read(&**log, Part::Log, &**runtime).await?;
                (of_data, of_log.ok_or(ClusterError::LogMissing)?)
            }
            None => {
                let of_log = Self::make_apart(data, log, runtime, trial).await?;
                let of_data = Self::read(data, Part::Data, &**runtime).await?;
                (of_data.ok_or(ClusterError::DataMissing)?, of_log)
            }
        };
        if of_data.cluster != of_log.cluster {
            return Err(ClusterError::Strangers { data: of_data.cluster, log: of_log.cluster });
        }
        Ok((of_log, Some(of_data)))
    }

    /// The first start on a data store, or one that goes on where the first was cut off. Several processes may be at it, and
    /// whoever made the log's marker was first.
    async fn make_apart(
        data: &dyn Store,
        log: &Arc<dyn Store>,
        runtime: &Handle,
        trial: &mut Option<Trial>,
    ) -> Result<Found, ClusterError> {
        for prefix in [LOG_PREFIX, data::PREFIX] {
            if Self::holds(data, prefix, &**runtime).await? && Self::read(data, Part::Data, &**runtime).await?.is_none()
            {
                return Err(ClusterError::MarkerMissing);
            }
        }
        let made = Self::make(log, Part::Log, runtime, trial).await?;
        let is_new = !Self::holds(&**log, LOG_PREFIX, &**runtime).await?;
        if is_new {
            // The same bytes, whoever writes them.
            let marker = Body::from(made.cluster.encode(Part::Data));
            let put = patient::replace(&**runtime, MARKER, || data.replace(MARKER, marker.clone())).await;
            put.map_err(|error| ClusterError::Write(error.to_string()))?;
        }
        Ok(made)
    }

    /// Reads the marker, or makes one in an empty store.
    async fn make(
        store: &Arc<dyn Store>,
        part: Part,
        runtime: &Handle,
        trial: &mut Option<Trial>,
    ) -> Result<Found, ClusterError> {
        loop {
            if let Some(found) = Self::read(&**store, part, &**runtime).await? {
                return Ok(found);
            }
            if Self::holds(&**store, LOG_PREFIX, &**runtime).await? {
                // Another process may have made both since the first look.
                return Self::read(&**store, part, &**runtime).await?.ok_or(ClusterError::MarkerMissing);
            }
            if trial.is_none() && !store.facts().create_is_known {
                *trial = Some(trial::passed(store, runtime).await?);
            }
            let cluster = Self { id: runtime.random_u128(), generation: 1 };
            let probed = trial
                .as_ref()
                .map(|_| AnyProbed::Known(Probed::creates(&Plan::start(store.facts()), &**runtime, store.facts())));
            let bytes = cluster.encode_probed(part, probed.clone());
            match patient::create(&**runtime, MARKER, || store.create(MARKER, Body::from(bytes.clone()))).await {
                Ok(()) => return Ok(Found { cluster, holds: part, is_new: true, probed, bytes }),
                // Somebody was faster, or it was us: what is there counts.
                Err(CreateError::AlreadyExists) => {}
                Err(error) => return Err(ClusterError::Write(error.to_string())),
            }
        }
    }

    async fn holds(store: &dyn Store, prefix: &str, runtime: &dyn Runtime) -> Result<bool, ClusterError> {
        Ok(!patient::read(runtime, prefix, 0, || store.list(prefix, "", 1)).await?.is_empty())
    }

    async fn read(store: &dyn Store, used_as: Part, runtime: &dyn Runtime) -> Result<Option<Found>, ClusterError> {
        let Some(bytes) = noted::read(store, runtime).await? else { return Ok(None) };
        match Self::found(bytes)? {
            found if found.holds == used_as => Ok(Some(found)),
            found => Err(ClusterError::Misused { used_as, is: found.holds }),
        }
    }

    /// What a marker says, whichever part its store holds.
    pub(crate) fn of_marker(bytes: &[u8]) -> Result<Self, ClusterError> {
        Self::parse(bytes).map(|(found, _)| found)
    }

    /// The marker of a store that holds this part.
    pub fn encode(&self, holds: Part) -> Bytes {
        self.encode_probed(holds, None)
    }

    /// The same where it takes the place of another marker: what that says of the store stays true.
    pub fn encode_over(&self, holds: Part, before: Option<&[u8]>) -> Bytes {
        let before = before.and_then(|before| Self::found(Bytes::copy_from_slice(before)).ok());
        self.encode_probed(holds, before.and_then(|before| before.probed))
    }

    /// A marker as it was, with what a probe found of its store.
    fn with_probed(before: &Bytes, probed: Probed) -> Result<Bytes, ClusterError> {
        let before = Self::found(before.clone())?;
        Ok(before.cluster.encode_probed(before.holds, Some(AnyProbed::Known(probed))))
    }

    fn encode_probed(&self, holds: Part, probed: Option<AnyProbed>) -> Bytes {
        let format = if holds == Part::Whole { FORMAT_WHOLE } else { FORMAT };
        let marker =
            Marker { format, cluster_id: format!("{:032x}", self.id), generation: self.generation, holds, probed };
        serde_json::to_vec_pretty(&marker).expect("a marker is plain data").into()
    }

    /// What a marker says.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Part), ClusterError> {
        Self::found(Bytes::copy_from_slice(bytes)).map(|found| (found.cluster, found.holds))
    }

    fn found(bytes: Bytes) -> Result<Found, ClusterError> {
        let malformed = |error: String| ClusterError::Malformed(error);
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        if format > FORMAT {
            return Err(ClusterError::Newer(format));
        }
        let marker: Marker = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        let id = u128::from_str_radix(&marker.cluster_id, 16).map_err(|error| malformed(error.to_string()))?;
        let cluster = Self { id, generation: marker.generation };
        Ok(Found { cluster, holds: marker.holds, is_new: false, probed: marker.probed, bytes })
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
        let parsed = |text: &str| {
            let found = Cluster::found(text.to_owned().into()).unwrap();
            (found.cluster, found.holds, found.probed)
        };
        assert_eq!(cluster.encode(Part::Whole), text);
        assert_eq!(parsed(text), (cluster, Part::Whole, None));
        let apart = text.replace("\"format\": 1", "\"format\": 2").replace("7\n", "7,\n  \"holds\": \"log\"\n");
        assert_eq!(cluster.encode(Part::Log), apart);
        assert_eq!(parsed(&apart), (cluster, Part::Log, None));
        let result = concat!(
            "7,\n  \"probed\": {\n    \"at_ms\": 5,\n    \"version\": \"0.1.0\",\n",
            "    \"races\": 4,\n    \"racers\": 16\n  }\n"
        );
        let asked = text.replace("7\n", result);
        let (_, _, probed) = parsed(&asked);
        assert!(matches!(&probed, Some(AnyProbed::Known(probed)) if probed.races == 4), "{probed:?}");
        assert_eq!(cluster.encode_probed(Part::Whole, probed), asked);
        assert_eq!(cluster.kafka_id(), "AAAAAAAAAAAAAAAAAAABIw");
    }

    #[test]
    fn what_is_not_a_marker_is_refused() {
        assert!(matches!(Cluster::of_marker(b"{}"), Err(ClusterError::Malformed(_))));
        assert!(matches!(Cluster::of_marker(b"{\"format\": 3, \"future\": true}"), Err(ClusterError::Newer(3))));
        let odd = b"{\"format\": 1, \"cluster_id\": \"x\", \"generation\": 1}";
        assert!(matches!(Cluster::of_marker(odd), Err(ClusterError::Malformed(_))));
    }

    #[test]
    fn what_is_known_of_a_store_outlives_a_generation_and_what_is_not_understood_is_kept() {
        let marker = |generation: u64, probed: &str| {
            let id = "00000000000000000000000000000123";
            format!(r#"{{"format": 1, "cluster_id": "{id}", "generation": {generation}, "probed": {probed}}}"#)
        };
        let next = Cluster { id: 0x0123, generation: 8 };
        let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let full = r#"{"at_ms": 5, "version": "0.1.0", "races": 4, "racers": 16, "place": "00000000000000ab",
            "found": {"format": 1, "checks": [{"check": "delete", "result": "denied", "reason": "no"}]}}"#;
        for probed in [full, r#"{"at_ms": "newer"}"#, "7"] {
            let over = next.encode_over(Part::Whole, Some(marker(7, probed).as_bytes()));
            assert_eq!(value(&over), value(marker(8, probed).as_bytes()));
        }
        for before in [None, Some(&b"no marker"[..])] {
            assert_eq!(next.encode_over(Part::Whole, before), next.encode(Part::Whole));
        }
    }
}
