//! Which partitions are to be cleaned, and how far: a pure choice from the state.
//!
//! The newest records are left in peace, as Kafka leaves its active segment: cleaned is what was merged, or is so old that
//! Kafka would have closed its segment, up to the first record that a transaction holds back or that is younger than
//! `min.compaction.lag.ms`. It is due when the dirty part is large enough, when a dirty record becomes older than
//! `max.compaction.lag.ms`, or when tombstones may go. The age of a record is that of the youngest in its extent, and never
//! less than the time since the last pass.

use kafscale_segment::merged::EXTENT_MAX;
use kafscale_state::{ExtentView, Handle, PartitionView, State};

use crate::{
    background::plan::Part,
    config::{cleaning::CleaningConfig, layers::Layers},
    read::Extent,
};

/// Above all extents that are merged by their level, so that merging leaves cleaned ones alone.
pub const LEVEL: u8 = 2;

/// Extents of less on average are small.
pub const SMALL_BYTES: u64 = EXTENT_MAX as u64 / 8;
/// Gathered are so many pieces at the least.
const PIECES_MIN: u64 = 64;

/// What is to be done with a partition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Which one.
    pub partition: Handle,
    /// How it is done.
    pub job: Job,
    /// Bytes that were not looked at yet, as far as they can be cleaned.
    pub dirty_bytes: u64,
    /// The part of all bytes that they are; more than 1 if it is late already.
    pub urgency: f64,
}

/// The two jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Its segments become merged objects: the names of segments are not unique, so nothing can be written in their place.
    Unsegment,
    /// Its records are cleaned.
    Clean(Range),
    /// The pieces that merges have left of it become larger ones.
    Gather,
}

/// What a pass is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Below it each key stands once.
    pub clean_to: i64,
    /// Keys are noted up to here at the most.
    pub limit: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
}

/// The settings of a partition, if its topic is compacted.
pub fn config(state: &State, view: &PartitionView<'_>, node_id: i32) -> Option<CleaningConfig> {
    let config = CleaningConfig::new(&Layers::of_topic(state, node_id, view.topic()));
    config.compact.then_some(config)
}

/// Partitions of compacted topics.
pub fn compacted(state: &State, node_id: i32) -> Vec<Handle> {
    let is_compacted =
        |topic: &&kafscale_state::Topic| CleaningConfig::new(&Layers::of_topic(state, node_id, topic)).compact;
    state.topics().filter(is_compacted).flat_map(|topic| topic.handles()).collect()
}

/// What a look at a partition came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outlook {
    /// Something is to be done.
    Due(Work),
    /// Something would be, if the state knew what time it is.
    DueByTheLog,
    /// Nothing, unless the partition changes.
    Idle {
        /// And not before that cluster time, if ever.
        again_ms: Option<i64>,
    },
}

/// Looks at a partition by the time of the state, and by that of the log.
pub fn outlook(state: &State, partition: Handle, node_id: i32, log_ms: i64) -> Outlook {
    let state_ms = state.cluster_time_ms();
    match outlook_at(state, partition, node_id, state_ms) {
        Outlook::Idle { again_ms: Some(at) } if at <= log_ms => match outlook_at(state, partition, node_id, log_ms) {
            Outlook::Idle { again_ms } => Outlook::Idle { again_ms },
            Outlook::Due(_) | Outlook::DueByTheLog => Outlook::DueByTheLog,
        },
        outlook => outlook,
    }
}

/// What is due in a partition at this cluster time, or when to look again. While a segment is claimed, nothing is.
fn outlook_at(state: &State, partition: Handle, node_id: i32, now_ms: i64) -> Outlook {
    let never = Outlook::Idle { again_ms: None };
    let Some(view) = state.partition(partition) else { return never };
    let Some(config) = config(state, &view, node_id).filter(|_| view.claim().is_none()) else { return never };
    if view.segment_count() > 0 {
        let (dirty_bytes, urgency) = (view.bytes(), f64::INFINITY);
        return Outlook::Due(Work { partition, job: Job::Unsegment, dirty_bytes, urgency });
    }
    let clean = view.clean();
    let log_start = view.log_start_offset();
    let clean_to = clean.map_or(0, |clean| clean.to as i64).max(log_start);
    let (mut bytes, mut dirty_bytes, mut limit, mut oldest_ms) = (0, 0, clean_to, None);
    let mut old_enough_ms = None;
    for extent in view.extents_from(log_start) {
        let Some(settled_ms) = settled_ms(&view, &extent, &config) else { break };
        if settled_ms > now_ms {
            old_enough_ms = Some(settled_ms);
            break;
        }
        bytes += u64::from(extent.len);
        if extent.end_offset > clean_to {
            (dirty_bytes, limit) = (dirty_bytes + u64::from(extent.len), extent.end_offset);
            // What holds no record has no time.
            oldest_ms = oldest_ms.or(Some(extent.max_timestamp).filter(|time| *time >= 0));
        }
    }
    let late_ms = {
        let since = clean.map(|clean| clean.time_ms);
        let oldest = oldest_ms.into_iter().chain(since).min().filter(|_| dirty_bytes > 0);
        oldest.map(|since| since.saturating_add(config.max_lag_ms))
    };
    let horizon_ms = clean.and_then(|clean| clean.horizon_ms).filter(|_| clean_to > log_start);
    let has_come = |at: Option<i64>| at.is_some_and(|at| at <= now_ms);
    let is_in_pieces = || is_worth_gathering(pieces_of(&view));
    let ratio = dirty_bytes as f64 / (bytes.max(1)) as f64;
    let urgency = match () {
        () if has_come(late_ms) => 1.0 + ratio,
        () if dirty_bytes > 0 && ratio > config.dirty_ratio_min => ratio,
        () if has_come(horizon_ms) => ratio,
        () if is_in_pieces() => {
            return Outlook::Due(Work { partition, job: Job::Gather, dirty_bytes, urgency: 0.0 });
        }
        () => {
            // Nobody tells of what flushes write.
            let flushed_ms = Some(now_ms.saturating_add(config.roll_ms));
            let times = [old_enough_ms, late_ms, horizon_ms, flushed_ms].into_iter().flatten();
            return Outlook::Idle { again_ms: times.filter(|at| *at < i64::MAX).min() };
        }
    };
    let delete_retention_ms = config.delete_retention_ms;
    let job = Job::Clean(Range { clean_to, limit, delete_retention_ms });
    Outlook::Due(Work { partition, job, dirty_bytes, urgency })
}

/// The newest merged extents that lie below the level of this job, the newest first; what flushes wrote behind them is left
/// to merging.
fn pieces_of<'a>(view: &PartitionView<'a>) -> impl Iterator<Item = ExtentView> + use<'a> {
    let newest_first = view.newest_first();
    let merged = newest_first.skip_while(|extent| extent.place.level() == 0);
    merged.take_while(|extent| (1..LEVEL).contains(&extent.place.level()))
}

fn is_worth_gathering(pieces: impl Iterator<Item = ExtentView>) -> bool {
    let (count, bytes) = pieces.fold((0, 0), |(count, bytes), piece| (count + 1, bytes + u64::from(piece.len)));
    count >= PIECES_MIN && bytes < count * SMALL_BYTES
}

/// The pieces of a partition as one part of an object: the oldest of them, as many as `bytes_max` allows; none if they are not
/// worth it any more.
pub fn pieces(state: &State, partition: Handle, node_id: i32, bytes_max: u64) -> Option<Part> {
    let view = state.partition(partition)?;
    config(state, &view, node_id).filter(|_| view.claim().is_none() && view.segment_count() == 0)?;
    let mut found: Vec<ExtentView> = pieces_of(&view).collect();
    if !is_worth_gathering(found.iter().copied()) {
        return None;
    }
    found.reverse();
    let (mut extents, mut bytes, count) = (Vec::new(), 0, found.len());
    for extent in found {
        bytes += u64::from(extent.len);
        if !extents.is_empty() && bytes > bytes_max {
            break;
        }
        extents.push(Extent::from(extent));
    }
    let (first, end) = (extents.first()?.base_offset, extents.last()?.end_offset);
    let (sources, log_start, is_all) = (view.sources(first, end)?, view.log_start_offset(), extents.len() == count);
    Some(Part { partition, first, sources, extents, log_start, is_all })
}

/// From when on an extent may be cleaned; none if something else must happen before.
fn settled_ms(view: &PartitionView<'_>, extent: &ExtentView, config: &CleaningConfig) -> Option<i64> {
    if extent.end_offset > view.last_stable_offset() {
        return None;
    }
    let old = |lag_ms: i64| extent.max_timestamp.saturating_add(lag_ms);
    let young_until = if config.min_lag_ms > 0 { old(config.min_lag_ms) } else { i64::MIN };
    // Segments were moved before, so that what has offsets of its own was merged. What a flush wrote and has no time waits for
    // that.
    match extent.place.has_offsets() {
        true => Some(young_until),
        false => (extent.max_timestamp >= 0).then(|| old(config.roll_ms).max(young_until)),
    }
}

/// Adjacent extents that one step of a pass replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiles {
    /// The first offset.
    pub first: i64,
    /// One past the last one.
    pub end: i64,
    /// What is read, as the entry must name it.
    pub sources: u64,
    /// Where the records lie.
    pub extents: Vec<Extent>,
    /// Batches that end at or below it are deleted already.
    pub log_start: i64,
}

/// The extents from `at` to the one that `until` lies in or behind, as many as `bytes_max` allows and one at least; none if
/// they are not to be cleaned any more.
pub fn tiles(state: &State, partition: Handle, node_id: i32, at: i64, until: i64, bytes_max: u64) -> Option<Tiles> {
    let view = state.partition(partition)?;
    config(state, &view, node_id)?;
    if view.claim().is_some() || view.segment_count() > 0 {
        return None;
    }
    let (mut extents, mut bytes) = (Vec::new(), 0);
    for extent in view.extents_from(at).take_while(|extent| extent.base_offset < until) {
        bytes += u64::from(extent.len);
        if !extents.is_empty() && bytes > bytes_max {
            break;
        }
        extents.push(Extent::from(extent));
    }
    let (first, end) = (extents.first()?.base_offset, extents.last()?.end_offset);
    Some(Tiles { first, end, sources: view.sources(first, end)?, extents, log_start: view.log_start_offset() })
}

#[cfg(test)]
mod tests;
