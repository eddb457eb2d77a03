//! What flushes wrote lies in many small pieces, so they are read ahead of the writing, many at once.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use kafscale_state::Place;

use super::{PartitionPlan, cover::Slice};
use crate::{Bucket, Error, chunks::Chunks, tile::Tile};

/// Pieces that are read at once, and their bytes.
const AT_ONCE: usize = 64;
const BYTES_AT_ONCE: u64 = 64 << 20;
/// A longer one is read when its turn comes, a part at a time.
const PIECE_MAX: u64 = 4 << 20;

/// The batches of a piece, as far as they can be read.
#[derive(Debug, Default)]
pub struct Rows {
    /// Whole batches with their offsets.
    pub chunks: VecDeque<Bytes>,
    /// Why there are no more.
    pub damaged: Option<String>,
}

/// See the module. Pieces are taken in the order of partitions and slices.
pub struct Ahead<'a> {
    from: &'a Bucket,
    to: &'a Bucket,
    partitions: &'a [PartitionPlan],
    /// Partition and slice of what is to be read, in order.
    wanted: VecDeque<(usize, usize)>,
    running: FuturesOrdered<BoxFuture<'a, Result<Rows, Error>>>,
    lens: VecDeque<u64>,
}

/// Whether a slice is read ahead.
pub fn is_small(slice: &Slice) -> bool {
    let Tile { place, len, .. } = &slice.candidate.tile;
    matches!(place, Place::LogFrame { .. } | Place::Data { .. }) && *len <= PIECE_MAX
}

async fn read<'a>(bucket: &'a Bucket, tile: &'a Tile) -> Result<Rows, Error> {
    let (mut rows, mut chunks) = (Rows::default(), Chunks::lenient(bucket, tile));
    loop {
        match chunks.next().await {
            Ok(Some(bytes)) => rows.chunks.push_back(bytes),
            Ok(None) => return Ok(rows),
            Err(Error::Damaged { reason, .. } | Error::Missing(reason)) => {
                rows.damaged = Some(reason);
                return Ok(rows);
            }
            Err(error) => return Err(error),
        }
    }
}

impl<'a> Ahead<'a> {
    /// Reads small pieces of these partitions, elsewhere or here.
    pub fn new(from: &'a Bucket, to: &'a Bucket, partitions: &'a [PartitionPlan]) -> Self {
        let mut wanted = VecDeque::new();
        for (index, partition) in partitions.iter().enumerate() {
            let small = partition.cover.slices.iter().enumerate().filter(|(_, slice)| is_small(slice));
            wanted.extend(small.map(|(slice, _)| (index, slice)));
        }
        Self { from, to, partitions, wanted, running: FuturesOrdered::new(), lens: VecDeque::new() }
    }

    /// The next piece.
    pub async fn next(&mut self) -> Result<Rows, Error> {
        while self.running.len() < AT_ONCE
            && let Some((partition, slice)) = self.wanted.front().copied()
        {
            let partition = &self.partitions[partition];
            let tile = &partition.cover.slices[slice].candidate.tile;
            let fits = self.lens.iter().sum::<u64>() + tile.len <= BYTES_AT_ONCE;
            if !fits && !self.running.is_empty() {
                break;
            }
            let bucket = if partition.is_elsewhere { self.from } else { self.to };
            self.running.push_back(read(bucket, tile).boxed());
            self.lens.push_back(tile.len);
            self.wanted.pop_front();
        }
        self.lens.pop_front();
        self.running.next().await.unwrap_or_else(|| Ok(Rows::default()))
    }
}
