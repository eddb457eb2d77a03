//! The batches of a tile in pieces of a few MiB: whole batches, compared with their checksums, with their offsets.
//!
//! A tile may be a segment of 2 GiB; no more of it is in memory than one piece, or one batch if that is larger.

use bytes::{Bytes, BytesMut};
use kafscale_records::{Batch, HEADER_LEN, Header, edit};
use kafscale_segment::{index, names::File};
use kafscale_state::Place;

use crate::{Bucket, Error, Side, tile::Tile};

/// Bytes of one read, unless one batch has more.
const PIECE: u64 = 4 << 20;
/// A segment below this is read from its start rather than by its index.
const INDEX_FROM: u64 = 8 << 20;
/// The longest index that is read.
const INDEX_LEN_MAX: u64 = 512 << 20;

/// See the module.
pub struct Chunks<'a> {
    bucket: &'a Bucket,
    tile: &'a Tile,
    /// The next byte of the object to read.
    at: u64,
    /// What was read of the batch that was cut.
    rest: Bytes,
    /// Offsets below it are behind us.
    next: i64,
    /// Whether the tile must end exactly where its batches do.
    exact: bool,
}

impl<'a> Chunks<'a> {
    /// All batches of a tile.
    pub fn of(bucket: &'a Bucket, tile: &'a Tile) -> Self {
        let exact = !tile.place.has_offsets();
        Self { bucket, tile, at: tile.start, rest: Bytes::new(), next: tile.first, exact }
    }

    /// The same of a tile behind whose last batch offsets may be missing, whatever kind of object it is in.
    pub fn lenient(bucket: &'a Bucket, tile: &'a Tile) -> Self {
        Self { exact: false, ..Self::of(bucket, tile) }
    }

    /// From about `offset` on: of a large segment its index tells where to begin.
    pub async fn from(bucket: &'a Bucket, tile: &'a Tile, offset: i64) -> Result<Self, Error> {
        let mut chunks = Self::of(bucket, tile);
        if matches!(tile.place, Place::Segment { .. }) && tile.len >= INDEX_FROM && offset > tile.first {
            let name = index_name(&tile.name);
            let bytes = bucket.get_small(Side::Data, &name, INDEX_LEN_MAX).await?;
            // Without a good one it is read from its start.
            let entries = bytes.and_then(|bytes| index::parse(&bytes).ok()).unwrap_or_default();
            let before = entries.partition_point(|entry| entry.offset <= offset);
            if let Some(entry) = before.checked_sub(1).map(|index| entries[index])
                && (tile.start..tile.bytes_end()).contains(&u64::from(entry.position))
            {
                (chunks.at, chunks.next) = (u64::from(entry.position), entry.offset.max(tile.first));
            }
        }
        Ok(chunks)
    }

    /// The next piece; none behind the last one.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let left = self.tile.bytes_end() - self.at;
            let whole = self.whole_batches()?;
            if whole > 0 {
                let piece = self.rest.split_to(whole);
                return self.place(piece).map(Some);
            }
            if left == 0 {
                return self.finish();
            }
            let need = match Header::parse(&self.rest) {
                Ok(header) => header.size().saturating_sub(self.rest.len() as u64),
                Err(_) => 0,
            };
            if need > left {
                return Err(self.damaged(format!("the batch at byte {} ends behind its extent", self.batch_at())));
            }
            let len = need.max(PIECE).min(left);
            let name = &self.tile.name;
            let bytes = self.bucket.get(self.tile.side, name, self.at, len).await?;
            let bytes = bytes.ok_or_else(|| Error::Missing(name.clone()))?;
            if (bytes.len() as u64) < len {
                return Err(self.damaged(format!("it ends at byte {}", self.at + bytes.len() as u64)));
            }
            self.at += len;
            self.rest = if self.rest.is_empty() { bytes } else { Bytes::from([&self.rest[..], &bytes[..]].concat()) };
        }
    }

    fn batch_at(&self) -> u64 {
        self.at - self.rest.len() as u64
    }

    /// Bytes of the whole batches that were read and not yet given.
    fn whole_batches(&self) -> Result<usize, Error> {
        let mut len = 0;
        while self.rest.len() - len >= HEADER_LEN {
            let header = Header::parse(&self.rest[len..])
                .map_err(|error| self.damaged(format!("batch at byte {}: {error}", self.batch_at() + len as u64)))?;
            match usize::try_from(header.size()).ok().filter(|size| *size <= self.rest.len() - len) {
                Some(size) => len += size,
                None => break,
            }
        }
        Ok(len)
    }

    fn place(&mut self, piece: Bytes) -> Result<Bytes, Error> {
        let from = self.batch_at() - piece.len() as u64;
        let mut bytes = BytesMut::from(&piece[..]);
        let mut at = 0;
        while at < bytes.len() {
            let wrong = |reason: String| self.damaged(format!("batch at byte {}: {reason}", from + at as u64));
            let batch = Batch::parse(&bytes[at..]).map_err(|error| wrong(error.to_string()))?;
            batch.verify_crc().map_err(|error| wrong(error.to_string()))?;
            let (header, size) = (*batch.header(), batch.bytes().len());
            if header.last_offset_delta < 0 || header.record_count < 0 {
                return Err(wrong("impossible counts".to_owned()));
            }
            let first = if self.tile.place.has_offsets() { header.base_offset } else { self.next };
            let end = first.saturating_add(i64::from(header.last_offset_delta) + 1);
            if first < self.next || end > self.tile.end {
                let (next, until) = (self.next, self.tile.end);
                return Err(wrong(format!("offsets {first} to {} where {next} to {} are due", end - 1, until - 1)));
            }
            if !self.tile.place.has_offsets() {
                edit::set_base_offset(&mut bytes[at..], first);
            }
            self.next = end;
            at += size;
        }
        Ok(bytes.freeze())
    }

    fn finish(&self) -> Result<Option<Bytes>, Error> {
        if !self.rest.is_empty() {
            return Err(self.damaged(format!("the batch at byte {} is cut", self.batch_at())));
        }
        if self.exact && self.next != self.tile.end {
            return Err(self.damaged(format!("its batches end at offset {} instead of {}", self.next, self.tile.end)));
        }
        Ok(None)
    }

    fn damaged(&self, reason: String) -> Error {
        Error::damaged(&self.tile.name, reason)
    }
}

/// The name of a segment's index.
pub fn index_name(kfs: &str) -> String {
    let stem = kfs.strip_suffix(&format!("{}", File::Kfs)).unwrap_or(kfs);
    format!("{stem}{}", File::Index)
}
