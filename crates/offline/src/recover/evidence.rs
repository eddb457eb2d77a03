//! What is left of a cluster's memory: markers, the newest snapshot that is whole, and the frames behind it, with holes.
//!
//! Behind a hole nobody knows how many records a partition got there, nor which numbers new partitions have. So a partition
//! that grows behind one leaves a gap of offsets, which consumers pass over as they do in compacted topics: none of them
//! misses a record because an offset was given twice. And partitions of which only the number is known get the topic that a
//! merged object names, or else one of their own.

use std::collections::{BTreeSet, VecDeque};

use kafscale_broker::{
    cluster::{Cluster, ClusterError, MARKER, Part},
    config::{layers::Layers, topic::LifeConfig},
};
use kafscale_log::{
    Frame, Position,
    lone::{floor, names as log_names},
};
use kafscale_segment::{merged, names::MERGED};
use kafscale_state::{
    Handle, PartitionView, State,
    entry::{self, Entry},
    rebuild::TopicSeed,
};

use super::{
    candidates::{adopt_told, told},
    cover::Prefer,
};
use crate::{
    Bucket, Error, Side, Until,
    backup::manifest,
    frames::{self, Frames},
    known::{SnapshotRow, apply, list_snapshots, load_snapshot, marker},
};

/// Offsets that are left where it is not known how many records were lost.
pub const GAP: u64 = 1_000_000_000;
/// The broker whose settings count where a topic has none: a lone one is called so unless it is told otherwise.
const NODE: i32 = 0;
/// Numbers of partitions that are left where it is not known how many were given.
const HANDLES_GAP: u32 = 1_000_000;

/// See the module.
pub struct Evidence {
    /// The cluster, and the life of its log that is over.
    pub cluster: Cluster,
    /// The next life.
    pub generation: u64,
    /// What is known, at the last position that is.
    pub state: State,
    /// The position of the snapshot; 0 for none.
    pub snapshot: Position,
    /// How many frames were applied behind it.
    pub frames: u64,
    /// The last position that anything names.
    pub position: Position,
    /// The greatest session that anything names.
    pub session: u64,
    /// Positions that are missing before others: from, and one past the last.
    pub holes: Vec<(Position, Position)>,
    /// Partitions from this number on may be ones that nobody here has heard of; below it they were deleted.
    pub unknown_from: Handle,
    /// Offsets that were left for what holes had: partition, from, to.
    pub gaps: Vec<(Handle, i64, i64)>,
    /// Whether the log reaches as far as what is known, so that nothing behind it is lost as far as it tells.
    pub is_end_known: bool,
    /// What could not be read, and why.
    pub unreadable: Vec<(String, String)>,
}

impl Evidence {
    /// Nothing: a cluster that is made here.
    pub fn none(id: u128) -> Self {
        Self {
            cluster: Cluster { id, generation: 0 },
            generation: 1,
            state: State::new(),
            snapshot: 0,
            frames: 0,
            position: 0,
            session: 0,
            holes: Vec::new(),
            unknown_from: 0,
            gaps: Vec::new(),
            is_end_known: true,
            unreadable: Vec::new(),
        }
    }

    /// Which places of a partition count. Of one that nobody here has heard of it is not known whether it was compacted.
    pub fn prefer(&self, handle: Handle) -> Prefer {
        let config = |view: PartitionView<'_>| LifeConfig::new(&Layers::of_topic(&self.state, NODE, view.topic()));
        let is_compacted = self.state.partition(handle).is_some_and(|view| config(view).compact);
        if is_compacted || handle >= self.unknown_from { Prefer::Youngest } else { Prefer::Known }
    }
}

/// Gathers what there is, up to a point.
pub async fn gather(bucket: &Bucket, until: Until) -> Result<Evidence, Error> {
    let snapshots = list_snapshots(bucket).await?;
    let generations = generations(bucket, &snapshots).await?;
    let mut unreadable = Vec::new();
    let data = readable_marker(bucket, Side::Data, &mut unreadable).await?;
    check_part(bucket, data.as_ref().map(|(_, part)| *part), Side::Data)?;
    let log = match bucket.is_apart() {
        true => readable_marker(bucket, Side::Log, &mut unreadable).await?,
        false => None,
    };
    check_part(bucket, log.as_ref().map(|(_, part)| *part), Side::Log)?;
    let copy = manifest(bucket).await?.map(|manifest| manifest.cluster);
    let marked = data.or(log).map(|(cluster, _)| cluster).or(copy);
    if let (Some((data, _)), Some((log, _))) = (data, log)
        && data.id != log.id
    {
        return Err(ClusterError::Strangers { data, log }.into());
    }
    let newest = generations.last().copied();
    let generation = marked.map(|cluster| cluster.generation).or(newest).unwrap_or(1);
    let of_generation = snapshots.iter().rev().filter(|row| row.generation == generation);
    let base = newest_state(bucket, of_generation, until, &mut unreadable).await?;
    let snapshot = base.as_ref().map_or(0, State::position);
    let state = base.unwrap_or_default();
    let id = match marked.map(|cluster| cluster.id).or(state.cluster_id()) {
        Some(id) => id,
        None => cluster_of_names(bucket).await?.ok_or(Error::NoCluster)?,
    };
    if state.cluster_id().is_some_and(|of_state| of_state != id) {
        return Err(Error::Refused(format!(
            "the snapshot belongs to cluster {:032x}",
            state.cluster_id().unwrap_or(0)
        )));
    }
    let cluster = Cluster { id, generation };
    let next = marked.map_or(0, |cluster| cluster.generation).max(newest.unwrap_or(0)).max(log_generation(log)) + 1;
    let mut evidence = Evidence {
        cluster,
        generation: next,
        session: state.session(),
        position: state.position(),
        state,
        snapshot,
        frames: 0,
        holes: Vec::new(),
        unknown_from: Handle::MAX,
        gaps: Vec::new(),
        is_end_known: false,
        unreadable,
    };
    evidence.follow(bucket, until).await?;
    Ok(evidence)
}

/// The state of the first of these snapshots that is whole and not behind a point; the others are noted.
async fn newest_state(
    bucket: &Bucket,
    snapshots: impl Iterator<Item = &SnapshotRow>,
    until: Until,
    unreadable: &mut Vec<(String, String)>,
) -> Result<Option<State>, Error> {
    for row in snapshots {
        if matches!(until, Until::Position(position) if row.position > position) {
            continue;
        }
        match load_snapshot(bucket, row).await {
            Ok(state) if matches!(until, Until::Time(ms) if state.cluster_time_ms() > ms) => {}
            Ok(state) => return Ok(Some(state)),
            Err(Error::Damaged { name, reason }) => unreadable.push((name, reason)),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The marker of a store. One that is damaged says no more than one that is gone.
async fn readable_marker(
    bucket: &Bucket,
    side: Side,
    unreadable: &mut Vec<(String, String)>,
) -> Result<Option<(Cluster, Part)>, Error> {
    match marker(bucket, side).await {
        Err(Error::Cluster(ClusterError::Malformed(reason))) => {
            unreadable.push((MARKER.to_owned(), reason));
            Ok(None)
        }
        other => other,
    }
}

fn log_generation(log: Option<(Cluster, Part)>) -> u64 {
    log.map_or(0, |(cluster, _)| cluster.generation)
}

fn check_part(bucket: &Bucket, is: Option<Part>, side: Side) -> Result<(), Error> {
    let used_as = match (bucket.is_apart(), side) {
        (false, _) => Part::Whole,
        (true, Side::Data) => Part::Data,
        (true, Side::Log) => Part::Log,
    };
    match is.filter(|is| *is != used_as) {
        Some(is) => Err(ClusterError::Misused { used_as, is }.into()),
        None => Ok(()),
    }
}

/// All lives of the log that names tell of, ascending.
async fn generations(bucket: &Bucket, snapshots: &[SnapshotRow]) -> Result<BTreeSet<u64>, Error> {
    let mut found: BTreeSet<u64> = snapshots.iter().map(|row| row.generation).collect();
    let number = |name: &str, prefix: &str| name.strip_prefix(prefix)?.get(..20)?.parse::<u64>().ok();
    for prefix in ["log/", log_names::ARCHIVES] {
        let mut after = String::new();
        while let Some(row) = bucket.page(Side::Log, prefix, &after, 1).await?.pop() {
            let Some(generation) = number(&row.name, prefix) else {
                after = row.name;
                continue;
            };
            found.insert(generation);
            // To the first name of a later one.
            after = format!("{prefix}{generation:020}~");
        }
    }
    if let Some(bytes) = bucket.get_small(Side::Log, log_names::FLOOR, 1 << 10).await?
        && let Ok(floor) = floor::decode(&bytes)
    {
        found.insert(floor.generation);
    }
    Ok(found)
}

async fn cluster_of_names(bucket: &Bucket) -> Result<Option<u128>, Error> {
    for prefix in [MERGED, kafscale_log::data::PREFIX] {
        let row = bucket.page(Side::Data, prefix, "", 1).await?.pop();
        let id = row.and_then(|row| u128::from_str_radix(row.name.strip_prefix(prefix)?.get(..32)?, 16).ok());
        if id.is_some() {
            return Ok(id);
        }
    }
    Ok(None)
}

impl Evidence {
    /// Whether the log has all that it ever had behind the snapshot, as far as it tells.
    pub fn is_whole(&self) -> bool {
        self.holes.is_empty() && self.is_end_known
    }

    async fn follow(&mut self, bucket: &Bucket, until: Until) -> Result<(), Error> {
        let mut frames = Frames::behind(bucket, self.cluster, self.state.position()).await?;
        self.position = self.position.max(frames.positions().next_back().unwrap_or(0));
        let last = frames::logged(bucket, self.cluster.generation, self.state.position().saturating_sub(1)).await?;
        self.is_end_known = !last.is_empty();
        // Frames that were read to judge a hole, and partitions that grew since the last one.
        let (mut ahead, mut grown, mut of_objects) = (VecDeque::new(), BTreeSet::new(), None);
        loop {
            let next = match ahead.pop_front() {
                Some(next) => Some(next),
                None => self.readable(&mut frames, until).await?,
            };
            let Some(frame) = next else { break };
            let (position, due) = (frame.header.position, self.state.position() + 1);
            if position > due {
                if !self.was_there(due, &frame, &mut ahead, (&mut frames, until)).await? {
                    break;
                }
                self.holes.push((due, position));
                self.unknown_from = self.unknown_from.min(self.state.next_handle());
                self.state.pass_over(position - 1, HANDLES_GAP);
                grown.clear();
            }
            self.session = self.session.max(frame.header.session);
            if !self.holes.is_empty() {
                self.prepare(bucket, &frame, &mut grown, &mut of_objects).await?;
            }
            match apply(&mut self.state, &frame) {
                Ok(()) => self.frames += 1,
                Err(Error::Damaged { name, reason }) => self.unreadable.push((name, reason)),
                Err(error) => return Err(error),
            }
        }
        self.unknown_from = self.unknown_from.min(self.state.next_handle());
        Ok(())
    }

    /// The next frame that can be read, up to a point.
    async fn readable(&mut self, frames: &mut Frames<'_>, until: Until) -> Result<Option<Frame>, Error> {
        while let Some((position, frame)) = frames.next().await? {
            if matches!(until, Until::Position(last) if position > last) {
                return Ok(None);
            }
            match frame {
                Ok(frame) => {
                    self.is_end_known = true;
                    let is_beyond = matches!(until, Until::Time(ms) if frame.header.cluster_time_ms > ms);
                    return Ok((!is_beyond).then_some(frame));
                }
                Err(Error::Damaged { name, reason }) => {
                    self.unreadable.push((name, reason));
                    self.is_end_known = false;
                }
                Err(Error::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Whether a frame stood at a position that is missing: if one behind it calls it settled. Else the log ended there, and
    /// what stands behind it is what a writer left that was killed with several frames on their way, acknowledged by nobody.
    async fn was_there(
        &mut self,
        missing: Position,
        first: &Frame,
        ahead: &mut VecDeque<Frame>,
        (frames, until): (&mut Frames<'_>, Until),
    ) -> Result<bool, Error> {
        let says_so = |frame: &Frame| frame.header.settled > missing;
        if says_so(first) || ahead.iter().any(says_so) {
            return Ok(true);
        }
        while let Some(frame) = self.readable(frames, until).await? {
            let told = says_so(&frame);
            ahead.push_back(frame);
            if told {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Behind a hole: gaps before what partitions get, and topics for partitions that nobody has heard of. What merged objects
    /// tell of is read once, when it is needed.
    async fn prepare(
        &mut self,
        bucket: &Bucket,
        frame: &Frame,
        grown: &mut BTreeSet<Handle>,
        of_objects: &mut Option<Vec<merged::Part>>,
    ) -> Result<(), Error> {
        let Ok(entries) = entry::decode(&frame.entries) else { return Ok(()) };
        let commits = entries.iter().filter_map(|entry| match entry {
            Entry::Commit(commit) => Some(commit),
            _ => None,
        });
        let handles: Vec<Handle> =
            commits.flat_map(|commit| commit.extents.iter().map(|extent| extent.partition)).collect();
        for handle in handles {
            if self.state.partition(handle).is_none() && handle >= self.unknown_from {
                let told = match of_objects.take() {
                    Some(told) => told,
                    None => told(bucket, self.cluster.id).await?,
                };
                if !adopt_told(self, &told, handle) {
                    adopt_unnamed(&mut self.state, self.cluster.id, handle)?;
                }
                *of_objects = Some(told);
            }
            if grown.insert(handle) {
                let end = |state: &State| state.partition(handle).map_or(0, |view| view.high_watermark());
                let from = end(&self.state);
                self.state.leave_gap(handle, GAP);
                self.gaps.push((handle, from, end(&self.state)));
            }
        }
        Ok(())
    }
}

/// A topic for a partition of which only the number is known.
pub fn adopt_unnamed(state: &mut State, cluster: u128, handle: Handle) -> Result<(), Error> {
    let (name, position) = (format!("recovered.{handle}"), state.position());
    let id = cluster ^ ((u128::from(handle) + 1) << 64);
    let seed = TopicSeed { namespace: String::new(), name, id, settings: Default::default(), handles: vec![handle] };
    state.adopt(seed, position).map_err(|error| Error::Refused(error.to_string()))
}
