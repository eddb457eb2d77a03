//! Extents, packed: where a partition's records lie.
//!
//! Extents are most of what the state holds (up to 16M of them), hence 26 bytes each and no field that a neighbour gives:
//! an extent ends where the next one begins. They stand in sealed chunks that clones share, and an open tail, so that a
//! write after a clone copies one tail and not the partition.
//!
//! What must hold: base offsets grow strictly; every chunk but the tail is full.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::limits::U48_MAX;
use crate::object::ObjectId;

/// Extents in a sealed chunk.
const CHUNK: usize = 128;

/// The greatest timestamp that an extent stores; it stands for "unbounded".
pub const TIMESTAMP_UNBOUNDED: i64 = (1 << 47) - 1;
const TIMESTAMP_MIN: i64 = -(1 << 47);

/// Where one partition's adjacent records lie in one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtentView {
    /// Offset of the first record that lies here. It may be below the partition's log start.
    pub base_offset: i64,
    /// One past the offset of the last.
    pub end_offset: i64,
    /// The object.
    pub object: ObjectId,
    /// Where that object is.
    pub place: crate::Place,
    /// First byte in the object.
    pub position: u32,
    /// Bytes.
    pub len: u32,
    /// No record here has a greater timestamp (Unix milliseconds); [`i64::MAX`] when it was too great to store.
    pub max_timestamp: i64,
}

/// One extent without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) base_offset: u64,
    pub(crate) object: ObjectId,
    pub(crate) position: u32,
    pub(crate) len: u32,
    pub(crate) max_timestamp: i64,
}

/// u48 base offset, u48 object, u32 position, u32 length, i48 timestamp, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Packed([u8; 26]);

impl Packed {
    fn new(extent: &Extent) -> Self {
        debug_assert!(extent.base_offset <= U48_MAX && extent.object.0 <= U48_MAX);
        let timestamp = extent.max_timestamp.clamp(TIMESTAMP_MIN, TIMESTAMP_UNBOUNDED);
        let mut bytes = [0; 26];
        bytes[0..6].copy_from_slice(&extent.base_offset.to_le_bytes()[..6]);
        bytes[6..12].copy_from_slice(&extent.object.0.to_le_bytes()[..6]);
        bytes[12..16].copy_from_slice(&extent.position.to_le_bytes());
        bytes[16..20].copy_from_slice(&extent.len.to_le_bytes());
        bytes[20..26].copy_from_slice(&timestamp.to_le_bytes()[..6]);
        Self(bytes)
    }

    fn u48(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes[..6].copy_from_slice(&self.0[at..at + 6]);
        u64::from_le_bytes(bytes)
    }

    fn u32(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[at..at + 4]);
        u32::from_le_bytes(bytes)
    }

    fn base_offset(&self) -> u64 {
        self.u48(0)
    }

    fn unpack(&self) -> Extent {
        // The shifts carry the sign of the 48-bit number into the upper bytes.
        let timestamp = (self.u48(20) << 16) as i64 >> 16;
        Extent {
            base_offset: self.base_offset(),
            object: ObjectId(self.u48(6)),
            position: self.u32(12),
            len: self.u32(16),
            max_timestamp: if timestamp == TIMESTAMP_UNBOUNDED { i64::MAX } else { timestamp },
        }
    }
}

/// A partition's extents in the order of their offsets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extents {
    sealed: VecDeque<Arc<[Packed]>>,
    /// Extents at the front of the first sealed chunk that are gone.
    gone: usize,
    tail: Vec<Packed>,
}

impl Extents {
    pub(crate) fn len(&self) -> usize {
        self.sealed.len() * CHUNK - self.gone + self.tail.len()
    }

    fn packed(&self, index: usize) -> Option<&Packed> {
        let index = index + self.gone;
        match self.sealed.get(index / CHUNK) {
            Some(chunk) => chunk.get(index % CHUNK),
            None => self.tail.get(index - self.sealed.len() * CHUNK),
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<Extent> {
        self.packed(index).map(Packed::unpack)
    }

    pub(crate) fn base_offset(&self, index: usize) -> Option<u64> {
        self.packed(index).map(Packed::base_offset)
    }

    /// The index of the extent that holds `offset`, or the first if all lie above it; `len` when there is none.
    pub(crate) fn find(&self, offset: u64) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.packed(middle).is_some_and(|extent| extent.base_offset() <= offset) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low.saturating_sub(1)
    }

    pub(crate) fn push(&mut self, extent: &Extent) {
        if self.tail.len() == self.tail.capacity() {
            // Most partitions have few extents, so what stands ready for the next ones counts: a quarter.
            // A copy of a shard has no room left at any length, also one below a full chunk.
            self.tail.reserve_exact((self.tail.len() / 4).max(2).min(CHUNK - self.tail.len()));
        }
        self.tail.push(Packed::new(extent));
        if self.tail.len() == CHUNK {
            self.sealed.push_back(Arc::from(std::mem::take(&mut self.tail)));
        }
    }

    /// Takes the first extent away.
    pub(crate) fn pop_front(&mut self) -> Option<Extent> {
        let first = self.get(0)?;
        if self.sealed.is_empty() {
            self.tail.remove(0);
            return Some(first);
        }
        self.gone += 1;
        if self.gone == CHUNK {
            self.sealed.pop_front();
            self.gone = 0;
        }
        Some(first)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Extent> {
        (0..self.len()).map_while(|index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(base_offset: u64) -> Extent {
        Extent { base_offset, object: ObjectId(base_offset * 3), position: 7, len: 9, max_timestamp: -1 }
    }

    #[test]
    fn an_extent_takes_26_bytes() {
        assert_eq!(size_of::<Packed>(), 26);
        assert_eq!(size_of::<Extents>(), 64);
    }

    #[test]
    fn packing_keeps_every_field_up_to_its_bounds() {
        let full = Extent {
            base_offset: U48_MAX,
            object: ObjectId(U48_MAX - 1),
            position: u32::MAX,
            len: u32::MAX - 1,
            max_timestamp: TIMESTAMP_UNBOUNDED - 1,
        };
        assert_eq!(Packed::new(&full).unpack(), full);
        let negative = Extent { max_timestamp: -1, ..full };
        assert_eq!(Packed::new(&negative).unpack(), negative);
    }

    #[test]
    fn a_timestamp_too_great_is_unbounded() {
        for great in [TIMESTAMP_UNBOUNDED, TIMESTAMP_UNBOUNDED + 1, i64::MAX] {
            let packed = Packed::new(&Extent { max_timestamp: great, ..extent(1) });
            assert_eq!(packed.unpack().max_timestamp, i64::MAX);
        }
        assert_eq!(Packed::new(&Extent { max_timestamp: i64::MIN, ..extent(1) }).unpack().max_timestamp, TIMESTAMP_MIN);
    }

    #[test]
    fn a_copy_of_any_length_takes_more() {
        let mut extents = Extents::default();
        for index in 0..3 * CHUNK as u64 {
            extents = extents.clone();
            extents.push(&extent(index));
        }
        assert_eq!(extents.len(), 3 * CHUNK);
    }

    #[test]
    fn finding_and_popping_agree_with_a_plain_list() {
        let mut extents = Extents::default();
        let mut plain = VecDeque::new();
        for index in 0..1_000u64 {
            extents.push(&extent(index * 10));
            plain.push_back(extent(index * 10));
            if index % 3 == 0 {
                assert_eq!(extents.pop_front(), plain.pop_front());
            }
            assert_eq!(extents.len(), plain.len());
        }
        for offset in 0..10_100 {
            let expected = plain.iter().rposition(|extent| extent.base_offset <= offset).unwrap_or(0);
            assert_eq!(extents.find(offset), expected, "offset {offset}");
        }
        assert!(extents.iter().eq(plain.iter().copied()));
        while let Some(expected) = plain.pop_front() {
            assert_eq!(extents.pop_front(), Some(expected));
        }
        assert_eq!((extents.pop_front(), extents.len(), extents.find(5)), (None, 0, 0));
    }

    #[test]
    fn a_clone_does_not_see_later_writes() {
        let mut extents = Extents::default();
        (0..200).for_each(|index| extents.push(&extent(index)));
        let before = extents.clone();
        (200..500).for_each(|index| extents.push(&extent(index)));
        (0..300).for_each(|_| assert!(extents.pop_front().is_some()));
        assert!(before.iter().map(|extent| extent.base_offset).eq(0..200));
        assert!(extents.iter().map(|extent| extent.base_offset).eq(300..500));
    }
}
