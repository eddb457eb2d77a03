//! `ObjectsDeleted`: dead objects are gone from the store, so the state forgets them.

use super::{Body, Kind};
use crate::codec::{Malformed, Reader, Writer};
use crate::{Handle, ObjectId};

/// The entry. What is not dead is passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectsDeleted {
    /// Objects by their numbers in the state, ascending.
    pub objects: Vec<ObjectId>,
    /// Segments, or places where one was claimed: partition and base offset.
    pub segments: Vec<(Handle, u64)>,
    /// Numbers of deleted topics under whose paths nothing is left.
    pub graves: Vec<u32>,
}

impl Body for ObjectsDeleted {
    const KIND: Kind = Kind::ObjectsDeleted;

    fn encode(&self, writer: &mut Writer) {
        writer.count(self.objects.len());
        let mut last = 0u64;
        for id in &self.objects {
            writer.zigzag(id.0.wrapping_sub(last) as i64);
            last = id.0;
        }
        writer.count(self.segments.len());
        for (handle, base_offset) in &self.segments {
            writer.varint(u64::from(*handle));
            writer.varint(*base_offset);
        }
        writer.count(self.graves.len());
        self.graves.iter().for_each(|number| writer.varint(u64::from(*number)));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = reader.count(1, "objects")?;
        let mut objects = Vec::with_capacity(count);
        let mut last = 0u64;
        for _ in 0..count {
            last = last.wrapping_add(reader.zigzag("object")? as u64);
            objects.push(ObjectId(last));
        }
        let count = reader.count(2, "segments")?;
        let mut segments = Vec::with_capacity(count);
        for _ in 0..count {
            segments.push((reader.number("handle")?, reader.varint("base offset")?));
        }
        let count = reader.count(1, "graves")?;
        let mut graves = Vec::with_capacity(count);
        for _ in 0..count {
            graves.push(reader.number("topic number")?);
        }
        Ok(Self { objects, segments, graves })
    }
}
