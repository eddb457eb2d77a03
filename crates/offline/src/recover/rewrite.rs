//! Records that cannot stay where they lie become part of new merged objects: those in frames, which belong to a life of the
//! log that is over, and those of which only a part is wanted.

use bytes::{Bytes, BytesMut};
use kafscale_records::{Batch, batches};
use kafscale_segment::{
    kfs, merged as format,
    names::{self, MergedId},
};
use kafscale_state::{Handle, Merged, Place, producer::WindowRun, rebuild::Laid};
use kafscale_store::Body;

use super::{
    ahead::Rows,
    cover::{Candidate, Slice},
};
use crate::{Bucket, Error, Side, chunks::Chunks};

/// Bytes of batches in one object.
const OBJECT_LEN: u64 = 64 << 20;

/// Whose records are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    /// The partition's number.
    pub handle: Handle,
    /// The topic's id.
    pub topic_id: u128,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub topic: String,
    /// The partition's index.
    pub partition: u32,
}

/// A run of a producer behind what the log knew.
#[derive(Debug, Clone, Copy)]
pub struct Wrote {
    /// Its id.
    pub pid: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Where.
    pub run: WindowRun,
}

/// What became of a slice.
#[derive(Debug, Default)]
pub struct Done {
    /// Where its records lie now.
    pub laid: Vec<Laid>,
    /// What producers wrote there behind what was known.
    pub wrote: Vec<Wrote>,
    /// From here on it could not be read, and why.
    pub damaged: Option<(i64, String)>,
}

/// The batches of a slice.
pub enum Batches<'a> {
    /// They were read ahead.
    Read(Rows),
    /// They are read now.
    Stream(Chunks<'a>),
}

impl<'a> Batches<'a> {
    /// Those of a slice, from a store.
    pub fn of(from: &'a Bucket, slice: &'a Slice) -> Self {
        Self::Stream(Chunks::lenient(from, &slice.candidate.tile))
    }

    /// The next ones, or why they cannot be read.
    async fn next(&mut self) -> Result<Result<Option<Bytes>, String>, Error> {
        match self {
            Self::Read(rows) => Ok(match rows.chunks.pop_front() {
                Some(bytes) => Ok(Some(bytes)),
                None => rows.damaged.take().map_or(Ok(None), Err),
            }),
            Self::Stream(chunks) => match chunks.next().await {
                Ok(bytes) => Ok(Ok(bytes)),
                Err(Error::Damaged { reason, .. } | Error::Missing(reason)) => Ok(Err(reason)),
                Err(error) => Err(error),
            },
        }
    }
}

/// See the module.
pub struct Rewriter<'a> {
    bucket: &'a Bucket,
    cluster: u128,
    session: u64,
    number: u64,
    open: Option<Open>,
    /// Objects that were written.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

struct Open {
    header: format::Header,
    pieces: Vec<Bytes>,
    at: u64,
    parts: Vec<format::Part>,
}

impl<'a> Rewriter<'a> {
    /// Writes as this session, which nobody else is.
    pub fn new(bucket: &'a Bucket, cluster: u128, session: u64) -> Self {
        Self { bucket, cluster, session, number: 0, open: None, objects: 0, bytes: 0 }
    }

    /// Lets a slice stay where it is, once its bytes were compared; producers that wrote behind `known_end` are told of.
    pub async fn keep(&mut self, from: &Bucket, slice: &Slice, known_end: i64) -> Result<Done, Error> {
        let Candidate { tile, is_known, kfs, .. } = &slice.candidate;
        let mut done = Done::default();
        let (mut max_timestamp, mut crc) = (tile.max_timestamp, kfs.and_then(|kfs| kfs.crc));
        if !is_known || slice.until > known_end {
            let (mut sum, mut greatest) = (kfs::Checksum::default(), i64::MIN);
            if kfs.is_some() {
                sum.update(&edge(from, slice, 0, kfs::HEADER_LEN as u64).await?);
            }
            let mut chunks = Chunks::of(from, tile);
            loop {
                let bytes = match chunks.next().await {
                    Ok(Some(bytes)) => bytes,
                    Ok(None) => break,
                    Err(Error::Damaged { reason, .. } | Error::Missing(reason)) => {
                        done.damaged = Some((tile.first, reason));
                        return Ok(done);
                    }
                    Err(error) => return Err(error),
                };
                sum.update(&bytes);
                for batch in batches(&bytes).flatten() {
                    greatest = greatest.max(batch.header().max_timestamp);
                    note(&batch, known_end, &mut done.wrote);
                }
            }
            if kfs.is_some() {
                sum.update(&edge(from, slice, tile.bytes_end(), kfs::FOOTER_LEN as u64).await?);
                crc = crc.or(Some(sum.finish()));
            }
            max_timestamp = max_timestamp.min(greatest);
        }
        let base_offset = tile.first as u64;
        done.laid.push(match kfs {
            Some(kfs) => {
                let (len, records) = (kfs.len, kfs.records);
                Laid::Segment { base_offset, len, crc: crc.unwrap_or(0), records, max_timestamp }
            }
            None => {
                let (position, len) = (to_u32(tile.start, &tile.name)?, to_u32(tile.len, &tile.name)?);
                Laid::Extent { base_offset, place: tile.place, position, len, max_timestamp }
            }
        });
        Ok(done)
    }

    /// Writes the records of a slice anew.
    pub async fn rewrite(
        &mut self,
        whose: &Whose,
        slice: &Slice,
        mut rows: Batches<'_>,
        known_end: i64,
    ) -> Result<Done, Error> {
        let mut done = Done::default();
        let (mut row, mut next, mut greatest) = (BytesMut::new(), slice.from, i64::MIN);
        let mut base = slice.from;
        loop {
            let bytes = match rows.next().await? {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                Err(reason) => {
                    done.damaged = Some((next, reason));
                    break;
                }
            };
            for batch in batches(&bytes).flatten() {
                let header = batch.header();
                if header.base_offset < slice.from || header.next_offset() > slice.until {
                    continue;
                }
                if !row.is_empty() && format::is_full(base, row.len() + batch.bytes().len(), header.next_offset()) {
                    let rows = std::mem::take(&mut row).freeze();
                    done.laid.push(self.add(whose, (base, next), rows, greatest).await?);
                    (base, greatest) = (next, i64::MIN);
                }
                note(&batch, known_end, &mut done.wrote);
                row.extend_from_slice(batch.bytes());
                next = header.next_offset();
                greatest = greatest.max(header.max_timestamp);
            }
        }
        if !row.is_empty() {
            let end = if done.damaged.is_some() { next } else { slice.until };
            done.laid.push(self.add(whose, (base, end), row.freeze(), greatest).await?);
        }
        Ok(done)
    }

    /// An empty batch that stands for offsets which hold nothing, so that consumers get past them.
    pub async fn fill(&mut self, whose: &Whose, from: i64, until: i64) -> Result<Vec<Laid>, Error> {
        let (mut laid, mut at) = (Vec::new(), from);
        while at < until {
            let end = until.min(at + i64::from(i32::MAX));
            laid.push(self.add(whose, (at, end), empty_batch(at, end), i64::MIN).await?);
            at = end;
        }
        Ok(laid)
    }

    async fn add(
        &mut self,
        whose: &Whose,
        (first, end): (i64, i64),
        batches: Bytes,
        max_timestamp: i64,
    ) -> Result<Laid, Error> {
        if self.open.as_ref().is_some_and(|open| open.at + batches.len() as u64 > OBJECT_LEN) {
            self.close().await?;
        }
        let (session, number, cluster) = (self.session, self.number, self.cluster);
        let nonce = self.bucket.runtime().random_u64();
        let open = self.open.get_or_insert_with(|| {
            let header = format::Header { cluster, id: MergedId { level: 1, session, number, nonce } };
            let front = header.encode();
            Open { header, at: front.len() as u64, pieces: vec![front], parts: Vec::new() }
        });
        let MergedId { level, session, number, nonce } = open.header.id;
        let place = Place::Merged(Merged { store: 0, level, session, number, nonce });
        let (position, len) = (to_u32(open.at, "a merged object")?, to_u32(batches.len() as u64, "a batch")?);
        let continues = open.parts.last().is_some_and(|part| {
            part.handle == whose.handle && part.extents.last().is_some_and(|last| last.end == first)
        });
        if !continues {
            let Whose { handle, topic_id, namespace, topic, partition } = whose.clone();
            let extents = Vec::new();
            open.parts.push(format::Part { topic_id, namespace, topic, partition, handle, first, position, extents });
        }
        if let Some(part) = open.parts.last_mut() {
            part.extents.push(format::Extent { end, bytes: len, max_timestamp });
        }
        open.at += batches.len() as u64;
        open.pieces.push(batches);
        Ok(Laid::Extent { base_offset: first as u64, place, position, len, max_timestamp })
    }

    /// Writes what is open.
    pub async fn close(&mut self) -> Result<(), Error> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        open.pieces.push(format::tail(&open.header, &open.parts));
        let body = Body::new(open.pieces);
        self.bucket.create(Side::Data, &names::merged(self.cluster, &open.header.id), &body).await?;
        self.number += 1;
        self.objects += 1;
        self.bytes += body.len();
        Ok(())
    }
}

async fn edge(from: &Bucket, slice: &Slice, start: u64, len: u64) -> Result<Bytes, Error> {
    let tile = &slice.candidate.tile;
    let bytes = from.get(tile.side, &tile.name, start, len).await?;
    bytes.ok_or_else(|| Error::Missing(tile.name.clone()))
}

fn to_u32(number: u64, name: &str) -> Result<u32, Error> {
    u32::try_from(number).map_err(|_| Error::damaged(name, "it is too long"))
}

fn note(batch: &Batch<'_>, known_end: i64, wrote: &mut Vec<Wrote>) {
    let header = batch.header();
    let Ok(records) = u32::try_from(header.last_offset_delta.saturating_add(1)) else { return };
    if header.base_offset >= known_end && header.producer_id >= 0 {
        let run = WindowRun { base_offset: header.base_offset, base_sequence: header.base_sequence, records };
        wrote.push(Wrote { pid: header.producer_id, epoch: header.producer_epoch, run });
    }
}

/// A batch without records, as cleaning leaves them.
fn empty_batch(from: i64, until: i64) -> Bytes {
    let last_offset_delta = i32::try_from(until - from - 1).expect("the caller cuts longer gaps");
    let mut bytes = Vec::with_capacity(kafscale_records::HEADER_LEN);
    bytes.extend_from_slice(&from.to_be_bytes());
    bytes.extend_from_slice(&((kafscale_records::HEADER_LEN - 12) as i32).to_be_bytes());
    bytes.extend_from_slice(&0i32.to_be_bytes());
    bytes.push(kafscale_records::MAGIC as u8);
    let mut covered = Vec::new();
    covered.extend_from_slice(&0i16.to_be_bytes());
    covered.extend_from_slice(&last_offset_delta.to_be_bytes());
    // Neither base nor max timestamp.
    covered.extend_from_slice(&[(-1i64).to_be_bytes(), (-1i64).to_be_bytes()].concat());
    covered.extend_from_slice(&(-1i64).to_be_bytes());
    covered.extend_from_slice(&(-1i16).to_be_bytes());
    covered.extend_from_slice(&(-1i32).to_be_bytes());
    covered.extend_from_slice(&0i32.to_be_bytes());
    bytes.extend_from_slice(&kfs::checksum(&covered).to_be_bytes());
    bytes.extend_from_slice(&covered);
    Bytes::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_batch_is_a_batch() {
        let bytes = empty_batch(100, 1_000_100);
        let batch = Batch::parse(&bytes).expect("it is one");
        assert_eq!(batch.verify_crc(), Ok(()));
        assert_eq!((batch.header().base_offset, batch.header().next_offset()), (100, 1_000_100));
        assert_eq!((batch.header().record_count, batch.bytes().len()), (0, bytes.len()));
    }
}
