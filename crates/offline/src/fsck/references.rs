//! What the state refers to, object by object.

use std::collections::BTreeMap;

use kafscale_broker::cluster::Cluster;
use kafscale_state::{Handle, Place, SegmentView, State};

use crate::{
    Side,
    tile::{Tile, of_extent},
};

/// What is referred to of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub place: Place,
    /// The store that it is in.
    pub side: Side,
    /// Adjacent records, in the order of partitions and offsets.
    pub stretches: Vec<Stretch>,
    /// What was published of a segment.
    pub segment: Option<SegmentView>,
}

/// Adjacent records in an object: a tile without what all tiles of an object share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub partition: Handle,
    pub start: u64,
    pub len: u32,
    pub first: i64,
    pub end: i64,
}

impl Reference {
    pub fn bytes(&self) -> u64 {
        self.stretches.iter().map(|stretch| u64::from(stretch.len)).sum()
    }

    /// The byte behind the last one that is referred to.
    pub fn end(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.start + u64::from(stretch.len)).max().unwrap_or(0)
    }

    /// Its tiles, in the order of their bytes.
    pub fn tiles(&self, name: &str) -> Vec<(Handle, Tile)> {
        let mut stretches = self.stretches.clone();
        stretches.sort_by_key(|stretch| stretch.start);
        let tile = |stretch: Stretch| {
            let Stretch { partition, start, len, first, end } = stretch;
            let (place, side, name, len) = (self.place, self.side, name.to_owned(), u64::from(len));
            (partition, Tile { place, side, name, start, len, first, end, max_timestamp: i64::MAX })
        };
        stretches.into_iter().map(tile).collect()
    }
}

/// All objects that records lie in.
pub(super) fn references(state: &State, cluster: Cluster) -> BTreeMap<String, Reference> {
    let mut found: BTreeMap<String, Reference> = BTreeMap::new();
    for handle in state.topics().flat_map(|topic| topic.handles()) {
        let Some(view) = state.partition(handle) else { continue };
        let segments: BTreeMap<i64, SegmentView> =
            view.segments().map(|segment| (segment.base_offset, segment)).collect();
        for extent in view.extents_from(0) {
            // A store that is not known to this version has no objects that could be looked at.
            let Ok(Tile { place, side, name, start, first, end, .. }) = of_extent(state, cluster, &extent) else {
                continue;
            };
            let segment = match place {
                Place::Segment { .. } => segments.get(&extent.base_offset).copied(),
                _ => None,
            };
            let stretch = Stretch { partition: handle, start, len: extent.len, first, end };
            let entry = found.entry(name);
            let reference = entry.or_insert_with(|| Reference { place, side, stretches: Vec::new(), segment });
            reference.stretches.push(stretch);
        }
    }
    found
}

/// A partition as people name it.
pub(super) fn label(state: &State, handle: Handle) -> String {
    let view = state.partition(handle);
    view.map_or_else(String::new, |view| format!("{} [{}]", view.topic().name(), view.index()))
}
