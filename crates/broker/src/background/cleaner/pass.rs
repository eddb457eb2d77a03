//! One pass over a partition: the keys of its dirty part are noted, then everything from the log start on is sifted in steps,
//! the oldest first.
//!
//! A step that is not taken ends the pass. So when a tombstone goes, what it deletes is gone from all steps before it; and
//! whatever a pass dies of, each key still has its last value.

use bytes::{Bytes, BytesMut};
use kafscale_records::batches;
use kafscale_segment::merged::is_full;
use kafscale_state::{Handle, entry::CleanedTo};

use super::{
    super::{
        Context, Undone,
        merge::{Filled, FilledExtent},
        pace::Pace,
        source,
    },
    keys::Keys,
    plan::{self, Range, Tiles},
    sieve::{self, Sieve},
};

/// Small extents are laid together though nothing of them goes. As long as there are few, nobody minds.
const FRAGMENTS_MIN: usize = 8;

/// See the module.
pub struct Pass {
    partition: Handle,
    range: Range,
    keys: Keys,
    /// Keys are noted up to here.
    until: i64,
    /// Cluster time at which it began.
    now_ms: i64,
    /// Where the next step begins.
    at: i64,
    /// The earliest of the delete horizons so far.
    horizon_ms: Option<i64>,
    /// Something before could not be opened.
    is_blind: bool,
}

/// What a step came to.
pub struct Step {
    /// What is to be written in the place of what was read; none if it may stay.
    pub filled: Option<Filled>,
    /// Records that go.
    pub removed: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// The pass is over, and this is how far the partition is clean.
    pub cleaned: Option<CleanedTo>,
}

impl Pass {
    /// Notes the keys of a partition's dirty part, as far as the table holds them.
    pub async fn open(context: &Context, pace: &mut Pace, partition: Handle, range: Range) -> Result<Self, Undone> {
        let now_ms = context.replica.read(|state| state.cluster_time_ms());
        // The state's time stands still while nothing is written; readers of tombstones have theirs from now on.
        let behind_ms = context.log.cluster_time_ms().saturating_sub(now_ms).max(0);
        let range = Range { delete_retention_ms: range.delete_retention_ms.saturating_add(behind_ms), ..range };
        let dirty = u64::try_from(range.limit - range.clean_to).unwrap_or(0);
        let secrets = [context.runtime.random_u64(), context.runtime.random_u64()];
        let keys = Keys::new(context.settings.clean_memory, dirty, secrets);
        let mut pass =
            Self { partition, range, keys, until: range.limit, now_ms, at: 0, horizon_ms: None, is_blind: false };
        let mut at = range.clean_to;
        while at < pass.until {
            let tiles = pass.tiles(context, at, context.settings.merge_bytes)?;
            for read in source::read_all(context, pace, &tiles.extents).await? {
                for batch in batches(read.content.bytes()).flatten() {
                    if batch.header().last_offset() < range.clean_to || batch.header().base_offset >= pass.until {
                        continue;
                    }
                    if let Err(first) = sieve::note(&mut pass.keys, &batch, range.clean_to) {
                        pass.until = first;
                        break;
                    }
                }
            }
            at = tiles.end;
            breathe(context).await;
        }
        Ok(pass)
    }

    /// Sifts the next extents.
    pub async fn step(&mut self, context: &Context, pace: &mut Pace) -> Result<Step, Undone> {
        let tiles = self.tiles(context, self.at, context.settings.merge_bytes)?;
        let mut sieve = Sieve {
            keys: &self.keys,
            clean_to: self.range.clean_to,
            until: self.until,
            now_ms: self.now_ms,
            delete_retention_ms: self.range.delete_retention_ms,
            log_start: tiles.log_start,
            is_blind: self.is_blind,
        };
        let mut laid = Laid::from(tiles.first);
        let (mut removed, mut bytes) = (0, 0);
        let last = tiles.extents.len() - 1;
        for (index, read) in source::read_all(context, pace, &tiles.extents).await?.into_iter().enumerate() {
            let content = read.content.bytes();
            bytes += content.len() as u64;
            let mut at = 0;
            for batch in batches(content).flatten() {
                let end = at + batch.bytes().len();
                // Something must stand for the offsets, and a consumer come to the end.
                let must_stay = index == last && end == content.len();
                let sifted = sieve.sift(&batch, &content.slice(at..end), must_stay);
                removed += sifted.removed;
                laid.is_same &= sifted.is_same;
                self.horizon_ms = [self.horizon_ms, sifted.horizon_ms].into_iter().flatten().min();
                if let Some(bytes) = sifted.bytes {
                    laid.push(&bytes, read.was_cached);
                }
                at = end;
            }
            breathe(context).await;
        }
        (self.at, self.is_blind) = (tiles.end, sieve.is_blind);
        let fragments = tiles.extents.len();
        let is_fragmented = fragments >= FRAGMENTS_MIN && bytes < fragments as u64 * plan::SMALL_BYTES;
        let filled = match laid.is_same && !is_fragmented {
            true => None,
            false => Some(laid.filled(self.partition, &tiles)),
        };
        let (partition, to, horizon_ms) = (self.partition, self.until, self.horizon_ms);
        let cleaned = (self.at >= self.until).then_some(CleanedTo { partition, to, horizon_ms });
        Ok(Step { filled, removed, bytes, cleaned })
    }

    fn tiles(&self, context: &Context, at: i64, bytes_max: u64) -> Result<Tiles, Undone> {
        let (partition, node_id, until) = (self.partition, context.node_id, self.until);
        let tiles = context.replica.read(|state| plan::tiles(state, partition, node_id, at, until, bytes_max));
        tiles.ok_or_else(|| Undone::Unfit(format!("partition {partition} is not to be cleaned any more")))
    }
}

/// Opening batches is work for the processor: others have their turn in between.
async fn breathe(context: &Context) {
    context.runtime.sleep(std::time::Duration::ZERO).await;
}

/// Batches laid out in extents of bounded length.
struct Laid {
    extents: Vec<FilledExtent>,
    open: BytesMut,
    /// The first offset of what is open.
    base: i64,
    end: i64,
    max_timestamp: i64,
    is_warm: bool,
    is_same: bool,
}

impl Laid {
    fn from(base: i64) -> Self {
        let (extents, open) = Default::default();
        Self { extents, open, base, end: base, max_timestamp: i64::MIN, is_warm: false, is_same: true }
    }

    fn push(&mut self, batch: &Bytes, is_warm: bool) {
        if let Some(Ok(parsed)) = batches(batch).next() {
            let next_offset = parsed.header().next_offset();
            if !self.open.is_empty() && is_full(self.base, self.open.len() + batch.len(), next_offset) {
                self.close(self.end);
            }
            self.end = next_offset;
            self.max_timestamp = self.max_timestamp.max(parsed.header().max_timestamp);
        }
        self.is_warm |= is_warm;
        self.open.extend_from_slice(batch);
    }

    fn close(&mut self, end: i64) {
        let (bytes, max_timestamp, is_warm) = (self.open.split().freeze(), self.max_timestamp, self.is_warm);
        self.extents.push(FilledExtent { bytes, end, max_timestamp, is_warm });
        (self.base, self.max_timestamp, self.is_warm) = (end, i64::MIN, false);
    }

    fn filled(mut self, partition: Handle, tiles: &Tiles) -> Filled {
        // The last batch stays whatever becomes of it, so there is one that is open.
        self.close(tiles.end);
        Filled { partition, first: tiles.first, sources: tiles.sources, extents: self.extents }
    }
}
