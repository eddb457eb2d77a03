//! Making segments: claim, write, read back, publish.
//!
//! Whoever finds a claim executes it, whether or not it made it: the bytes follow from the claim and the records alone. Only
//! what was read back is published. What stands under the name and is something else is nobody's to overwrite: the job
//! says so and leaves it.

use futures_util::future::join_all;
use kafscale_segment::{
    kfs, merged,
    names::{self, File},
};
use kafscale_state::{
    Claim, Handle, Place, State, Verdict,
    entry::{Entry, SegmentClaimed, SegmentPublished},
    topic::path_namespace,
};
use kafscale_store::{Body, ReadRange};

use super::{Context, Undone, pace::Pace, source};
use crate::read::Extent;

/// Records that the format counts: a claim of more could never be executed. No extent of a merged object has more, however
/// many offsets it stands for.
const RECORDS_MAX: i64 = merged::EXTENT_OFFSETS_MAX;
/// Bytes that are read back at a time.
const READ_BACK: u64 = 16 << 20;

/// A claim to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Whose.
    pub partition: Handle,
    /// The first offset.
    pub first: i64,
    /// One past the last one.
    pub end: i64,
    /// Bytes of its batches.
    pub bytes: u64,
}

/// Whether a partition's waiting records make a segment by now, and which of them. Those of compacted topics never do: the
/// caller knows.
pub fn wanted(state: &State, partition: Handle, wish: &Wish) -> Option<Wanted> {
    let view = state.partition(partition)?;
    if view.claim().is_some() {
        return None;
    }
    path_namespace(view.topic().namespace())?;
    let place = |base_offset| Place::Segment { partition, base_offset };
    if u64::try_from(view.extents_start()).is_ok_and(|first| state.knows(place(first))) {
        // One that was moved back had the name: it is not free yet.
        return None;
    }
    let (mut bytes, mut chosen) = (0, None);
    for extent in view.unsegmented() {
        let len = u64::from(extent.len);
        let is_countable = extent.place.has_offsets() || extent.end_offset - extent.base_offset <= RECORDS_MAX;
        if extent.end_offset > view.last_stable_offset() || !is_countable {
            // What an earlier version's flush wrote of too many records is merged first, which takes it apart.
            break;
        }
        let first = chosen.map_or(extent.base_offset, |wanted: Wanted| wanted.first);
        let is_full = bytes + len > wish.bytes || extent.end_offset - first > RECORDS_MAX;
        if is_full && chosen.is_some() {
            // There is more than one segment's worth.
            return chosen;
        }
        bytes += len;
        chosen = Some(Wanted { partition, first, end: extent.end_offset, bytes });
    }
    chosen.filter(|wanted| wish.is_old || (wish.is_older && wanted.bytes >= wish.small_bytes))
}

/// When records make a segment.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Bytes of a full one.
    pub bytes: u64,
    /// They wait so long that what is not small makes one.
    pub is_older: bool,
    /// They wait so long that anything makes one.
    pub is_old: bool,
    /// Less is small.
    pub small_bytes: u64,
}

/// Claims segments. Those that are refused are not wanted any more.
pub async fn claim(context: &Context, wanted: &[Wanted]) -> Vec<(Handle, Result<Verdict, Undone>)> {
    let created_ms = context.log.cluster_time_ms();
    let claims = wanted.iter().map(|wanted| {
        let Wanted { partition, first, end, .. } = *wanted;
        let entry = SegmentClaimed { partition, first, end, created_ms, algorithm: kfs::ALGORITHM };
        let verdict = context.writer.submit(None, Entry::SegmentClaimed(entry), true);
        async move { (partition, verdict.await.map_err(Undone::from)) }
    });
    join_all(claims).await
}

/// A claim and where its records lie.
pub struct Job {
    /// Whose.
    pub partition: Handle,
    claim: Claim,
    extents: Vec<Extent>,
    names: [String; 2],
}

impl Job {
    /// Bytes of its batches.
    pub fn bytes(&self) -> u64 {
        self.extents.iter().map(|extent| u64::from(extent.len)).sum()
    }
}

/// The job that a partition's claim asks for; none if it has none, or one that this version cannot execute.
pub fn job(state: &State, partition: Handle) -> Option<Job> {
    let view = state.partition(partition)?;
    let claim = view.claim().filter(|claim| claim.algorithm == kfs::ALGORITHM)?;
    let namespace = path_namespace(view.topic().namespace())?;
    let (first, end) = (claim.first as i64, claim.end as i64);
    let extents = view.unsegmented().take_while(|extent| extent.end_offset <= end).map(Extent::from).collect();
    debug_assert_eq!(view.extents_start(), first);
    let name = |file| names::segment(namespace, view.topic().name(), view.index(), claim.first, file);
    Some(Job { partition, claim, extents, names: [name(File::Kfs), name(File::Index)] })
}

/// Executes a claim and publishes the segment; its bytes.
pub async fn execute(context: &Context, pace: &mut Pace, job: &Job) -> Result<u64, Undone> {
    let Job { partition, claim, extents, names: [kfs_name, index_name] } = job;
    let unfit = |error: kfs::WriteError| Undone::Unfit(error.to_string());
    let created_ms = claim.created_ms;
    #[cfg(feature = "planted-bugs")]
    let created_ms = match crate::planted::is(crate::planted::Bug::ClaimWithOtherBytes) {
        true => context.runtime.wall_clock_ms(),
        false => created_ms,
    };
    let mut writer = kfs::Writer::new(claim.first as i64, claim.end as i64, created_ms);
    for read in source::read_all(context, pace, extents).await? {
        writer.push(read.content.bytes().clone()).map_err(unfit)?;
    }
    let written = writer.finish().map_err(unfit)?;
    let index = Body::from(written.index.clone());
    let body = Body::new(written.pieces);
    pace.take(body.len()).await;
    store(context, kfs_name, &body, written.crc).await?;
    store(context, index_name, &index, kfs::checksum(&written.index)).await?;
    let entry = SegmentPublished {
        partition: *partition,
        claim: claim.position,
        bytes: written.len,
        crc: written.crc,
        records: written.records,
        max_timestamp: written.max_timestamp,
    };
    match context.writer.submit(None, Entry::SegmentPublished(entry), true).await? {
        Verdict::Done => Ok(body.len()),
        other => Err(Undone::Unfit(format!("the segment was not taken: {other:?}"))),
    }
}

/// Writes one file and reads it back: what counts is what stands there. A plain PUT would overwrite, so there it is looked at
/// first.
async fn store(context: &Context, name: &str, body: &Body, crc: u32) -> Result<(), Undone> {
    if context.plain_puts && is_stored(context, name, body, crc).await?.is_some() {
        return Ok(());
    }
    let _ = context.create(name, body).await?;
    #[cfg(feature = "planted-bugs")]
    if crate::planted::is(crate::planted::Bug::ClaimWithOtherBytes) {
        return Ok(());
    }
    is_stored(context, name, body, crc).await?.ok_or_else(|| Undone::absent(name))
}

/// Whether the file is there, if it is the one that it should be.
async fn is_stored(context: &Context, name: &str, body: &Body, crc: u32) -> Result<Option<()>, Undone> {
    // In parts, so that the file is in memory once; the last one would show a longer file.
    let (mut found, mut at) = (kfs::Checksum::default(), 0);
    while at <= body.len() {
        let range = ReadRange::At { start: at, len: READ_BACK };
        let Some(part) = context.get(name, range, READ_BACK).await? else { return Ok(None) };
        found.update(&part);
        at += part.len() as u64;
        if (part.len() as u64) < READ_BACK {
            break;
        }
    }
    match at == body.len() && found.finish() == crc {
        true => Ok(Some(())),
        false => Err(Undone::OtherBytes(name.to_owned())),
    }
}
