//! The records of a batch: opened once, then read one after the other.

use std::borrow::Cow;

use crate::{
    BatchError, Codec, Header, TimestampType,
    varint::{self, Overlong},
};

/// The records of one batch, decompressed.
#[derive(Debug, Clone)]
pub struct Opened<'a> {
    header: Header,
    records: Cow<'a, [u8]>,
}

impl<'a> Opened<'a> {
    pub(crate) fn new(header: Header, payload: &'a [u8], limit: usize) -> Result<Self, BatchError> {
        let records = match header.attributes.codec()? {
            Codec::None => Cow::Borrowed(payload),
            codec => Cow::Owned(codec.decompress(payload, limit)?),
        };
        Ok(Self { header, records })
    }

    /// The records in order. Ends after the last one, or with the first error.
    pub fn records(&self) -> Records<'_> {
        Records { header: self.header, rest: Some(&self.records), index: 0 }
    }
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its time in Unix milliseconds: the producer's, or the batch's where the topic uses the broker's time.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: RecordHeaders<'a>,
}

/// See [`Opened::records`].
#[derive(Debug, Clone)]
pub struct Records<'a> {
    header: Header,
    rest: Option<&'a [u8]>,
    index: u32,
}

/// A record as it is written: what its timestamp is, and what precedes and follows it.
pub(crate) struct Parts<'a> {
    pub attributes: u8,
    pub timestamp_delta: i64,
    pub rest: &'a [u8],
}

impl<'a> Records<'a> {
    /// The bytes of the next record, its length included, and their parts.
    pub(crate) fn next_raw(&mut self) -> Option<Result<(&'a [u8], Parts<'a>), BatchError>> {
        let (before, index) = (self.rest?, self.index);
        if let Err(error) = self.next()? {
            return Some(Err(error));
        }
        let after = self.rest.map_or(0, <[u8]>::len);
        let raw = &before[..before.len() - after];
        let parts = || {
            let mut body = raw;
            let _length = take_i32(&mut body)?;
            let attributes = take_byte(&mut body).ok()?;
            Some(Parts { attributes, timestamp_delta: take_i64(&mut body)?, rest: body })
        };
        Some(parts().map(|parts| (raw, parts)).ok_or(BatchError::Record { index }))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.rest.take()?;
        if i64::from(self.index) >= i64::from(self.header.record_count) {
            let surplus = rest.len() as u64;
            return (surplus != 0).then_some(Err(BatchError::RecordSurplus { surplus }));
        }
        let record = Self::read(&self.header, &mut rest);
        if record.is_some() {
            self.rest = Some(rest);
        }
        let index = self.index;
        self.index += 1;
        Some(record.ok_or(BatchError::Record { index }))
    }
}

impl<'a> Records<'a> {
    fn read(header: &Header, rest: &mut &'a [u8]) -> Option<Record<'a>> {
        let length = take_i32(rest)?;
        let mut body = take(rest, length)?;
        let _attributes = take(&mut body, 1)?;
        let timestamp_delta = take_i64(&mut body)?;
        let offset_delta = take_i32(&mut body)?;
        let place = Place::new(header, timestamp_delta, offset_delta)?;
        let key = take_nullable(&mut body)?;
        let value = take_nullable(&mut body)?;
        let count = u32::try_from(take_i32(&mut body)?).ok()?;
        let headers = RecordHeaders { count, rest: body };
        headers.are_whole().then_some(Record { offset: place.offset, timestamp: place.timestamp, key, value, headers })
    }
}

/// Where a record stands, from its deltas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub offset: i64,
    pub timestamp: i64,
}

impl Place {
    /// None if the offset lies outside the batch.
    pub fn new(header: &Header, timestamp_delta: i64, offset_delta: i32) -> Option<Self> {
        let within = (0..=header.last_offset_delta).contains(&offset_delta);
        within.then(|| Self {
            offset: header.base_offset.saturating_add(i64::from(offset_delta)),
            timestamp: match header.attributes.timestamp_type() {
                TimestampType::CreateTime => header.base_timestamp.saturating_add(timestamp_delta),
                TimestampType::LogAppendTime => header.max_timestamp,
            },
        })
    }
}

/// The headers of a record, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordHeaders<'a> {
    count: u32,
    rest: &'a [u8],
}

impl RecordHeaders<'_> {
    /// How many are left.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn are_whole(mut self) -> bool {
        while self.count > 0 {
            if self.step().is_none() {
                return false;
            }
        }
        self.rest.is_empty()
    }
}

impl<'a> RecordHeaders<'a> {
    fn step(&mut self) -> Option<RecordHeader<'a>> {
        self.count = self.count.checked_sub(1)?;
        let key = take_nullable(&mut self.rest)??;
        let value = take_nullable(&mut self.rest)?;
        Some(RecordHeader { key, value })
    }
}

impl<'a> Iterator for RecordHeaders<'a> {
    type Item = RecordHeader<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step()
    }
}

/// One header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader<'a> {
    /// Its key, meant to be UTF-8.
    pub key: &'a [u8],
    /// Its value.
    pub value: Option<&'a [u8]>,
}

fn take<'a>(bytes: &mut &'a [u8], length: i32) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(head)
}

/// A length and that many bytes; -1 stands for none.
fn take_nullable<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match take_i32(bytes)? {
        -1 => Some(None),
        length => take(bytes, length).map(Some),
    }
}

fn take_i32(bytes: &mut &[u8]) -> Option<i32> {
    varint::read_i32(|| take_byte(bytes)).ok()
}

fn take_i64(bytes: &mut &[u8]) -> Option<i64> {
    varint::read_i64(|| take_byte(bytes)).ok()
}

fn take_byte(bytes: &mut &[u8]) -> Result<u8, Overlong> {
    let (first, rest) = bytes.split_first().ok_or(Overlong)?;
    *bytes = rest;
    Ok(*first)
}
