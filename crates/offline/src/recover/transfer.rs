//! Objects that are taken over as they are into another store, or under another name.

use std::collections::BTreeSet;

use bytes::Bytes;
use kafscale_records::batches;
use kafscale_segment::{
    index, kfs,
    names::{self, File},
};
use kafscale_state::{Place, rebuild::Laid, topic::path_namespace};
use kafscale_store::Body;

use super::{cover::Slice, rewrite::Whose};
use crate::{
    Bucket, Error, Side,
    known::{in_parts, whole},
    object::size_of,
};

/// The longest object that is taken over.
const OBJECT_LEN_MAX: u64 = 4 << 30;

/// See the module.
pub struct Transfer<'a> {
    /// Where from.
    pub from: &'a Bucket,
    /// Where to.
    pub to: &'a Bucket,
    done: BTreeSet<String>,
    /// Objects that were written, and their bytes.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl<'a> Transfer<'a> {
    /// From one store into another.
    pub fn new(from: &'a Bucket, to: &'a Bucket) -> Self {
        Self { from, to, done: BTreeSet::new(), objects: 0, bytes: 0 }
    }

    /// Takes over the object that a slice lies in, and says where it lies then. A segment is checked and gets its index.
    pub async fn take(&mut self, whose: &Whose, slice: &Slice) -> Result<Laid, Error> {
        let tile = &slice.candidate.tile;
        let damaged = |reason: String| Error::damaged(&tile.name, reason);
        let base_offset = u64::try_from(tile.first).map_err(|_| damaged("a negative offset".to_owned()))?;
        if !matches!(tile.place, Place::Segment { .. }) {
            if !self.done.contains(&tile.name) {
                let size = size_of(self.from, tile.side, &tile.name).await?;
                let parts = in_parts(self.from, tile.side, &tile.name, size, OBJECT_LEN_MAX).await?;
                self.write(&tile.name, Body::new(parts)).await?;
            }
            let fits = u32::try_from(tile.start).ok().zip(u32::try_from(tile.len).ok());
            let (position, len) = fits.ok_or_else(|| damaged("it is too long".to_owned()))?;
            let (place, max_timestamp) = (tile.place, tile.max_timestamp);
            return Ok(Laid::Extent { base_offset, place, position, len, max_timestamp });
        }
        let size = size_of(self.from, tile.side, &tile.name).await?;
        let bytes = whole(self.from, tile.side, &tile.name, size, kfs::LEN_MAX).await?;
        let segment = kfs::parse(&bytes).map_err(|error| damaged(error.to_string()))?;
        let crc = kfs::checksum(&bytes);
        if slice.candidate.kfs.is_some_and(|kfs| kfs.crc.is_some_and(|published| published != crc)) {
            return Err(damaged(format!("the file has checksum {crc:08x}, another one was published")));
        }
        let namespace = path_namespace(&whose.namespace).ok_or_else(|| damaged("a reserved namespace".to_owned()))?;
        let name = |file| names::segment(namespace, &whose.topic, whose.partition, base_offset, file);
        let len = u32::try_from(bytes.len()).map_err(|_| damaged("it is too long".to_owned()))?;
        self.write(&name(File::Kfs), Body::from(bytes)).await?;
        self.write(&name(File::Index), Body::from(index_of(&segment.batches))).await?;
        let max_timestamp = segment.sum.max_timestamp.unwrap_or(i64::MIN);
        Ok(Laid::Segment { base_offset, len, crc, records: segment.header.records, max_timestamp })
    }

    async fn write(&mut self, name: &str, body: Body) -> Result<(), Error> {
        self.to.create(Side::Data, name, &body).await?;
        self.objects += 1;
        self.bytes += body.len();
        self.done.insert(name.to_owned());
        Ok(())
    }
}

/// The index of these batches.
pub fn index_of(bytes: &[u8]) -> Bytes {
    let (mut builder, mut at) = (index::Builder::default(), kfs::HEADER_LEN as u64);
    for batch in batches(bytes).flatten() {
        let header = batch.header();
        builder.note(header.base_offset, at, header.record_count.unsigned_abs());
        at += batch.bytes().len() as u64;
    }
    builder.finish()
}
