//! `Merged`: tiles of many partitions move into one object of a higher level.
//!
//! Each *swap* puts new extents in the place of all tiles of one partition that cover `first` to the end of its last extent,
//! and is applied only if they are the tiles that the writer has read (`sources`): what was replaced, trimmed or claimed
//! meanwhile refuses the swap, and applying the entry once more changes nothing.
//!
//! The new extents stand for all offsets of the old ones, whichever of them their batches still hold: in merged objects
//! batches carry their offsets, and log compaction leaves gaps between and within them. An extent has at least one batch;
//! where nothing is left of a range, that is one without records.

use super::{Body, Kind};
use crate::Handle;
use crate::codec::{Malformed, Reader, Writer};
use crate::object;

/// The entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The object, with its level.
    pub object: object::Merged,
    /// In the order of the object.
    pub swaps: Vec<Swap>,
}

/// One partition's part of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// Which partition.
    pub partition: Handle,
    /// The first offset that is replaced.
    pub first: i64,
    /// What the writer has read, see [`crate::PartitionView::sources`].
    pub sources: u64,
    /// First byte in the object.
    pub position: u32,
    /// The new extents; they follow each other without a gap.
    pub extents: Vec<SwapExtent>,
}

/// One extent of a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwapExtent {
    /// One past the last offset that it stands for.
    pub end: i64,
    /// Bytes of its batches.
    pub bytes: u32,
    /// The greatest of their max timestamps, Unix milliseconds.
    pub max_timestamp: i64,
}

impl Swap {
    /// One past the last offset that is replaced; `first` for a swap without extents, which apply refuses.
    pub fn end(&self) -> i64 {
        self.extents.last().map_or(self.first, |last| last.end)
    }

    /// One past the last byte in the object.
    pub fn bytes_end(&self) -> u64 {
        u64::from(self.position) + self.extents.iter().map(|extent| u64::from(extent.bytes)).sum::<u64>()
    }
}

impl Body for Merged {
    const KIND: Kind = Kind::Merged;

    fn encode(&self, writer: &mut Writer) {
        encode_object(&self.object, writer);
        writer.count(self.swaps.len());
        let (mut partition, mut position, mut timestamp) = (0, 0, 0i64);
        for swap in &self.swaps {
            writer.zigzag(i64::from(swap.partition) - i64::from(partition));
            writer.zigzag(swap.first);
            writer.bytes.extend_from_slice(&swap.sources.to_be_bytes());
            writer.zigzag(i64::from(swap.position) - position as i64);
            (partition, position) = (swap.partition, swap.bytes_end());
            writer.count(swap.extents.len());
            let mut end = swap.first;
            for extent in &swap.extents {
                writer.zigzag(extent.end.wrapping_sub(end));
                writer.varint(u64::from(extent.bytes));
                writer.zigzag(extent.max_timestamp.wrapping_sub(timestamp));
                (end, timestamp) = (extent.end, extent.max_timestamp);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let object = decode_object(reader)?;
        let count = reader.count(12, "swaps")?;
        let mut swaps = Vec::with_capacity(count);
        let (mut partition, mut position, mut timestamp) = (0, 0u64, 0i64);
        for _ in 0..count {
            partition = i64::from(partition)
                .checked_add(reader.zigzag("partition")?)
                .ok_or(Malformed("partition"))?
                .try_into()
                .map_err(|_| Malformed("partition"))?;
            let first = reader.zigzag("first offset")?;
            let sources = u64::from_be_bytes(reader.array("sources")?);
            let at = (position as i64).checked_add(reader.zigzag("position")?).ok_or(Malformed("position"))?;
            let at = u32::try_from(at).map_err(|_| Malformed("position"))?;
            let count = reader.count(3, "extents")?;
            let mut extents = Vec::with_capacity(count);
            let mut end = first;
            for _ in 0..count {
                end = end.wrapping_add(reader.zigzag("end offset")?);
                let bytes = reader.number("bytes")?;
                timestamp = timestamp.wrapping_add(reader.zigzag("max timestamp")?);
                extents.push(SwapExtent { end, bytes, max_timestamp: timestamp });
            }
            swaps.push(Swap { partition, first, sources, position: at, extents });
            position = swaps.last().map_or(0, Swap::bytes_end);
        }
        Ok(Self { object, swaps })
    }
}

pub(crate) fn encode_object(object: &object::Merged, writer: &mut Writer) {
    writer.u8(object.store);
    writer.u8(object.level);
    writer.varint(object.session);
    writer.varint(object.number);
    writer.bytes.extend_from_slice(&object.nonce.to_be_bytes());
}

pub(crate) fn decode_object(reader: &mut Reader<'_>) -> Result<object::Merged, Malformed> {
    Ok(object::Merged {
        store: reader.u8("store")?,
        level: reader.u8("level")?,
        session: reader.varint("session")?,
        number: reader.varint("object number")?,
        nonce: u64::from_be_bytes(reader.array("nonce")?),
    })
}
