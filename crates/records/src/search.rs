//! Which record of a batch has a time: what ListOffsets asks; and which have no key: what compaction asks.
//!
//! The answers are Apache Kafka's: records are looked at in offset order, whatever order their timestamps are in, and a batch
//! whose header promises nothing late enough is not opened. Compressed records are streamed, so that a search holds no more
//! than the codec's window however far a batch expands; beyond `limit` decompressed bytes it is refused.

use std::io::{self, BufRead, BufReader, Read};

use crate::{
    Batch, BatchError, Codec, Header, TimestampType,
    record::Place,
    varint::{self, Overlong},
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

/// The indexes within the batch of the first `most` records that have no key.
pub fn keyless(batch: &Batch<'_>, most: usize, limit: u64) -> Result<Vec<u32>, BatchError> {
    let mut places = Places::new(batch, limit)?;
    let mut found = Vec::new();
    while found.len() < most {
        let index = places.index;
        match places.next()? {
            None => break,
            Some(place) if !place.has_key => found.push(index),
            Some(_) => {}
        }
    }
    Ok(found)
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

/// A record that was passed over.
struct Passed {
    place: Place,
    has_key: bool,
}

/// The places of a batch's records as a stream: keys, values and headers are passed over.
struct Places<'a> {
    header: Header,
    codec: Codec,
    stream: BufReader<io::Take<Box<dyn Read + 'a>>>,
    limit: u64,
    index: u32,
}

impl<'a> Places<'a> {
    fn new(batch: &Batch<'a>, limit: u64) -> Result<Self, BatchError> {
        let header = *batch.header();
        let codec = header.attributes.codec()?;
        let reader = codec.reader(batch.payload(), limit).map_err(|_| BatchError::Corrupt { codec })?;
        Ok(Self { header, codec, stream: BufReader::new(reader.take(limit)), limit, index: 0 })
    }

    fn next(&mut self) -> Result<Option<Passed>, BatchError> {
        if i64::from(self.index) >= i64::from(self.header.record_count) {
            return Ok(None);
        }
        let passed = self.read().map_err(|fault| match fault {
            _ if self.stream.get_ref().limit() == 0 => BatchError::TooLarge { limit: self.limit },
            Fault::Codec => BatchError::Corrupt { codec: self.codec },
            Fault::Record => BatchError::Record { index: self.index },
        })?;
        self.index += 1;
        Ok(Some(passed))
    }

    fn read(&mut self) -> Result<Passed, Fault> {
        let length = varint::read_i32(|| self.byte())?;
        let mut left = u64::try_from(length).map_err(|_| Fault::Record)?;
        let mut byte = || {
            left = left.checked_sub(1).ok_or(Fault::Record)?;
            self.byte()
        };
        let _attributes = byte()?;
        let timestamp_delta = varint::read_i64(&mut byte)?;
        let offset_delta = varint::read_i32(&mut byte)?;
        let key_length = varint::read_i32(&mut byte)?;
        self.skip(left)?;
        let place = Place::new(&self.header, timestamp_delta, offset_delta).ok_or(Fault::Record)?;
        Ok(Passed { place, has_key: key_length >= 0 })
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        let byte = *self.stream.fill_buf()?.first().ok_or(Fault::Record)?;
        self.stream.consume(1);
        Ok(byte)
    }

    fn skip(&mut self, mut left: u64) -> Result<(), Fault> {
        while left > 0 {
            let have = self.stream.fill_buf()?.len();
            if have == 0 {
                return Err(Fault::Record);
            }
            let step = have.min(usize::try_from(left).unwrap_or(usize::MAX));
            self.stream.consume(step);
            left -= step as u64;
        }
        Ok(())
    }
}

/// Why the next record cannot be read.
enum Fault {
    /// The codec refuses the bytes.
    Codec,
    /// They decompress, but are no record.
    Record,
}

impl From<Overlong> for Fault {
    fn from(_: Overlong) -> Self {
        Self::Record
    }
}

impl From<io::Error> for Fault {
    fn from(_: io::Error) -> Self {
        Self::Codec
    }
}

#[cfg(test)]
mod tests;
