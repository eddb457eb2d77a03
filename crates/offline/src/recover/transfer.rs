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

use super::{
    cover::{Candidate, Slice},
    rewrite::Whose,
};
use crate::{
    Bucket, Error, Side,
    chunks::Chunks,
    known::{in_parts, whole},
    object::size_of,
    segment::look,
    tile::Tile,
};

/// Bytes of a segment that are no batches.
const EDGES: u64 = (kfs::HEADER_LEN + kfs::FOOTER_LEN) as u64;
/// The longest object that is taken over.
const OBJECT_LEN_MAX: u64 = 4 << 30;

/// See the module.
pub struct Transfer<'a> {
    /// Where from.
    pub from: &'a Bucket,
    /// Where to.
    pub to: &'a Bucket,
    /// Bytes of a full segment; so much of one is in memory.
    segment_len: u64,
    done: BTreeSet<String>,
    /// Objects that were written, and their bytes.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl<'a> Transfer<'a> {
    /// From one store into another.
    pub fn new(from: &'a Bucket, to: &'a Bucket, segment_len: u64) -> Self {
        Self { from, to, segment_len, done: BTreeSet::new(), objects: 0, bytes: 0 }
    }

    /// Takes over the object that a slice lies in, and says where its records lie then. A segment is checked and gets its index;
    /// one that is longer than a full one becomes several.
    pub async fn take(&mut self, whose: &Whose, slice: &Slice) -> Result<Vec<Laid>, Error> {
        let tile = &slice.candidate.tile;
        let damaged = |reason: String| Error::damaged(&tile.name, reason);
        let base_offset = u64::try_from(tile.first).map_err(|_| damaged("a negative offset".to_owned()))?;
        if matches!(tile.place, Place::Segment { .. }) {
            let size = size_of(self.from, tile.side, &tile.name).await?;
            return match size <= self.segment_len {
                true => Ok(vec![self.segment(whose, slice, base_offset, size).await?]),
                false => self.cut_segment(whose, slice, size).await,
            };
        }
        if !self.done.contains(&tile.name) {
            let size = size_of(self.from, tile.side, &tile.name).await?;
            let parts = in_parts(self.from, tile.side, &tile.name, size, OBJECT_LEN_MAX).await?;
            self.write(&tile.name, Body::new(parts)).await?;
        }
        let fits = u32::try_from(tile.start).ok().zip(u32::try_from(tile.len).ok());
        let (position, len) = fits.ok_or_else(|| damaged("it is too long".to_owned()))?;
        let (place, max_timestamp) = (tile.place, tile.max_timestamp);
        Ok(vec![Laid::Extent { base_offset, place, position, len, max_timestamp }])
    }

    /// As it is.
    async fn segment(&mut self, whose: &Whose, slice: &Slice, base_offset: u64, size: u64) -> Result<Laid, Error> {
        let tile = &slice.candidate.tile;
        let damaged = |reason: String| Error::damaged(&tile.name, reason);
        let bytes = whole(self.from, tile.side, &tile.name, size, kfs::LEN_MAX).await?;
        let segment = kfs::parse(&bytes).map_err(|error| damaged(error.to_string()))?;
        let crc = kfs::checksum(&bytes);
        require_published(slice, crc)?;
        let len = u32::try_from(bytes.len()).map_err(|_| damaged("it is too long".to_owned()))?;
        self.write(&file_name(whose, base_offset, File::Kfs)?, Body::from(bytes)).await?;
        self.write(&file_name(whose, base_offset, File::Index)?, Body::from(index_of(&segment.batches))).await?;
        let max_timestamp = segment.sum.max_timestamp.unwrap_or(i64::MIN);
        Ok(Laid::Segment { base_offset, len, crc, records: segment.header.records, max_timestamp })
    }

    /// As several, none of which is longer than a full one unless one batch is. It is read twice: nothing is written before all of
    /// it was checked.
    async fn cut_segment(&mut self, whose: &Whose, slice: &Slice, size: u64) -> Result<Vec<Laid>, Error> {
        let tile = &slice.candidate.tile;
        let mut cuts = Cuts::new(self.segment_len);
        let checked = look(self.from, tile.side, &tile.name, size, &mut |_, bytes| cuts.note(bytes)).await?;
        require_published(slice, checked.crc)?;
        let mut ends = cuts.at.into_iter().chain([tile.end]);
        let (mut laid, mut first) = (Vec::new(), tile.first);
        let mut end = ends.next().unwrap_or(tile.end);
        let open = |first, end| kfs::Writer::new(first, end, checked.header.created_ms);
        let (mut writer, mut chunks) = (open(first, end), Chunks::of(self.from, tile));
        while let Some(mut bytes) = chunks.next().await? {
            loop {
                let row = bytes.split_to(bytes_before(&bytes, end));
                if !row.is_empty() {
                    writer.push(row).map_err(|error| Error::damaged(&tile.name, error))?;
                }
                if bytes.is_empty() {
                    break;
                }
                laid.push(self.close(whose, tile, first, writer).await?);
                first = end;
                end = ends.next().unwrap_or(tile.end);
                writer = open(first, end);
            }
        }
        laid.push(self.close(whose, tile, first, writer).await?);
        Ok(laid)
    }

    async fn close(&mut self, whose: &Whose, tile: &Tile, first: i64, writer: kfs::Writer) -> Result<Laid, Error> {
        let written = writer.finish().map_err(|error| Error::damaged(&tile.name, error))?;
        let base_offset = u64::try_from(first).map_err(|_| Error::damaged(&tile.name, "a negative offset"))?;
        let kfs::Written { pieces, index, len, crc, records, max_timestamp } = written;
        self.write(&file_name(whose, base_offset, File::Kfs)?, Body::new(pieces)).await?;
        self.write(&file_name(whose, base_offset, File::Index)?, Body::from(index)).await?;
        Ok(Laid::Segment { base_offset, len, crc, records, max_timestamp })
    }

    async fn write(&mut self, name: &str, body: Body) -> Result<(), Error> {
        self.to.create(Side::Data, name, &body).await?;
        self.objects += 1;
        self.bytes += body.len();
        self.done.insert(name.to_owned());
        Ok(())
    }
}

fn file_name(whose: &Whose, base_offset: u64, file: File) -> Result<String, Error> {
    let namespace = path_namespace(&whose.namespace);
    let namespace = namespace.ok_or_else(|| Error::damaged(&whose.topic, "a reserved namespace"))?;
    Ok(names::segment(namespace, &whose.topic, whose.partition, base_offset, file))
}

/// Fails if another file was published than the one with this checksum.
fn require_published(slice: &Slice, crc: u32) -> Result<(), Error> {
    let Candidate { tile, kfs, .. } = &slice.candidate;
    match kfs.and_then(|kfs| kfs.crc).is_none_or(|published| published == crc) {
        true => Ok(()),
        false => Err(Error::damaged(&tile.name, format!("the file has checksum {crc:08x}, another one was published"))),
    }
}

/// Where a long segment is cut: the offsets that all but the first part begin with.
struct Cuts {
    len_max: u64,
    len: u64,
    at: Vec<i64>,
}

impl Cuts {
    fn new(len_max: u64) -> Self {
        Self { len_max, len: EDGES, at: Vec::new() }
    }

    fn note(&mut self, bytes: &[u8]) {
        for batch in batches(bytes).flatten() {
            let len = batch.bytes().len() as u64;
            if self.len > EDGES && self.len + len > self.len_max {
                self.at.push(batch.header().base_offset);
                self.len = EDGES;
            }
            self.len += len;
        }
    }
}

/// Bytes of the batches that begin before an offset.
fn bytes_before(bytes: &[u8], offset: i64) -> usize {
    let before = batches(bytes).flatten().take_while(|batch| batch.header().base_offset < offset);
    before.map(|batch| batch.bytes().len()).sum()
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
