//! Copies of a store: objects never change and their names are never used twice, so a copy of what is not there yet is a
//! copy of all.
//!
//! A backup has the objects of a store under their own names, frames of the log among them, and `backup.json` in place of
//! the marker: which cluster it is, and the positions at which it was whole. So it can be read and checked like a store,
//! and is never served. It keeps what the store has deleted, and with the frames a restore may end at any position between
//! the first snapshot in it and the last copy.

use std::collections::BTreeSet;

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use kafscale_broker::{cluster::Cluster, snapshot as snapshots};
use kafscale_log::{Position, data, lone::names as log_names};
use kafscale_segment::names;
use kafscale_store::Body;
use serde::{Deserialize, Serialize};

use crate::{
    Bucket, Cut, Error, Known, Side, Until,
    fsck::Progress,
    known::in_parts,
    recover::{Path, candidates::all_names},
    tile::tiles,
};

/// What a backup says of itself.
pub const MANIFEST: &str = "backup.json";
/// The format of that.
const FORMAT: u32 = 1;
/// A manifest is small; more is not one.
const MANIFEST_LEN_MAX: u64 = 16 << 20;
/// Objects that are on their way at once, and their bytes.
const AT_ONCE: usize = 16;
const BYTES_AT_ONCE: u64 = 256 << 20;
/// The longest object that is copied.
const OBJECT_LEN_MAX: u64 = 4 << 30;
/// A broker that runs may delete what was about to be copied; then it is begun anew so often.
const ROUNDS: usize = 5;

/// A position at which a backup has everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Point {
    /// The position.
    pub position: Position,
    /// Cluster time there, Unix milliseconds.
    pub time_ms: i64,
}

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The cluster, and the life of its log.
    pub cluster: Cluster,
    /// Where it has everything, ascending.
    pub points: Vec<Point>,
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that were there already.
    pub kept: u64,
    /// Where the backup has everything now.
    pub position: Position,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    cluster_id: String,
    generation: u64,
    points: Vec<Point>,
}

impl Manifest {
    fn encode(&self) -> Body {
        let Manifest { cluster: Cluster { id, generation }, points } = self.clone();
        let written = Written { format: FORMAT, cluster_id: format!("{id:032x}"), generation, points };
        let text = serde_json::to_vec_pretty(&written).expect("a manifest is plain data");
        Body::from(bytes::Bytes::from(text))
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let written: Written = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let Written { format, cluster_id, generation, points } = written;
        if format != FORMAT {
            return Err(format!("it has format {format}, this version knows {FORMAT}"));
        }
        let id = u128::from_str_radix(&cluster_id, 16).map_err(|error| error.to_string())?;
        Ok(Self { cluster: Cluster { id, generation }, points })
    }
}

/// The manifest of a backup; none where there is none.
pub async fn manifest(bucket: &Bucket) -> Result<Option<Manifest>, Error> {
    let Some(text) = bucket.get_small(Side::Data, MANIFEST, MANIFEST_LEN_MAX).await? else { return Ok(None) };
    Manifest::parse(&text).map(Some).map_err(|reason| Error::damaged(MANIFEST, reason))
}

/// Copies what is not there yet, up to where the log is now. `progress` hears of bytes.
pub async fn backup(from: &Bucket, to: &Bucket, progress: Progress<'_>) -> Result<Copied, Error> {
    let mut copied = Copied::default();
    let mut before = target(to).await?;
    for _ in 0..ROUNDS {
        let known = Known::open(from, Until::Tail).await?;
        if let Some(Cut { name, damage, .. }) = known.cut {
            // What is whole up to here would hide that there was more.
            return Err(match damage {
                None => Error::Missing(format!("{name}, which the log lost: `kafscale recover` comes first; it")),
                Some(reason) => Error::Damaged { name, reason: format!("{reason}; `kafscale recover` comes first") },
            });
        }
        if let Some(manifest) = before.as_ref().filter(|manifest| manifest.cluster != known.cluster) {
            let Cluster { id, generation } = manifest.cluster;
            let of = format!("generation {generation} of cluster {id:032x}");
            return Err(Error::Refused(format!("the backup is of {of}: take another place for this one")));
        }
        copy_missing(from, to, &known, &mut copied, progress).await?;
        if !is_whole(to, &known).await? {
            continue;
        }
        let point = Point { position: known.state.position(), time_ms: known.state.cluster_time_ms() };
        let mut points = before.take().map_or_else(Vec::new, |manifest| manifest.points);
        points.push(point);
        points.sort_unstable();
        points.dedup();
        to.replace(Side::Data, MANIFEST, &Manifest { cluster: known.cluster, points }.encode()).await?;
        copied.position = point.position;
        return Ok(copied);
    }
    Err(Error::Refused(
        "objects go faster than they are copied; `kafscale fsck` tells whether they are missing".to_owned(),
    ))
}

/// The manifest of the place to copy to, which must be a backup or empty.
async fn target(to: &Bucket) -> Result<Option<Manifest>, Error> {
    let found = manifest(to).await?;
    if found.is_none() && !to.page(Side::Data, "", "", 1).await?.is_empty() {
        return Err(Error::Refused(format!("the place to copy to is not empty, and has no {MANIFEST}")));
    }
    Ok(found)
}

/// Whether a name belongs to a copy at this position.
fn belongs(known: &Known, name: &str) -> Option<Side> {
    let (Cluster { id, generation }, last) = (known.cluster, known.state.position());
    if let Some(position) = log_names::frame_position(generation, name) {
        return (position <= last).then_some(Side::Log);
    }
    if let Some((from, _)) = log_names::archive_bounds(generation, name) {
        return (from <= last).then_some(Side::Log);
    }
    if let Some((of, position)) = snapshots::parse_name(name) {
        return (of == generation && position <= last).then_some(Side::Data);
    }
    let is_object = data::DataId::parse(name).is_some_and(|object| object.cluster_id == id)
        || names::merged_id(id, name).is_some()
        || Path::of(name).is_some_and(|path| known.state.topic_in(path.namespace, path.topic).is_some());
    is_object.then_some(Side::Data)
}

async fn copy_missing(
    from: &Bucket,
    to: &Bucket,
    known: &Known,
    copied: &mut Copied,
    progress: Progress<'_>,
) -> Result<(), Error> {
    let (there, here) = (all_names(to).await?, all_names(from).await?);
    let mut wanted = Vec::new();
    copied.kept = 0;
    for (name, size) in &here {
        let Some(side) = belongs(known, name) else { continue };
        match there.get(name) == Some(size) {
            true => copied.kept += 1,
            false => wanted.push((side, name.as_str(), *size)),
        }
    }
    let total: u64 = wanted.iter().map(|(_, _, size)| size).sum();
    let (mut running, mut on_the_way, mut done) = (FuturesUnordered::new(), 0, 0);
    let mut rest = wanted.into_iter().peekable();
    loop {
        while let Some((side, name, size)) = rest.next_if(|(_, _, size)| {
            running.is_empty() || (running.len() < AT_ONCE && on_the_way + size <= BYTES_AT_ONCE)
        }) {
            on_the_way += size;
            running.push(copy(from, to, side, name, size).boxed());
        }
        let Some(ended) = running.next().await else { return Ok(()) };
        let (size, is_there) = ended?;
        on_the_way -= size;
        done += size;
        if is_there {
            copied.objects += 1;
            copied.bytes += size;
        }
        progress(done, total);
    }
}

/// Copies one object; one that went meanwhile is passed over.
async fn copy(from: &Bucket, to: &Bucket, side: Side, name: &str, size: u64) -> Result<(u64, bool), Error> {
    let parts = match in_parts(from, side, name, size, OBJECT_LEN_MAX).await {
        Ok(parts) => parts,
        Err(Error::Missing(_)) => return Ok((size, false)),
        Err(error) => return Err(error),
    };
    to.create(Side::Data, name, &Body::new(parts)).await?;
    Ok((size, true))
}

/// Whether everything that the state refers to is in the copy.
async fn is_whole(to: &Bucket, known: &Known) -> Result<bool, Error> {
    let there = all_names(to).await?;
    let state = &known.state;
    for handle in state.topics().flat_map(|topic| topic.handles()) {
        for tile in tiles(state, known.cluster, handle, 0) {
            let tile = tile.map_err(|reason| Error::damaged("the state", reason))?;
            if there.get(&tile.name).is_none_or(|size| *size < tile.bytes_end()) {
                return Ok(false);
            }
        }
    }
    let positions: BTreeSet<Position> =
        there.keys().filter_map(|name| log_names::frame_position(known.cluster.generation, name)).collect();
    let has_state =
        known.snapshot == 0 || there.contains_key(&snapshots::name(known.cluster.generation, known.snapshot));
    let is_followed = (known.snapshot + 1..=state.position()).all(|position| positions.contains(&position));
    Ok(has_state && is_followed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_written_like_this_and_read_back() {
        let points = vec![Point { position: 7, time_ms: -1 }, Point { position: 9, time_ms: 5 }];
        let manifest = Manifest { cluster: Cluster { id: 0xabc, generation: 3 }, points };
        let text = manifest.encode().to_bytes();
        let golden = concat!(
            "{\n  \"format\": 1,\n  \"cluster_id\": \"00000000000000000000000000000abc\",\n  \"generation\": 3,\n",
            "  \"points\": [\n    {\n      \"position\": 7,\n      \"time_ms\": -1\n    },\n",
            "    {\n      \"position\": 9,\n      \"time_ms\": 5\n    }\n  ]\n}"
        );
        assert_eq!(text, golden);
        assert_eq!(Manifest::parse(&text), Ok(manifest));
        assert!(Manifest::parse(b"{}").is_err());
        assert!(Manifest::parse(golden.replace("\"format\": 1", "\"format\": 2").as_bytes()).is_err());
    }
}
