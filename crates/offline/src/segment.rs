//! One segment's file, looked through in pieces: no more of it is in memory than one of them, however long it is.

use bytes::Bytes;
use kafscale_segment::kfs;
use kafscale_state::Place;

use crate::{Bucket, Error, Side, chunks::Chunks, tile::Tile};

/// Checks everything in a segment's file of `size` bytes, as [`kfs::parse`] does. `visit` sees rows of whole batches, each with
/// its first byte in the file.
pub async fn look(
    bucket: &Bucket,
    side: Side,
    name: &str,
    size: u64,
    visit: &mut (dyn FnMut(u64, &Bytes) + Send),
) -> Result<kfs::Checked, Error> {
    let damaged = |error: kfs::Error| Error::damaged(name, error);
    if size > kfs::LEN_MAX {
        return Err(Error::damaged(name, format!("{size} bytes are more than it can have")));
    }
    let front = edge(bucket, side, name, 0, kfs::HEADER_LEN).await?;
    kfs::Header::parse(&front).map_err(damaged)?;
    let both = (kfs::HEADER_LEN + kfs::FOOTER_LEN) as u64;
    if size <= both {
        return Err(damaged(kfs::Error::Truncated { len: size }));
    }
    let end = edge(bucket, side, name, size - kfs::FOOTER_LEN as u64, kfs::FOOTER_LEN).await?;
    let mut checker = kfs::Checker::new(&front, &end).map_err(damaged)?;
    let tile = whole_file(side, name, size - both);
    let (mut chunks, mut at) = (Chunks::of(bucket, &tile), tile.start);
    while let Some(row) = chunks.next().await? {
        checker.push(&row).map_err(damaged)?;
        visit(at, &row);
        at += row.len() as u64;
    }
    checker.finish().map_err(damaged)
}

/// All batches of a file, whatever their offsets.
fn whole_file(side: Side, name: &str, len: u64) -> Tile {
    Tile {
        place: Place::Segment { partition: 0, base_offset: 0 },
        side,
        name: name.to_owned(),
        start: kfs::HEADER_LEN as u64,
        len,
        first: 0,
        end: i64::MAX,
        max_timestamp: i64::MAX,
    }
}

async fn edge(bucket: &Bucket, side: Side, name: &str, start: u64, len: usize) -> Result<Bytes, Error> {
    let bytes = bucket.get(side, name, start, len as u64).await?;
    bytes.ok_or_else(|| Error::Missing(name.to_owned()))
}
