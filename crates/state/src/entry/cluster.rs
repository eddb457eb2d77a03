//! `Cluster`: the first word of a log: which cluster it belongs to.

use super::{Body, Kind};
use crate::codec::{Malformed, Reader, Writer};

/// The entry. The first one counts; one that names another cluster is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster {
    /// A UUID, given once.
    pub cluster_id: u128,
}

impl Body for Cluster {
    const KIND: Kind = Kind::Cluster;

    fn encode(&self, writer: &mut Writer) {
        writer.u128(self.cluster_id);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { cluster_id: reader.u128("cluster id")? })
    }
}
