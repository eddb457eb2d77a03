//! Where a partition's records lie, by the names of objects.

use kafscale_broker::{cluster::Cluster, replica::merged_id};
use kafscale_log::{data::DataId, lone::names as log_names};
use kafscale_segment::names::{self, File};
use kafscale_state::{ExtentView, Handle, Place, State, topic::path_namespace};

use crate::Side;

/// Adjacent records of one partition in one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Which object, as the state has it.
    pub place: Place,
    /// The store that it is in.
    pub side: Side,
    /// Its name there.
    pub name: String,
    /// First byte in the object.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// The first offset that it stands for.
    pub first: i64,
    /// One past the last one.
    pub end: i64,
    /// No record has a greater timestamp.
    pub max_timestamp: i64,
}

impl Tile {
    /// The byte behind its last one.
    pub fn bytes_end(&self) -> u64 {
        self.start + self.len
    }
}

/// The tiles of a partition from the one that holds `offset` on. Those of a store that this version does not know are named
/// by a reason.
pub fn tiles(state: &State, cluster: Cluster, handle: Handle, offset: i64) -> Vec<Result<Tile, String>> {
    let Some(view) = state.partition(handle) else { return Vec::new() };
    view.extents_from(offset).map(|extent| of_extent(state, cluster, &extent)).collect()
}

/// One extent by the name of its object.
pub fn of_extent(state: &State, cluster: Cluster, extent: &ExtentView) -> Result<Tile, String> {
    let (side, name) = name_of(state, cluster, extent.place).ok_or("it lies in a store that is not known here")?;
    Ok(Tile {
        place: extent.place,
        side,
        name,
        start: u64::from(extent.position),
        len: u64::from(extent.len),
        first: extent.base_offset,
        end: extent.end_offset,
        max_timestamp: extent.max_timestamp,
    })
}

/// What an object is called, and where it is.
pub fn name_of(state: &State, cluster: Cluster, place: Place) -> Option<(Side, String)> {
    let file = |partition: Handle, base_offset, file| {
        let view = state.partition(partition)?;
        let namespace = path_namespace(view.topic().namespace())?;
        Some(names::segment(namespace, view.topic().name(), view.index(), base_offset, file))
    };
    let name = match place {
        Place::LogFrame { position } => return Some((Side::Log, log_names::frame(cluster.generation, position))),
        Place::Data { store: 0, session, number } => DataId { cluster_id: cluster.id, session, number }.name(),
        Place::Data { .. } => return None,
        Place::Merged(object) if object.store == 0 => names::merged(cluster.id, &merged_id(&object)),
        Place::Merged(_) => return None,
        Place::Segment { partition, base_offset } => file(partition, base_offset, File::Kfs)?,
        Place::SegmentIndex { partition, base_offset } => file(partition, base_offset, File::Index)?,
    };
    Some((Side::Data, name))
}
