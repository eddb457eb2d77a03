//! A partition: its offsets, and where its records lie.
//!
//! Its tiles are segments first and extents after them; together they cover everything from the log start (or below it,
//! until that is freed) to the end. A reader sees one row of [`ExtentView`]s.

use std::ops::Range;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use crate::extent::{ExtentView, Extents, SEGMENT_HEADER, Segments};
use crate::object::Place;
use crate::{Handle, Position, State, Topic};

/// What the state holds of one partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partition {
    /// Number of its topic.
    pub(crate) topic: u32,
    /// Kafka's partition index.
    pub(crate) index: u32,
    /// The log start offset; it only grows.
    pub(crate) start: u64,
    /// One past the last record; it only grows.
    pub(crate) end: u64,
    /// Bytes of batches that its segments and extents cover.
    pub(crate) bytes: u64,
    /// They tile from at or below `start` to where the extents begin.
    pub(crate) segments: Segments,
    /// They tile on to `end`.
    pub(crate) extents: Extents,
    /// The segment that is being written.
    pub(crate) claim: Option<Arc<Claim>>,
    /// How far log compaction has come, if it ever came here.
    pub(crate) clean: Option<Arc<Clean>>,
}

/// How far a partition is clean, and what is known of what is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clean {
    /// No record below has a key that another one below has as well.
    pub to: u64,
    /// When it came so far: cluster time in Unix milliseconds.
    pub time_ms: i64,
    /// The earliest delete horizon of tombstones below; none without tombstones.
    pub horizon_ms: Option<i64>,
}

/// The right, and the duty, to write one segment. Its bytes follow from these numbers and the records alone, so whoever
/// executes it, and however often, writes the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The position at which it was made: its number.
    pub position: Position,
    /// Offset of the first record.
    pub first: u64,
    /// One past the last one.
    pub end: u64,
    /// What the segment says of its creation: cluster time in Unix milliseconds.
    pub created_ms: i64,
    /// How records become bytes; see the segment format. Who does not know it leaves the claim to others.
    pub algorithm: u8,
}

/// What retention keeps of a partition's records. Where both are given, both must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// Those that are at most so many milliseconds old.
    pub age_ms: Option<u64>,
    /// The newest ones, up to so many bytes.
    pub bytes: Option<u64>,
}

/// A published segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentView {
    /// Offset of its first record.
    pub base_offset: i64,
    /// One past its last.
    pub end_offset: i64,
    /// Bytes of the whole file.
    pub len: u32,
    /// CRC-32C of the whole file.
    pub crc: u32,
    /// Records in it.
    pub records: u32,
    /// None of them has a greater timestamp.
    pub max_timestamp: i64,
}

/// Adjacent tiles of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) segments: Range<usize>,
    pub(crate) extents: Range<usize>,
}

impl Partition {
    /// Where the first extent begins: one past the last segment.
    pub(crate) fn extents_start(&self) -> u64 {
        self.extents.base_offset(0).unwrap_or(self.end)
    }

    /// Where the first tile begins.
    pub(crate) fn tiles_start(&self) -> u64 {
        self.segments.base_offset(0).unwrap_or_else(|| self.extents_start())
    }

    pub(crate) fn segment_end(&self, index: usize) -> u64 {
        self.segments.base_offset(index + 1).unwrap_or_else(|| self.extents_start())
    }

    pub(crate) fn extent_end(&self, index: usize) -> u64 {
        self.extents.base_offset(index + 1).unwrap_or(self.end)
    }

    /// The tiles that cover `first..end` exactly, if there are such. What begins among the segments must take all the later
    /// ones with it, since extents cannot precede a segment.
    pub(crate) fn row(&self, first: u64, end: u64) -> Option<Row> {
        if first >= end || end > self.end {
            return None;
        }
        let segments = match self.segments.position(first) {
            Some(index) => index..self.segments.len(),
            None => self.segments.len()..self.segments.len(),
        };
        let from = match segments.is_empty() {
            true => self.extents.position(first)?,
            false => 0,
        };
        let extents_start = self.extents_start();
        let until = match end {
            _ if end == self.end => self.extents.len(),
            _ if end == extents_start && !segments.is_empty() => 0,
            _ => self.extents.position(end)?,
        };
        (from <= until).then_some(Row { segments, extents: from..until })
    }

    /// A hash of what a row refers to. Who replaces tiles says with it what they have read.
    pub(crate) fn sources(&self, row: &Row) -> u64 {
        let mut hash = Xxh3::new();
        for segment in row.segments.clone().filter_map(|index| self.segments.get(index)) {
            hash.update(&[1]);
            hash.update(&segment.base_offset.to_be_bytes());
            hash.update(&segment.len.to_be_bytes());
            hash.update(&segment.crc.to_be_bytes());
        }
        for extent in row.extents.clone().filter_map(|index| self.extents.get(index)) {
            hash.update(&[0]);
            hash.update(&extent.base_offset.to_be_bytes());
            hash.update(&extent.object.0.to_be_bytes());
            hash.update(&extent.position.to_be_bytes());
            hash.update(&extent.len.to_be_bytes());
        }
        hash.digest()
    }
}

/// A partition as queries see it.
#[derive(Debug, Clone, Copy)]
pub struct PartitionView<'a> {
    pub(crate) state: &'a State,
    pub(crate) topic: &'a Topic,
    pub(crate) handle: Handle,
    pub(crate) partition: &'a Partition,
}

impl<'a> PartitionView<'a> {
    /// Its handle.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// Its topic.
    pub fn topic(&self) -> &'a Topic {
        self.topic
    }

    /// Kafka's partition index, from 0.
    pub fn index(&self) -> u32 {
        self.partition.index
    }

    /// The first offset that can be read.
    pub fn log_start_offset(&self) -> i64 {
        self.partition.start as i64
    }

    /// One past the last record: what is in the state is committed, so this is the log end as well.
    pub fn high_watermark(&self) -> i64 {
        self.partition.end as i64
    }

    /// Below it every transaction is decided; without transactions the high watermark.
    pub fn last_stable_offset(&self) -> i64 {
        self.partition.end as i64
    }

    /// Bytes of its batches, those below the log start that share an extent or a segment with others included.
    pub fn bytes(&self) -> u64 {
        self.partition.bytes
    }

    /// How many extents it has, segments not counted.
    pub fn extent_count(&self) -> usize {
        self.partition.extents.len()
    }

    /// How many segments it has.
    pub fn segment_count(&self) -> usize {
        self.partition.segments.len()
    }

    /// Where the first extent behind its segments begins: what a segment can be claimed from.
    pub fn extents_start(&self) -> i64 {
        self.partition.extents_start() as i64
    }

    /// The segment that is being written.
    pub fn claim(&self) -> Option<Claim> {
        self.partition.claim.as_deref().copied()
    }

    /// How far log compaction has come; none if it never came here.
    pub fn clean(&self) -> Option<Clean> {
        self.partition.clean.as_deref().copied()
    }

    /// Its segments in order.
    pub fn segments(&self) -> impl Iterator<Item = SegmentView> + use<'a> {
        let partition = self.partition;
        (0..partition.segments.len()).map_while(move |index| {
            let segment = partition.segments.get(index)?;
            Some(SegmentView {
                base_offset: segment.base_offset as i64,
                end_offset: partition.segment_end(index) as i64,
                len: segment.len,
                crc: segment.crc,
                records: segment.records,
                max_timestamp: segment.max_timestamp,
            })
        })
    }

    /// What an entry that replaces the tiles of `first..end` must name as its sources; none where tiles do not end there.
    pub fn sources(&self, first: i64, end: i64) -> Option<u64> {
        let row = self.partition.row(u64::try_from(first).ok()?, u64::try_from(end).ok()?)?;
        Some(self.partition.sources(&row))
    }

    /// Where the records from `offset` on lie, in order. An offset below the log start counts as the log start; at or beyond
    /// the end there are none.
    pub fn extents_from(&self, offset: i64) -> impl Iterator<Item = ExtentView> + use<'a> {
        let offset = u64::try_from(offset).unwrap_or(0).max(self.partition.start);
        self.tiles_from(offset, offset < self.partition.end)
    }

    /// Where the log starts once retention has cut it: whole tiles go, the oldest first, as long as the tile that is looked
    /// at is too old or all that is left would be too much without it. A tile is as old as its newest record, so one from
    /// the future keeps everything behind it, as in Kafka. One whose records have no timestamps goes with the next that has.
    pub fn retained_from(&self, keep: Keep, now_ms: i64) -> i64 {
        let (mut start, last_stable) = (self.log_start_offset(), self.last_stable_offset());
        let sum = || self.extents_from(start).map(|tile| u64::from(tile.len)).sum::<u64>();
        // The sum is more than what lies from the start on while something below it waits to be freed.
        let mut excess = keep.bytes.filter(|bytes| self.bytes() > *bytes).map_or(0, |kept| sum().saturating_sub(kept));
        for tile in self.extents_from(start).take_while(|tile| tile.end_offset <= last_stable) {
            let len = u64::from(tile.len);
            let is_dated = tile.max_timestamp >= 0;
            let age_ms = u64::try_from(now_ms.saturating_sub(tile.max_timestamp)).unwrap_or(0);
            if len <= excess || (is_dated && keep.age_ms.is_some_and(|kept| age_ms > kept)) {
                excess = excess.saturating_sub(len);
                start = tile.end_offset;
            } else if is_dated || keep.age_ms.is_none() {
                break;
            } else {
                excess = 0;
            }
        }
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is(crate::planted::Bug::CutsTooMuch) && start > self.log_start_offset() {
            start = self.extents_from(start).next().map_or(start, |tile| tile.end_offset);
        }
        start
    }

    /// The extents behind the segments, those that lie wholly or partly below the log start included.
    pub fn unsegmented(&self) -> impl Iterator<Item = ExtentView> + use<'a> {
        self.tiles_from(self.partition.extents_start(), true)
    }

    /// The newest extents, as far back as they lie below a level, in order.
    pub fn unmerged(&self, level: u8) -> impl Iterator<Item = ExtentView> + use<'a> {
        let (state, extents) = (self.state, &self.partition.extents);
        let is_below = |index: &usize| {
            let place = extents.get(*index).and_then(|extent| state.place(extent.object));
            place.is_some_and(|place| place.level() < level)
        };
        let first = (0..extents.len()).rev().take_while(is_below).last();
        let base_offset = first.and_then(|index| extents.base_offset(index));
        self.tiles_from(base_offset.unwrap_or(self.partition.end), base_offset.is_some())
    }

    /// The extents behind the segments, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = ExtentView> + use<'a> {
        let (state, partition) = (self.state, self.partition);
        let newest_first = (0..partition.extents.len()).rev();
        newest_first.map_while(move |index| extent_view(state, partition, index))
    }

    fn tiles_from(&self, offset: u64, any: bool) -> impl Iterator<Item = ExtentView> + use<'a> {
        let (state, partition, handle) = (self.state, self.partition, self.handle);
        let (segments, extents) = (partition.segments.len(), partition.extents.len());
        let (segment, extent) = match any {
            true if offset < partition.extents_start() => (partition.segments.find(offset), 0),
            true => (segments, partition.extents.find(offset)),
            false => (segments, extents),
        };
        let segments = (segment..segments).map_while(move |index| {
            let segment = partition.segments.get(index)?;
            Some(ExtentView {
                base_offset: segment.base_offset as i64,
                end_offset: partition.segment_end(index) as i64,
                place: Place::Segment { partition: handle, base_offset: segment.base_offset },
                position: SEGMENT_HEADER,
                len: segment.body_len(),
                max_timestamp: segment.max_timestamp,
                version: segment.crc,
            })
        });
        segments.chain((extent..extents).map_while(move |index| extent_view(state, partition, index)))
    }
}

fn extent_view(state: &State, partition: &Partition, index: usize) -> Option<ExtentView> {
    let extent = partition.extents.get(index)?;
    Some(ExtentView {
        base_offset: extent.base_offset as i64,
        end_offset: partition.extent_end(index) as i64,
        place: state.place(extent.object)?,
        position: extent.position,
        len: extent.len,
        max_timestamp: extent.max_timestamp,
        version: 0,
    })
}
