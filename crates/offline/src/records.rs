//! The records of a partition, or of one object, one after the other.

use kafscale_records::{BatchError, Header, Record, batches, check};

use crate::{Bucket, Error, chunks::Chunks, tile::Tile};

/// The most that one compressed batch may become: far above what a broker takes in.
const OPENED_MAX: usize = 1 << 30;

/// Shows `visit` the records of these tiles with offsets in `from..until`, in order, until it returns false. Whether it never
/// did. Markers of transactions are no records.
pub async fn visit(
    bucket: &Bucket,
    tiles: &[Tile],
    from: i64,
    until: i64,
    visit: &mut (dyn FnMut(&Header, &Record<'_>) -> bool + Send),
) -> Result<bool, Error> {
    for tile in tiles.iter().filter(|tile| tile.end > from && tile.first < until) {
        let mut chunks = Chunks::from(bucket, tile, from).await?;
        while let Some(bytes) = chunks.next().await? {
            for batch in batches(&bytes) {
                let wrong = |error: kafscale_records::BatchError| Error::damaged(&tile.name, error);
                let batch = batch.map_err(wrong)?;
                let header = batch.header();
                if header.base_offset >= until {
                    break;
                }
                if header.last_offset() < from || header.attributes.is_control() {
                    continue;
                }
                for record in batch.open(OPENED_MAX).map_err(wrong)?.records() {
                    let record = record.map_err(wrong)?;
                    if (from..until).contains(&record.offset) && !visit(header, &record) {
                        return Ok(false);
                    }
                }
            }
        }
    }
    Ok(true)
}

/// Batches that hold something else than the records that their headers speak of, though their checksums are right: no reader
/// gets past them.
pub fn unreadable(bytes: &[u8]) -> impl Iterator<Item = (Header, BatchError)> {
    let whole = batches(bytes).flatten();
    whole.filter_map(|batch| Some((*batch.header(), check(&batch, 0, OPENED_MAX as u64).err()?)))
}

/// The offset of the first record that is not older than a time in Unix milliseconds. Of a tile that is gone or damaged before
/// one was found it is the first offset: such a record may have been in it.
pub async fn at_time(bucket: &Bucket, tiles: &[Tile], ms: i64) -> Result<Option<i64>, Error> {
    for tile in tiles.iter().filter(|tile| tile.max_timestamp >= ms) {
        let mut found = None;
        let all = std::slice::from_ref(tile);
        let mut look = |_: &Header, record: &Record<'_>| {
            found = (record.timestamp >= ms).then_some(record.offset);
            found.is_none()
        };
        match visit(bucket, all, tile.first, tile.end, &mut look).await {
            Err(Error::Damaged { .. } | Error::Missing(_)) => return Ok(found.or(Some(tile.first))),
            visited => visited?,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
