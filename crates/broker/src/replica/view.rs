//! The replica and its log as the read path sees them.

use std::sync::{Arc, OnceLock};

use kafscale_log::{BarrierError, data::DataId, lone::names};
use kafscale_runtime::BoxFuture;
use kafscale_segment::names::{File, MergedId, merged, segment};
use kafscale_state::{Applied, Handle, Merged, Place, topic::path_namespace};

use super::{Own, Readers, Replica};
use crate::{
    background::{Changed, Grown},
    cluster::Cluster,
    read::{Cache, Extent, Mirror, Offsets, View, Waiters},
    stores::Asked,
    write::Written,
};

/// Looks up extents in the replica.
pub struct ReplicaView {
    /// This broker's state.
    pub replica: Arc<Replica>,
    /// The log, once it is open.
    pub own: Arc<OnceLock<Own>>,
    /// The cluster and the life of its log, which name the objects.
    pub cluster: Cluster,
    /// How the stores do.
    pub asked: Asked,
}

impl ReplicaView {
    fn segment(&self, partition: Handle, base_offset: u64, file: File) -> Option<String> {
        self.replica.read(|state| {
            let view = state.partition(partition)?;
            let namespace = path_namespace(view.topic().namespace())?;
            Some(segment(namespace, view.topic().name(), view.index(), base_offset, file))
        })
    }
}

impl View for ReplicaView {
    fn offsets(&self, partition: Handle) -> Option<Offsets> {
        self.replica.read(|state| {
            let partition = state.partition(partition)?;
            Some(Offsets {
                log_start: partition.log_start_offset(),
                last_stable: partition.last_stable_offset(),
                high_watermark: partition.high_watermark(),
            })
        })
    }

    fn extents(&self, partition: Handle, offset: i64, visit: &mut dyn FnMut(Extent) -> bool) {
        self.replica.read(|state| {
            let Some(partition) = state.partition(partition) else { return };
            for extent in partition.extents_from(offset) {
                if !visit(extent.into()) {
                    return;
                }
            }
        });
    }

    fn barrier(&self) -> BoxFuture<'_, Result<(), BarrierError>> {
        Box::pin(async {
            let own = self.own.get().ok_or_else(|| BarrierError::Unavailable("the log is not open yet".to_owned()))?;
            self.replica.barrier(&*own.lone).await
        })
    }

    fn is_store_away(&self) -> bool {
        self.asked.is_data_away()
    }

    fn name(&self, object: Place) -> Option<String> {
        match object {
            Place::LogFrame { position } => Some(names::frame(self.cluster.generation, position)),
            Place::Data { store: 0, session, number } => {
                Some(DataId { cluster_id: self.cluster.id, session, number }.name())
            }
            Place::Data { .. } => None,
            Place::Merged(object) => Some(merged(self.cluster.id, &merged_id(&object))),
            Place::Segment { partition, base_offset } => self.segment(partition, base_offset, File::Kfs),
            Place::SegmentIndex { partition, base_offset } => self.segment(partition, base_offset, File::Index),
        }
    }
}

/// A merged object of the state as its name has it.
pub fn merged_id(object: &Merged) -> MergedId {
    let Merged { store: _, level, session, number, nonce } = *object;
    MergedId { level, session, number, nonce }
}

/// Cache and waiters as the applier sees them.
pub struct Audience {
    /// Takes over our own batches.
    pub cache: Arc<Cache>,
    /// Wakes fetches.
    pub waiters: Arc<Waiters>,
    /// Hears of what may not have been copied yet.
    pub mirror: Option<Arc<Mirror>>,
    /// Notes what is to be rewritten.
    pub grown: Arc<Grown>,
    /// Notes what may be due to be cleaned.
    pub changed: Arc<Changed>,
}

impl Readers for Audience {
    fn written(&self, object: Place, records_at: u64, written: Written) {
        if let Some(mirror) = &self.mirror {
            mirror.written(object);
        }
        let len: usize = written.batches.iter().map(bytes::Bytes::len).sum();
        let extent = Extent {
            object,
            start: records_at + written.position,
            len: u32::try_from(len).expect("the state accepted this extent"),
            base_offset: written.base_offset,
            end_offset: written.base_offset + written.records,
            max_timestamp: i64::MAX,
            version: 0,
        };
        self.cache.admit(&extent, &written.batches);
    }

    fn applied(&self, applied: &Applied) {
        self.waiters.wake(&applied.touched);
        self.grown.note(applied);
        self.changed.note(applied);
    }
}
