//! Extents and segments, packed: where a partition's records lie.
//!
//! Extents are most of what the state holds (up to 16M of them), hence 26 bytes each and no field that a neighbour gives:
//! an extent ends where the next one begins.

use crate::limits::U48_MAX;
use crate::object::ObjectId;
use crate::tiles::{Tile, Tiles};

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
    pub place: crate::Place,
    /// First byte in the object.
    pub position: u32,
    /// Bytes.
    pub len: u32,
    /// No record here has a greater timestamp (Unix milliseconds); [`i64::MAX`] when it was too great to store.
    pub max_timestamp: i64,
    /// Tells objects of one name apart: of a published segment its CRC-32C, since a segment that was moved back and published
    /// again begins at the same offset; 0 of all others, whose names never come again.
    pub version: u32,
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

/// A `.kfs` file that was published, without its end. Its name follows from the partition and the base offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) base_offset: u64,
    /// The whole file.
    pub(crate) len: u32,
    pub(crate) max_timestamp: i64,
    /// CRC-32C of the whole file.
    pub(crate) crc: u32,
    pub(crate) records: u32,
}

/// What of a `.kfs` file precedes its batches, and what follows them (see the format).
pub(crate) const SEGMENT_HEADER: u32 = 32;
pub(crate) const SEGMENT_OVERHEAD: u32 = 48;

impl Segment {
    /// Bytes of its batches.
    pub(crate) fn body_len(&self) -> u32 {
        self.len.saturating_sub(SEGMENT_OVERHEAD)
    }
}

/// A partition's extents in the order of their offsets.
pub(crate) type Extents = Tiles<Extent>;
/// A partition's segments in the order of their offsets.
pub(crate) type Segments = Tiles<Segment>;

/// u48 base offset, u48 object, u32 position, u32 length, i48 timestamp, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedExtent([u8; 26]);

/// u48 base offset, u32 length, i48 timestamp, u32 CRC, u32 records, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedSegment([u8; 24]);

fn u48(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number[..6].copy_from_slice(&bytes[at..at + 6]);
    u64::from_le_bytes(number)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn put_timestamp(bytes: &mut [u8], timestamp: i64) {
    let timestamp = timestamp.clamp(TIMESTAMP_MIN, TIMESTAMP_UNBOUNDED);
    bytes.copy_from_slice(&timestamp.to_le_bytes()[..6]);
}

fn timestamp(bytes: &[u8], at: usize) -> i64 {
    // The shifts carry the sign of the 48-bit number into the upper bytes.
    match (u48(bytes, at) << 16) as i64 >> 16 {
        TIMESTAMP_UNBOUNDED => i64::MAX,
        timestamp => timestamp,
    }
}

impl Tile for Extent {
    type Packed = PackedExtent;

    fn pack(&self) -> PackedExtent {
        debug_assert!(self.base_offset <= U48_MAX && self.object.0 <= U48_MAX);
        let mut bytes = [0; 26];
        bytes[0..6].copy_from_slice(&self.base_offset.to_le_bytes()[..6]);
        bytes[6..12].copy_from_slice(&self.object.0.to_le_bytes()[..6]);
        bytes[12..16].copy_from_slice(&self.position.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.len.to_le_bytes());
        put_timestamp(&mut bytes[20..26], self.max_timestamp);
        PackedExtent(bytes)
    }

    fn unpack(PackedExtent(bytes): &PackedExtent) -> Self {
        Self {
            base_offset: u48(bytes, 0),
            object: ObjectId(u48(bytes, 6)),
            position: u32_at(bytes, 12),
            len: u32_at(bytes, 16),
            max_timestamp: timestamp(bytes, 20),
        }
    }

    fn base_offset(PackedExtent(bytes): &PackedExtent) -> u64 {
        u48(bytes, 0)
    }
}

impl Tile for Segment {
    type Packed = PackedSegment;

    fn pack(&self) -> PackedSegment {
        debug_assert!(self.base_offset <= U48_MAX);
        let mut bytes = [0; 24];
        bytes[0..6].copy_from_slice(&self.base_offset.to_le_bytes()[..6]);
        bytes[6..10].copy_from_slice(&self.len.to_le_bytes());
        put_timestamp(&mut bytes[10..16], self.max_timestamp);
        bytes[16..20].copy_from_slice(&self.crc.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.records.to_le_bytes());
        PackedSegment(bytes)
    }

    fn unpack(PackedSegment(bytes): &PackedSegment) -> Self {
        Self {
            base_offset: u48(bytes, 0),
            len: u32_at(bytes, 6),
            max_timestamp: timestamp(bytes, 10),
            crc: u32_at(bytes, 16),
            records: u32_at(bytes, 20),
        }
    }

    fn base_offset(PackedSegment(bytes): &PackedSegment) -> u64 {
        u48(bytes, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENT: Extent = Extent { base_offset: 1, object: ObjectId(3), position: 7, len: 9, max_timestamp: -1 };

    fn packed(extent: Extent) -> Extent {
        Extent::unpack(&extent.pack())
    }

    #[test]
    fn sizes_are_what_the_budget_counts() {
        assert_eq!(size_of::<PackedExtent>(), 26);
        assert_eq!(size_of::<PackedSegment>(), 24);
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
        assert_eq!(packed(full), full);
        let negative = Extent { max_timestamp: -1, ..full };
        assert_eq!(packed(negative), negative);
        let segment = Segment {
            base_offset: U48_MAX,
            len: u32::MAX,
            max_timestamp: -1,
            crc: u32::MAX - 1,
            records: u32::MAX - 2,
        };
        assert_eq!(Segment::unpack(&segment.pack()), segment);
    }

    #[test]
    fn a_timestamp_too_great_is_unbounded() {
        for great in [TIMESTAMP_UNBOUNDED, TIMESTAMP_UNBOUNDED + 1, i64::MAX] {
            assert_eq!(packed(Extent { max_timestamp: great, ..EXTENT }).max_timestamp, i64::MAX);
        }
        assert_eq!(packed(Extent { max_timestamp: i64::MIN, ..EXTENT }).max_timestamp, TIMESTAMP_MIN);
    }
}
