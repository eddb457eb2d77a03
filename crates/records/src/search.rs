//! Which record of a batch has a time: what ListOffsets asks.
//!
//! The answers are Apache Kafka's: records are looked at in offset order, whatever order their timestamps are in, and a batch
//! whose header promises nothing late enough is not opened. Compressed records are streamed, so that a search holds no more
//! than the codec's window however far a batch expands; beyond `limit` decompressed bytes it is refused.

use crate::{
    Batch, BatchError, Header, TimestampType,
    places::{Passed, Places},
    record::Place,
};

/// A record found by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, Unix milliseconds.
    pub timestamp: i64,
}

/// The first record of the batch, at `from_offset` or later, whose timestamp is `timestamp` or later.
pub fn first_at_or_after(
    batch: &Batch<'_>,
    timestamp: i64,
    from_offset: i64,
    limit: u64,
) -> Result<Option<Found>, BatchError> {
    let header = batch.header();
    if header.max_timestamp < timestamp || header.last_offset() < from_offset {
        return Ok(None);
    }
    if header.attributes.timestamp_type() == TimestampType::LogAppendTime && from_offset <= header.base_offset {
        return Ok(first_of(header));
    }
    let mut places = Places::new(batch, limit)?;
    while let Some(Passed { place, .. }) = places.next()? {
        if place.timestamp >= timestamp && place.offset >= from_offset {
            return Ok(Some(place.into()));
        }
    }
    Ok(None)
}

/// Of the batch's records at `from_offset` or later, the first one that has the greatest timestamp.
pub fn max_timestamp(batch: &Batch<'_>, from_offset: i64, limit: u64) -> Result<Option<Found>, BatchError> {
    let header = batch.header();
    if header.last_offset() < from_offset {
        return Ok(None);
    }
    if header.attributes.timestamp_type() == TimestampType::LogAppendTime && from_offset <= header.base_offset {
        return Ok(first_of(header));
    }
    let mut places = Places::new(batch, limit)?;
    let mut latest: Option<Found> = None;
    while let Some(Passed { place, .. }) = places.next()? {
        if place.offset >= from_offset && latest.is_none_or(|latest| place.timestamp > latest.timestamp) {
            latest = Some(place.into());
        }
    }
    Ok(latest)
}

/// With the broker's time all records have the same one, so the first answers.
fn first_of(header: &Header) -> Option<Found> {
    (header.record_count > 0).then_some(Found { offset: header.base_offset, timestamp: header.max_timestamp })
}

impl From<Place> for Found {
    fn from(place: Place) -> Self {
        Self { offset: place.offset, timestamp: place.timestamp }
    }
}

#[cfg(test)]
mod tests;
