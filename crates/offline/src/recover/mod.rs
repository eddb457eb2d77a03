//! Bringing a cluster back whose log is gone, damaged, or older than its data.
//!
//! ```text
//!  evidence      newest whole snapshot, archives, the frames that are left     ─▶ the state as far as it is known
//!  candidates    what it refers to and is there; objects that tell of themselves ─▶ places by partition
//!  cover         one place for every offset; what lies nowhere is lost            ─▶ the plan, and the report
//!  rewrite       records in frames, or parts of objects, into new merged objects
//!  publish       snapshot of the rebuilt state in the next generation, then the markers
//! ```
//!
//! Up to the markers everything that is written has a name of its own, and a broker of the old generation sees nothing of
//! it; the markers make it valid. So whatever ends it halfway, it can be begun anew. Nothing is deleted.
//!
//! The very same makes a copy of a store into one that can be served at a point in time, and takes in segments of others.

mod ahead;
mod appended;
pub mod candidates;
pub mod cover;
pub mod evidence;
mod rewrite;
mod transfer;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafscale_broker::{
    cluster::{Cluster, MARKER, MARKER_BYTES_MAX, Part, noted},
    snapshot as snapshots,
};
use kafscale_log::{
    Position, frame,
    lone::{WINDOW, floor, names as log_names},
};
use kafscale_state::{
    Handle, Place, State,
    rebuild::{Laid, Rebuild},
    snapshot,
};
use kafscale_store::Body;

use ahead::{Ahead, is_small};
pub use candidates::{Found, Path};
pub use cover::Kfs;
use cover::{Cover, Prefer, as_known, cover};
pub use evidence::Evidence;
use rewrite::{Batches, Done, Rewriter, Whose};
use transfer::Transfer;
pub use transfer::index_of;

use crate::{
    Bucket, Error, Side, Until, frames,
    fsck::Progress,
    known::{SnapshotRow, load_snapshot},
};

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// How far.
    pub until: Until,
    /// Offsets that are left at the end of each partition where the end of the log is lost.
    pub gap: u64,
}

/// Bytes of a full segment, unless the settings say something else.
const SEGMENT_LEN: u64 = 256 << 20;

/// What will become of a partition.
pub struct PartitionPlan {
    /// Whose records.
    whose: Whose,
    /// Its first offset.
    pub start: i64,
    /// Behind it the log knew of nothing.
    known_end: i64,
    /// One past the last offset that is known to have been given.
    pub end: i64,
    /// Where records are taken from.
    pub cover: Cover,
    /// They lie in the other store.
    is_elsewhere: bool,
}

impl PartitionPlan {
    /// Its topic's name.
    pub fn topic(&self) -> &str {
        &self.whose.topic
    }

    /// Its index.
    pub fn partition(&self) -> u32 {
        self.whose.partition
    }

    /// Bytes of batches that are there.
    pub fn bytes(&self) -> u64 {
        self.cover.slices.iter().map(|slice| slice.candidate.tile.len).sum()
    }

    /// Offsets that lie nowhere.
    pub fn lost(&self) -> i64 {
        self.cover.lost.iter().map(|(from, to)| to - from).sum()
    }
}

/// What will be there.
pub struct Plan {
    /// What it rests on.
    pub evidence: Evidence,
    /// What was looked at.
    pub found: Found,
    /// Every partition.
    pub partitions: Vec<PartitionPlan>,
    wish: Wish,
    /// The last position of the log, to notice a broker that runs.
    tail: Option<Position>,
    /// Longer segments that are taken over from elsewhere become several.
    segment_len: u64,
}

/// Looks at everything and changes nothing.
pub async fn plan(bucket: &Bucket, wish: Wish) -> Result<Plan, Error> {
    let mut evidence = evidence::gather(bucket, wish.until).await?;
    let tail = frames::logged(bucket, evidence.cluster.generation, 0).await?.last().copied();
    let all = candidates::all_names(bucket).await?;
    let found = candidates::find(bucket, &mut evidence, &all, wish.until == Until::Tail).await?;
    Ok(Plan::of(evidence, found, wish, tail))
}

impl Plan {
    /// Chooses places.
    pub fn of(evidence: Evidence, found: Found, wish: Wish, tail: Option<Position>) -> Self {
        let committed = committed(&evidence.state);
        let exact = wish.until != Until::Tail;
        let mut partitions = Vec::new();
        for topic in evidence.state.topics() {
            for handle in topic.handles() {
                let Some(view) = evidence.state.partition(handle) else { continue };
                let places = found.of.get(&handle).cloned().unwrap_or_default();
                let known_end = view.high_watermark();
                let mut start = view.log_start_offset();
                if known_end == 0 {
                    start = places.iter().map(|candidate| candidate.tile.first).min().unwrap_or(0);
                }
                let of_handle = evidence.gaps.iter().filter(|(of, ..)| *of == handle);
                let gaps: Vec<(i64, i64)> = of_handle.map(|(_, from, to)| (*from, *to)).collect();
                // Younger objects lack what was superseded only after the point that is wanted.
                let prefer = if exact { Prefer::Known } else { evidence.prefer(handle) };
                let known = match prefer {
                    Prefer::Known => None,
                    Prefer::Youngest => as_known(start, known_end, &places, &gaps),
                };
                let mut cover = known.unwrap_or_else(|| cover(start, exact.then_some(known_end), places, prefer));
                let reached = cover.slices.last().map_or(start, |slice| slice.until);
                let reached = cover.lost.last().map_or(reached, |(_, to)| reached.max(*to));
                let end = reached.max(known_end).max(committed.get(&handle).copied().unwrap_or(0)).max(start);
                if reached < end {
                    cover.lost.push((reached, end));
                }
                gaps.iter().for_each(|(from, to)| cover.lost = without(&cover.lost, *from, *to));
                let whose = Whose {
                    handle,
                    topic_id: topic.id(),
                    namespace: topic.namespace().to_owned(),
                    topic: topic.name().to_owned(),
                    partition: view.index(),
                };
                partitions.push(PartitionPlan { whose, start, known_end, end, cover, is_elsewhere: false });
            }
        }
        Self { evidence, found, partitions, wish, tail, segment_len: SEGMENT_LEN }
    }

    /// Whether offsets may have been given behind those that are known.
    pub fn is_end_lost(&self) -> bool {
        self.wish.until == Until::Tail && (!self.evidence.is_end_known || self.found.is_beyond)
    }

    /// The first position of the new life has this one before it.
    pub fn position(&self) -> Position {
        self.evidence.position.max(self.evidence.state.position()) + 1
    }

    /// Fails if the point that was asked for lies behind what can be known: a log that was lost before it, or ends before it.
    pub fn require_reached(&self) -> Result<(), Error> {
        let (reached, evidence) = (self.evidence.state.position(), &self.evidence);
        if let Some((from, to)) = evidence.holes.first() {
            return Err(Error::Missing(format!("positions {from} to {} of the log, which", to - 1)));
        }
        match self.wish.until {
            Until::Position(position) if reached != position => {
                Err(Error::NotFound(format!("position {position} cannot be had: what is there reaches {reached}")))
            }
            Until::Time(_) if reached == 0 => Err(Error::NotFound("nothing is known of so early a time".to_owned())),
            _ => Ok(()),
        }
    }

    /// All records lie in another store than the one that the plan is executed on.
    pub fn all_elsewhere(mut self) -> Self {
        self.partitions.iter_mut().for_each(|partition| partition.is_elsewhere = true);
        self.found.files.clear();
        self.tail = None;
        self
    }

    /// Those of some topics do.
    pub fn elsewhere(mut self, topics: &BTreeSet<String>) -> Self {
        let imported = self.partitions.iter_mut().filter(|partition| topics.contains(&partition.whose.topic));
        imported.for_each(|partition| partition.is_elsewhere = true);
        self
    }

    /// With full segments of so many bytes: longer ones that lie elsewhere become several, so that no more is in memory at once,
    /// here and in the broker that moves one back into merged objects.
    pub fn segments_of(mut self, bytes: u64) -> Self {
        self.segment_len = bytes;
        self
    }

    /// The marker of the new life.
    pub fn cluster(&self) -> Cluster {
        Cluster { id: self.evidence.cluster.id, generation: self.evidence.generation }
    }
}

/// Ranges without what lies in `from..to`.
fn without(ranges: &[(i64, i64)], from: i64, to: i64) -> Vec<(i64, i64)> {
    let cut = ranges.iter().flat_map(|range| [(range.0, range.1.min(from)), (range.0.max(to), range.1)]);
    cut.filter(|(from, to)| from < to).collect()
}

/// The greatest offsets that groups have committed: they were given once.
fn committed(state: &State) -> BTreeMap<Handle, i64> {
    let mut greatest = BTreeMap::new();
    for (_, group) in state.groups() {
        for (handle, committed) in group.offsets() {
            let entry: &mut i64 = greatest.entry(handle).or_default();
            *entry = committed.offset.max(*entry);
        }
    }
    greatest
}

/// What was done.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Merged objects that were written, and their bytes.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The generation that is live now.
    pub generation: u64,
    /// The position of its snapshot.
    pub position: Position,
    /// Records that turned out to be damaged when they were read: topic, partition, from, until, why.
    pub damaged: Vec<(String, u32, i64, i64, String)>,
}

/// Does what the plan says. `progress` hears how many partitions are done.
pub async fn execute(bucket: &Bucket, plan: Plan, progress: Progress<'_>) -> Result<Outcome, Error> {
    execute_between(bucket, bucket, plan, progress).await
}

/// The same into `to`, with what lies elsewhere from `from`.
pub async fn execute_between(from: &Bucket, to: &Bucket, plan: Plan, progress: Progress<'_>) -> Result<Outcome, Error> {
    let (cluster, position, session) = (plan.cluster(), plan.position(), plan.evidence.session + 1);
    let gap = if plan.is_end_lost() { plan.wish.gap.min(i32::MAX as u64) as i64 } else { 0 };
    let mut outcome = Outcome { generation: cluster.generation, position, ..Outcome::default() };
    let mut rewriter = Rewriter::new(to, cluster.id, session);
    let mut transfer = Transfer::new(from, to, plan.segment_len);
    let mut rebuild = Rebuild::of(plan.evidence.state.clone());
    rebuild.state().pass_over(position, 0);
    let mut ahead = Ahead::new(from, to, &plan.partitions);
    let mut next_pid = 0;
    let total = plan.partitions.len() as u64;
    for (done, partition) in (1..).zip(&plan.partitions) {
        let laid = lay((&mut rewriter, &mut transfer, &mut ahead), partition, gap, &mut outcome).await?;
        next_pid = laid.wrote.iter().map(|wrote| wrote.pid.saturating_add(1)).fold(next_pid, i64::max);
        let handle = partition.whose.handle;
        let unfit = |error: kafscale_state::rebuild::Unfit| Error::Refused(error.to_string());
        rebuild.lay(handle, laid.start as u64, laid.end as u64, &laid.tiles).map_err(unfit)?;
        laid.wrote.iter().for_each(|wrote| rebuild.wrote(handle, wrote.pid, wrote.epoch, wrote.run));
        for (_, base_offset) in plan.found.files.range((handle, 0)..=(handle, u64::MAX)) {
            let is_used = laid
                .tiles
                .iter()
                .any(|tile| matches!(tile, Laid::Segment { base_offset: used, .. } if used == base_offset));
            if !is_used {
                rebuild.dead_segment(handle, *base_offset);
            }
        }
        progress(done, total);
    }
    rewriter.close().await?;
    (outcome.objects, outcome.bytes) = (rewriter.objects + transfer.objects, rewriter.bytes + transfer.bytes);
    if !plan.evidence.is_whole() || plan.is_end_lost() {
        rebuild.forget_producer_ids(next_pid);
    }
    let state = rebuild.finish(position, session).map_err(|broken| Error::Refused(broken.to_string()))?;
    if let Some(tail) = plan.tail {
        fence(to, plan.evidence.cluster, tail, &state).await?;
    }
    publish(to, cluster, &state).await?;
    Ok(outcome)
}

/// A partition as it lies now.
struct Lain {
    start: i64,
    end: i64,
    tiles: Vec<Laid>,
    wrote: Vec<rewrite::Wrote>,
}

async fn lay(
    (rewriter, transfer, ahead): (&mut Rewriter<'_>, &mut Transfer<'_>, &mut Ahead<'_>),
    partition: &PartitionPlan,
    gap: i64,
    outcome: &mut Outcome,
) -> Result<Lain, Error> {
    let PartitionPlan { whose, start, known_end, end, cover, is_elsewhere } = partition;
    let source = if *is_elsewhere { transfer.from } else { transfer.to };
    let mut lain = Lain { start: *start, end: *end + gap, tiles: Vec::new(), wrote: Vec::new() };
    let mut reached = *start;
    for slice in &cover.slices {
        let place = slice.candidate.tile.place;
        let may_stay = match place {
            // Segments come first.
            Place::Segment { .. } => lain.tiles.iter().all(|tile| matches!(tile, Laid::Segment { .. })),
            Place::Merged(_) => true,
            _ => false,
        };
        let stays = may_stay && slice.is_whole(lain.tiles.is_empty());
        let mut done = match stays {
            true => rewriter.keep(source, slice, *known_end).await?,
            false if is_small(slice) => {
                rewriter.rewrite(whose, slice, Batches::Read(ahead.next().await?), *known_end).await?
            }
            false => rewriter.rewrite(whose, slice, Batches::of(source, slice), *known_end).await?,
        };
        if stays && *is_elsewhere && done.damaged.is_none() {
            match transfer.take(whose, slice).await {
                Ok(laid) => done.laid = laid,
                Err(Error::Damaged { reason, .. }) => {
                    done = Done { damaged: Some((slice.from, reason)), ..Done::default() };
                }
                Err(error) => return Err(error),
            }
        }
        if done.damaged.is_some() && stays {
            // What can be read of it is taken out.
            done = rewriter.rewrite(whose, slice, Batches::of(source, slice), *known_end).await?;
        }
        if let Some((from, reason)) = done.damaged {
            outcome.damaged.push((whose.topic.clone(), whose.partition, from, slice.until, reason));
            reached = from;
        } else {
            reached = slice.until;
        }
        lain.tiles.extend(done.laid);
        lain.wrote.extend(done.wrote);
    }
    lain.start = match lain.tiles.first() {
        Some(Laid::Segment { base_offset, .. } | Laid::Extent { base_offset, .. }) => {
            lain.start.max(*base_offset as i64)
        }
        None => lain.end,
    };
    // Behind the last batch consumers would wait for ever.
    if reached < lain.end && !lain.tiles.is_empty() {
        lain.tiles.extend(rewriter.fill(whose, reached, lain.end).await?);
    }
    Ok(lain)
}

/// Makes the state the beginning of the log's next life.
async fn publish(bucket: &Bucket, cluster: Cluster, state: &State) -> Result<(), Error> {
    let body = Body::new(snapshot::encode(state).collect());
    let name = snapshots::name(cluster.generation, state.position());
    bucket.create(Side::Data, &name, &body).await?;
    let row = SnapshotRow { generation: cluster.generation, position: state.position(), name, size: body.len() };
    let read = load_snapshot(bucket, &row).await?;
    if read.digest() != state.digest() {
        return Err(Error::damaged(&row.name, "it came back other than it was written"));
    }
    mend_floor(bucket, cluster).await?;
    if bucket.is_apart() {
        // A broker wants to see that the log reaches as far as the snapshot.
        bucket
            .create(
                Side::Log,
                &log_names::frame(cluster.generation, state.position()),
                &fill(cluster, state.position(), state.position(), state),
            )
            .await?;
        mark(bucket, Side::Log, cluster, Part::Log).await?;
        mark(bucket, Side::Data, cluster, Part::Data).await
    } else {
        mark(bucket, Side::Data, cluster, Part::Whole).await
    }
}

/// A broker does not start over a floor that it cannot read. What an earlier life of the log has trimmed says nothing of this
/// one, which begins with everything.
async fn mend_floor(bucket: &Bucket, cluster: Cluster) -> Result<(), Error> {
    let found = bucket.get(Side::Log, log_names::FLOOR, 0, floor::LEN_MAX).await?;
    let is_damaged = found.is_some_and(|bytes| floor::decode(&bytes) == Err(floor::FloorError::Damaged));
    if !is_damaged {
        return Ok(());
    }
    let floor = floor::encode(floor::Floor { generation: cluster.generation, position: 1 });
    bucket.replace(Side::Log, log_names::FLOOR, &Body::from(floor)).await
}

/// Writes the marker of one store. What a probe found of the store stands in the old one and stays true; a store that is new
/// to the cluster has none. A broker or a probe that adds to the old marker at this very moment would bring it back, so in
/// a bucket it is looked at until none of them can be under way.
async fn mark(bucket: &Bucket, side: Side, cluster: Cluster, part: Part) -> Result<(), Error> {
    let before = bucket.get_small(side, MARKER, MARKER_BYTES_MAX).await?;
    let marker = cluster.encode_over(part, before.as_deref());
    bucket.replace(side, MARKER, &Body::from(marker.clone())).await?;
    if before.is_none() || bucket.store(side).facts().exclusive {
        return Ok(());
    }
    loop {
        bucket.runtime().sleep(noted::SETTLED).await;
        match bucket.get_small(side, MARKER, MARKER_BYTES_MAX).await? {
            Some(now) if now == marker => return Ok(()),
            _ => bucket.replace(side, MARKER, &Body::from(marker.clone())).await?,
        }
    }
}

/// Takes the next positions of the old log, as a take-over does: a broker that was forgotten meets a foreign frame there, and
/// ends without having acknowledged anything. One that has written since the log was looked at is noticed.
async fn fence(bucket: &Bucket, old: Cluster, tail: Position, state: &State) -> Result<(), Error> {
    for position in tail + 1..=tail + WINDOW {
        let name = log_names::frame(old.generation, position);
        let fill = fill(old, position, tail, state);
        match bucket.create(Side::Log, &name, &fill).await {
            Ok(()) => {}
            Err(Error::Damaged { .. }) => {
                let reason = "the log has grown meanwhile: a broker is running on this store; stop it first";
                return Err(Error::Refused(reason.to_owned()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// An empty frame.
fn fill(cluster: Cluster, position: Position, settled: Position, state: &State) -> Body {
    let mut header = frame::Header {
        kind: frame::Kind::Fill,
        cluster_id: cluster.id,
        generation: cluster.generation,
        position,
        session: state.session(),
        write_id: frame::WriteId { incarnation: state.digest(), sequence: position },
        cluster_time_ms: state.cluster_time_ms(),
        settled,
        progress: kafscale_log::Progress::default(),
        entries_len: 0,
        payload_len: 0,
        entries_hash: 0,
    };
    frame::encode(&mut header, &Bytes::new(), &Body::default()).expect("nothing fits a frame")
}
