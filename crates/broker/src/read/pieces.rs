//! Pieces of large segments: a segment is up to 2 GiB, and a reader wants a part of it.
//!
//! The index of a segment says where its batches lie. Here it becomes a *map*: the segment cut into pieces of a few MiB
//! that are loaded and kept like any other extent. Until the map of a segment is known, a walk through the extents
//! shows an extent that stands for the map; the loader brings it, and the walk is repeated. So a read at any offset of a
//! cold segment takes two GETs, and one where the map is in memory.
//!
//! An index that is missing or damaged costs speed alone: the segment is then one piece.

use std::{hash::BuildHasherDefault, sync::Arc};

use kafscale_segment::index;
use kafscale_state::Place;
use quick_cache::{OptionsBuilder, Weighter, sync::DefaultLifecycle};

use super::{Extent, Key};

/// A segment of at most so many bytes is read whole.
const WHOLE_MAX: u32 = 8 << 20;
/// Bytes of a piece, unless one batch alone has more.
const PIECE: u32 = 4 << 20;
/// Bytes of all maps.
const MAPS_BYTES: u64 = 16 << 20;
/// The longest index that is read. One of a segment of 2 GiB with a record per batch has less.
pub const INDEX_MAX: u64 = 512 << 20;

type FixedHash = BuildHasherDefault<std::hash::DefaultHasher>;
type Map = Arc<[Piece]>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    base_offset: i64,
    start: u64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Map> for Weight {
    fn weight(&self, _: &Key, map: &Map) -> u64 {
        (size_of::<Key>() + size_of_val(&**map) + 64) as u64
    }
}

/// See the module. Maps are known by what stands for them.
pub struct Pieces {
    maps: quick_cache::sync::Cache<Key, Map, Weight, FixedHash>,
}

impl Default for Pieces {
    fn default() -> Self {
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(MAPS_BYTES)
            .estimated_items_capacity(4_096)
            .build()
            .expect("capacities are set");
        let maps =
            quick_cache::sync::Cache::with_options(options, Weight, FixedHash::default(), DefaultLifecycle::default());
        Self { maps }
    }
}

impl Pieces {
    /// Shows `visit` an extent as it is loaded: whole, or the pieces from the one that holds `offset` on, or what stands for
    /// its map. Whether to go on.
    pub fn visit(&self, extent: Extent, offset: i64, visit: &mut dyn FnMut(Extent) -> bool) -> bool {
        let Place::Segment { partition, base_offset } = extent.object else { return visit(extent) };
        if extent.len <= WHOLE_MAX {
            return visit(extent);
        }
        let index = Extent { object: Place::SegmentIndex { partition, base_offset }, start: 0, len: 0, ..extent };
        let Some(map) = self.maps.get(&index.key()) else { return visit(index) };
        if map.last().is_none_or(|last| last.start >= extent.end()) {
            return visit(extent);
        }
        let first = map.partition_point(|piece| piece.base_offset <= offset).saturating_sub(1);
        (first..map.len()).all(|at| {
            let next = map.get(at + 1);
            let end = next.map_or(extent.end(), |next| next.start);
            visit(Extent {
                start: map[at].start,
                len: u32::try_from(end - map[at].start).unwrap_or(u32::MAX),
                base_offset: if at == 0 { extent.base_offset } else { map[at].base_offset },
                end_offset: next.map_or(extent.end_offset, |next| next.base_offset),
                ..extent
            })
        })
    }

    /// Takes over the index of a segment, or that there is none to be had.
    pub fn insert(&self, map: &Extent, index: Option<&[u8]>) {
        let first = Piece { base_offset: map.base_offset, start: kafscale_segment::kfs::HEADER_LEN as u64 };
        let mut pieces = vec![first];
        let entries = index.map(index::parse);
        match entries {
            Some(Ok(entries)) => {
                for entry in entries {
                    let last = pieces.last().copied().unwrap_or(first);
                    let start = u64::from(entry.position);
                    if entry.offset > last.base_offset && start - last.start.min(start) >= u64::from(PIECE) {
                        pieces.push(Piece { base_offset: entry.offset, start });
                    }
                }
            }
            Some(Err(error)) => tracing::warn!(?map, %error, "the index of a segment is damaged: it is read whole"),
            None => tracing::warn!(?map, "a segment has no index: it is read whole"),
        }
        self.maps.insert(map.key(), pieces.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: Extent = Extent {
        object: Place::Segment { partition: 3, base_offset: 1_000 },
        start: 32,
        len: 20 << 20,
        base_offset: 1_000,
        end_offset: 9_000,
        max_timestamp: 5,
        version: 77,
    };

    fn map() -> Extent {
        Extent { object: Place::SegmentIndex { partition: 3, base_offset: 1_000 }, start: 0, len: 0, ..SEGMENT }
    }

    fn visited(pieces: &Pieces, extent: Extent, offset: i64) -> Vec<(i64, i64, u64, u64)> {
        let mut seen = Vec::new();
        let on = pieces.visit(extent, offset, &mut |piece| {
            seen.push((piece.base_offset, piece.end_offset, piece.start, piece.end()));
            true
        });
        assert!(on);
        seen
    }

    fn index_of(entries: &[(i64, u64)]) -> bytes::Bytes {
        let mut builder = index::Builder::default();
        entries.iter().for_each(|(offset, position)| builder.note(*offset, *position, 100));
        builder.finish()
    }

    #[test]
    fn a_small_segment_is_one_extent_and_a_large_one_wants_its_map() {
        let pieces = Pieces::default();
        let small = Extent { len: 8 << 20, ..SEGMENT };
        assert_eq!(visited(&pieces, small, 0), [(1_000, 9_000, 32, 32 + (8 << 20))]);
        let mut map = None;
        pieces.visit(SEGMENT, 0, &mut |extent| {
            map = Some(extent);
            false
        });
        let map = map.expect("something stands for it");
        assert!(map.is_map() && map.key() == (Place::SegmentIndex { partition: 3, base_offset: 1_000 }, 77, 0));
    }

    #[test]
    fn pieces_cover_the_segment_without_gap() {
        let pieces = Pieces::default();
        let mib = |count: u64| count << 20;
        let index = index_of(&[(1_000, 32), (2_000, mib(2)), (3_000, mib(5)), (4_000, mib(8)), (5_000, mib(12))]);
        let map = map();
        pieces.insert(&map, Some(&index));
        let end = 32 + mib(20);
        let expected = [(1_000, 3_000, 32, mib(5)), (3_000, 5_000, mib(5), mib(12)), (5_000, 9_000, mib(12), end)];
        assert_eq!(visited(&pieces, SEGMENT, 0), expected);
        assert_eq!(visited(&pieces, SEGMENT, 2_999), expected);
        assert_eq!(visited(&pieces, SEGMENT, 3_000), expected[1..]);
        assert_eq!(visited(&pieces, SEGMENT, 8_999), expected[2..]);
        // The index of a longer segment than this one.
        let shorter = Extent { len: 9 << 20, ..SEGMENT };
        assert_eq!(visited(&pieces, shorter, 0), [(1_000, 9_000, 32, 32 + mib(9))]);
    }

    #[test]
    fn a_segment_that_was_published_again_under_its_name_is_another_one() {
        let pieces = Pieces::default();
        let map = map();
        pieces.insert(&map, Some(&index_of(&[(1_000, 32), (2_000, 9 << 20)])));
        assert_eq!(visited(&pieces, SEGMENT, 0).len(), 2);
        let again = Extent { version: 78, ..SEGMENT };
        assert_ne!(again.key(), SEGMENT.key());
        let mut shown = None;
        pieces.visit(again, 0, &mut |extent| {
            shown = Some(extent);
            false
        });
        assert!(shown.is_some_and(|shown| shown.is_map()), "its own map is wanted");
    }

    #[test]
    fn without_a_good_index_a_segment_is_one_piece() {
        let pieces = Pieces::default();
        let map = map();
        for index in [None, Some(&b"IDX"[..])] {
            pieces.insert(&map, index);
            assert_eq!(visited(&pieces, SEGMENT, 5_000), [(1_000, 9_000, 32, 32 + (20 << 20))]);
        }
    }
}
