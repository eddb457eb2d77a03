//! The state at a position, without a broker: the newest snapshot that is whole, then the frames behind it.
//!
//! What is found may be older than what a running broker knows a moment later, and never newer. The log ends at the first
//! missing position, unless a later frame calls that one settled: then it existed, and is lost. What stands before a frame
//! that is lost or damaged is known all the same, so that there is something to read; [`Known::cut`] says what is not.

use bytes::{Bytes, BytesMut};
use kafscale_broker::{
    cluster::{Cluster, ClusterError, MARKER, MARKER_BYTES_MAX, Part},
    snapshot as snapshots,
};
use kafscale_log::{Frame, Position, lone::names};
use kafscale_state::{FrameFacts, State, snapshot};

use crate::{Bucket, Error, Side, backup::manifest, frames::Frames};

/// The longest snapshot that is read.
const SNAPSHOT_LEN_MAX: u64 = 16 << 30;
/// Bytes of one read of a snapshot.
const PART: u64 = 16 << 20;
/// How often it is begun anew where a broker moves things meanwhile.
const ATTEMPTS: usize = 3;

/// How far the log is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// To its end.
    Tail,
    /// Up to this position.
    Position(Position),
    /// As long as frames are not younger than this, in Unix milliseconds.
    Time(i64),
}

/// Where what can be read of a log breaks off before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The first position of which nothing is known, nor of what stands behind it.
    pub position: Position,
    /// The last position that there is an object of, in the log or in an archive.
    pub last: Position,
    /// The object that is lost or damaged.
    pub name: String,
    /// What is wrong with it; none where it is gone.
    pub damage: Option<String>,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { position, last, name, damage } = self;
        match damage {
            Some(reason) => write!(f, "{name} is damaged ({reason})")?,
            None => write!(f, "{name} is missing, and a later frame says that it was there")?,
        }
        write!(f, ": nothing is known of what positions {position} to {last} of the log say")
    }
}

/// See the module.
pub struct Known {
    /// Which cluster, and which life of its log.
    pub cluster: Cluster,
    /// What is known.
    pub state: State,
    /// The position of the snapshot that it began with; 0 for none.
    pub snapshot: Position,
    /// Where the log breaks off, if it does before its end.
    pub cut: Option<Cut>,
    /// Snapshots that cannot be read, and why.
    pub unreadable: Vec<(String, String)>,
}

impl Known {
    /// Reads what is known. It begins anew where a running broker may have trimmed what was about to be read.
    pub async fn open(bucket: &Bucket, until: Until) -> Result<Self, Error> {
        for _ in 1..ATTEMPTS {
            match Self::open_once(bucket, until).await {
                Ok(known) if known.cut.is_some() => {}
                Err(Error::Missing(_) | Error::Damaged { .. }) => {}
                other => return other,
            }
        }
        Self::open_once(bucket, until).await
    }

    async fn open_once(bucket: &Bucket, until: Until) -> Result<Self, Error> {
        let cluster = cluster(bucket).await?;
        // A backup is whole up to its last point.
        let last = match until {
            Until::Tail => manifest(bucket).await?.and_then(|manifest| manifest.points.last().copied()),
            _ => None,
        };
        let until = last.map_or(until, |last| Until::Position(last.position));
        let mut known = Self { cluster, state: State::new(), snapshot: 0, cut: None, unreadable: Vec::new() };
        let rows = list_snapshots(bucket).await?;
        let of_generation = rows.iter().filter(|row| row.generation == cluster.generation);
        for row in of_generation.rev() {
            if matches!(until, Until::Position(position) if row.position > position) {
                continue;
            }
            match load_snapshot(bucket, row).await {
                Ok(state) if matches!(until, Until::Time(ms) if state.cluster_time_ms() > ms) => {}
                Ok(state) => {
                    (known.snapshot, known.state) = (state.position(), state);
                    break;
                }
                Err(Error::Damaged { name, reason }) => known.unreadable.push((name, reason)),
                Err(Error::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        known.follow(bucket, until).await?;
        Ok(known)
    }

    async fn follow(&mut self, bucket: &Bucket, until: Until) -> Result<(), Error> {
        let mut frames = Frames::behind(bucket, self.cluster, self.state.position()).await?;
        let last = frames.positions().next_back().unwrap_or(0);
        while let Some((position, frame)) = frames.next().await? {
            if matches!(until, Until::Position(last) if position > last) {
                break;
            }
            let next = self.state.position() + 1;
            if position != next {
                // Frames of a take-over that was cut short stand behind holes that never were filled.
                if settled(frame, &mut frames).await? > next {
                    let name = names::frame(self.cluster.generation, next);
                    self.cut = Some(Cut { position: next, last, name, damage: None });
                }
                break;
            }
            if matches!((&frame, until), (Ok(frame), Until::Time(ms)) if frame.header.cluster_time_ms > ms) {
                break;
            }
            match frame.and_then(|frame| apply(&mut self.state, &frame)) {
                Ok(()) => {}
                Err(Error::Damaged { name, reason }) => {
                    self.cut = Some(Cut { position, last, name, damage: Some(reason) });
                    break;
                }
                Err(Error::Missing(name)) => {
                    self.cut = Some(Cut { position, last, name, damage: None });
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The greatest position below which any of these frames calls everything settled.
async fn settled(first: Result<Frame, Error>, rest: &mut Frames<'_>) -> Result<Position, Error> {
    let mut settled = first.map_or(0, |frame| frame.header.settled);
    while let Some((_, frame)) = rest.next().await? {
        settled = settled.max(frame.map_or(0, |frame| frame.header.settled));
    }
    Ok(settled)
}

/// Applies a frame where it belongs.
pub fn apply(state: &mut State, frame: &Frame) -> Result<(), Error> {
    let header = &frame.header;
    let facts = FrameFacts {
        position: header.position,
        session: header.session,
        cluster_time_ms: header.cluster_time_ms,
        payload_at: u32::try_from(header.head_len()).unwrap_or(u32::MAX),
    };
    let applied = state.apply(facts, &frame.entries);
    applied.map(drop).map_err(|error| match error.is_newer_version() {
        true => Error::Newer { name: "the log".to_owned(), reason: error.to_string() },
        false => Error::damaged(&format!("the log at {}", header.position), error),
    })
}

/// What the marker of a store says, if it has one.
pub async fn marker(bucket: &Bucket, side: Side) -> Result<Option<(Cluster, Part)>, Error> {
    let bytes = bucket.get_small(side, MARKER, MARKER_BYTES_MAX).await?;
    Ok(bytes.map(|bytes| Cluster::parse(&bytes)).transpose()?)
}

/// The cluster that these stores belong to, as a broker would take them.
pub async fn cluster(bucket: &Bucket) -> Result<Cluster, Error> {
    let Some((data, is)) = marker(bucket, Side::Data).await? else {
        let manifest = manifest(bucket).await?.filter(|_| !bucket.is_apart());
        return Ok(manifest.ok_or(Error::NoCluster)?.cluster);
    };
    let used_as = if bucket.is_apart() { Part::Data } else { Part::Whole };
    if is != used_as {
        return Err(ClusterError::Misused { used_as, is }.into());
    }
    if !bucket.is_apart() {
        return Ok(data);
    }
    match marker(bucket, Side::Log).await? {
        Some((log, Part::Log)) if log == data => Ok(data),
        Some((log, Part::Log)) => Err(ClusterError::Strangers { data, log }.into()),
        Some((_, is)) => Err(ClusterError::Misused { used_as: Part::Log, is }.into()),
        None => Err(ClusterError::LogMissing.into()),
    }
}

/// A snapshot by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRow {
    /// The life of the log that it belongs to.
    pub generation: u64,
    /// Its position.
    pub position: Position,
    /// Its name.
    pub name: String,
    /// Its length.
    pub size: u64,
}

/// All snapshots of all generations, in order.
pub async fn list_snapshots(bucket: &Bucket) -> Result<Vec<SnapshotRow>, Error> {
    let rows = bucket.list(Side::Data, snapshots::PREFIX).await?;
    let row = |row: kafscale_store::Listed| {
        let (generation, position) = snapshots::parse_name(&row.name)?;
        Some(SnapshotRow { generation, position, name: row.name, size: row.size })
    };
    Ok(rows.into_iter().filter_map(row).collect())
}

/// Reads a snapshot whole.
pub async fn load_snapshot(bucket: &Bucket, row: &SnapshotRow) -> Result<State, Error> {
    let bytes = whole(bucket, Side::Data, &row.name, row.size, SNAPSHOT_LEN_MAX).await?;
    let state = snapshot::decode(&bytes).map_err(|error| match error {
        snapshot::SnapshotError::NewerFormat { .. } | snapshot::SnapshotError::NewerFeatureLevel { .. } => {
            Error::Newer { name: row.name.clone(), reason: error.to_string() }
        }
        error => Error::damaged(&row.name, error),
    })?;
    match state.position() == row.position {
        true => Ok(state),
        false => Err(Error::damaged(&row.name, format!("it was taken at position {}", state.position()))),
    }
}

/// A whole object of which a listing told the length, in one piece.
pub async fn whole(bucket: &Bucket, side: Side, name: &str, size: u64, size_max: u64) -> Result<Bytes, Error> {
    let mut bytes = BytesMut::new();
    for start in starts(name, size, size_max)? {
        let part = part(bucket, side, name, start, size).await?;
        // Once and for all: a buffer that grows is copied each time, and is there twice meanwhile.
        bytes.reserve(usize::try_from(size).unwrap_or(usize::MAX).saturating_sub(bytes.len()));
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.freeze())
}

/// The same in the parts in which it came, so that it is in memory once.
pub async fn in_parts(bucket: &Bucket, side: Side, name: &str, size: u64, size_max: u64) -> Result<Vec<Bytes>, Error> {
    let mut parts = Vec::new();
    for start in starts(name, size, size_max)? {
        parts.push(part(bucket, side, name, start, size).await?);
    }
    Ok(parts)
}

fn starts(name: &str, size: u64, size_max: u64) -> Result<impl Iterator<Item = u64> + use<>, Error> {
    match size <= size_max {
        true => Ok((0..size).step_by(PART as usize)),
        false => Err(Error::damaged(name, format!("{size} bytes are more than it can have"))),
    }
}

async fn part(bucket: &Bucket, side: Side, name: &str, start: u64, size: u64) -> Result<Bytes, Error> {
    let len = PART.min(size - start);
    let part = bucket.get(side, name, start, len).await?.ok_or_else(|| Error::Missing(name.to_owned()))?;
    match part.len() as u64 == len {
        true => Ok(part),
        false => Err(Error::damaged(name, format!("it ends at byte {} of {size}", start + part.len() as u64))),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use kafscale_sim::executor::World;
    use kafscale_store::{Body, MemoryStore, Store};

    use super::*;

    #[test]
    fn a_large_object_comes_in_parts_and_in_one_piece() {
        let world = World::new(1);
        let runtime = world.node("tool").runtime();
        let story = async move {
            let memory = Arc::new(MemoryStore::new());
            let bytes: Bytes = (0..2 * PART + 5).map(|at| (at % 251) as u8).collect::<Vec<u8>>().into();
            memory.create("large", Body::from(bytes.clone())).await.expect("it is free");
            let store: Arc<dyn Store> = memory;
            let bucket = Bucket::new(store, runtime);
            let size = bytes.len() as u64;
            let parts = in_parts(&bucket, Side::Data, "large", size, size).await.expect("it is there");
            assert_eq!(parts.iter().map(|part| part.len() as u64).collect::<Vec<_>>(), [PART, PART, 5]);
            assert_eq!(parts.concat(), bytes);
            assert_eq!(whole(&bucket, Side::Data, "large", size, size).await.expect("it is there"), bytes);
            for (size, size_max) in [(size + 1, size + 1), (size, size - 1)] {
                let wrong = in_parts(&bucket, Side::Data, "large", size, size_max).await;
                assert!(matches!(wrong, Err(Error::Damaged { .. })), "{wrong:?}");
            }
        };
        world.run(Duration::from_secs(60), story).expect("the story ends");
    }
}
