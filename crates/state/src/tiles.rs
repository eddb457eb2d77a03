//! A row of tiles: things that begin where the one before them ends, each known by its base offset.
//!
//! They stand in sealed chunks that clones share, and an open tail, so that a write after a clone copies one tail and not
//! the partition. Tiles come at the end, go at the front, and now and then a range of them is replaced; then everything
//! from that range on is laid anew.
//!
//! What must hold: base offsets grow strictly; every chunk but the tail is full.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

/// Tiles in a sealed chunk.
const CHUNK: usize = 128;

/// What a row is made of.
pub(crate) trait Tile: Debug + Copy + PartialEq {
    /// How it lies in memory.
    type Packed: Debug + Copy;

    fn pack(&self) -> Self::Packed;
    fn unpack(packed: &Self::Packed) -> Self;
    fn base_offset(packed: &Self::Packed) -> u64;
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Tiles<T: Tile> {
    sealed: VecDeque<Arc<[T::Packed]>>,
    /// Tiles at the front of the first sealed chunk that are gone.
    gone: usize,
    tail: Vec<T::Packed>,
}

impl<T: Tile> Default for Tiles<T> {
    fn default() -> Self {
        Self { sealed: VecDeque::new(), gone: 0, tail: Vec::new() }
    }
}

impl<T: Tile> Tiles<T> {
    pub(crate) fn len(&self) -> usize {
        self.sealed.len() * CHUNK - self.gone + self.tail.len()
    }

    fn packed(&self, index: usize) -> Option<&T::Packed> {
        let index = index + self.gone;
        match self.sealed.get(index / CHUNK) {
            Some(chunk) => chunk.get(index % CHUNK),
            None => self.tail.get(index - self.sealed.len() * CHUNK),
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<T> {
        self.packed(index).map(T::unpack)
    }

    pub(crate) fn base_offset(&self, index: usize) -> Option<u64> {
        self.packed(index).map(T::base_offset)
    }

    /// The index of the tile that holds `offset`, or the first if all lie above it; `len` when there is none.
    pub(crate) fn find(&self, offset: u64) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.packed(middle).is_some_and(|tile| T::base_offset(tile) <= offset) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low.saturating_sub(1)
    }

    /// The index of the tile that begins at `offset`.
    pub(crate) fn position(&self, offset: u64) -> Option<usize> {
        let index = self.find(offset);
        (self.base_offset(index) == Some(offset)).then_some(index)
    }

    pub(crate) fn push(&mut self, tile: &T) {
        if self.tail.len() == self.tail.capacity() {
            // Most partitions have few extents, so what stands ready for the next ones counts: a quarter.
            // A copy of a shard has no room left at any length, also one below a full chunk.
            self.tail.reserve_exact((self.tail.len() / 4).max(2).min(CHUNK - self.tail.len()));
        }
        self.tail.push(tile.pack());
        if self.tail.len() == CHUNK {
            self.sealed.push_back(Arc::from(std::mem::take(&mut self.tail)));
        }
    }

    /// Takes the first tile away.
    pub(crate) fn pop_front(&mut self) -> Option<T> {
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

    /// Puts other tiles in the place of a range and returns what was there.
    pub(crate) fn replace(&mut self, range: Range<usize>, with: &[T]) -> Vec<T> {
        let mut replaced: Vec<T> = (range.start..self.len()).map_while(|index| self.get(index)).collect();
        let behind = replaced.split_off(range.len().min(replaced.len()));
        self.truncate(range.start);
        with.iter().chain(&behind).for_each(|tile| self.push(tile));
        replaced
    }

    fn truncate(&mut self, len: usize) {
        let (chunk, left) = ((len + self.gone) / CHUNK, (len + self.gone) % CHUNK);
        let Some(cut) = self.sealed.get(chunk) else {
            return self.tail.truncate(len + self.gone - self.sealed.len() * CHUNK);
        };
        self.tail = cut[..left].to_vec();
        self.sealed.truncate(chunk);
        if self.sealed.is_empty() {
            self.tail.drain(..std::mem::take(&mut self.gone).min(left));
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = T> {
        (0..self.len()).map_while(|index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::Extent;
    use crate::object::ObjectId;

    fn extent(base_offset: u64) -> Extent {
        Extent { base_offset, object: ObjectId(base_offset * 3), position: 7, len: 9, max_timestamp: -1 }
    }

    #[test]
    fn a_copy_of_any_length_takes_more() {
        let mut extents = Tiles::default();
        for index in 0..3 * CHUNK as u64 {
            extents = extents.clone();
            extents.push(&extent(index));
        }
        assert_eq!(extents.len(), 3 * CHUNK);
    }

    #[test]
    fn finding_and_popping_agree_with_a_plain_list() {
        let mut extents = Tiles::default();
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
    fn replacing_any_range_agrees_with_a_plain_list() {
        for (len, gone) in [(5, 0), (5, 2), (128, 0), (300, 3), (300, 130), (400, 260), (384, 0), (384, 200)] {
            let full: Vec<Extent> = (0..len).map(extent).collect();
            for from in (0..=len as usize - gone).step_by(7) {
                for (count, new) in [(0, 1), (1, 1), (3, 1), (130, 2), (usize::MAX, 1), (2, 140)] {
                    let mut extents = Tiles::default();
                    full.iter().for_each(|extent| extents.push(extent));
                    (0..gone).for_each(|_| assert!(extents.pop_front().is_some()));
                    let mut plain = full[gone..].to_vec();
                    let until = from.saturating_add(count).min(plain.len());
                    let with: Vec<Extent> = (0..new).map(|index| extent(10_000 + index)).collect();
                    let expected: Vec<_> = plain.splice(from..until, with.clone()).collect();
                    assert_eq!(extents.replace(from..until, &with), expected);
                    assert!(extents.iter().eq(plain.iter().copied()), "{len} {gone} {from} {count} {new}");
                    assert_eq!(extents.len(), plain.len());
                    extents.push(&extent(20_000));
                    assert_eq!(extents.get(plain.len()), Some(extent(20_000)));
                }
            }
        }
    }

    #[test]
    fn a_clone_does_not_see_later_writes() {
        let mut extents = Tiles::default();
        (0..200).for_each(|index| extents.push(&extent(index)));
        let before = extents.clone();
        (200..500).for_each(|index| extents.push(&extent(index)));
        (0..300).for_each(|_| assert!(extents.pop_front().is_some()));
        extents.replace(0..100, &[]);
        assert!(before.iter().map(|extent| extent.base_offset).eq(0..200));
        assert!(extents.iter().map(|extent| extent.base_offset).eq(400..500));
    }
}
