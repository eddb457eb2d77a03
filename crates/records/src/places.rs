//! The records of a batch passed over as a stream, which says where each stands and that it is whole.
//!
//! Compressed records are decompressed as they come, so no more is held than the codec's window however far a batch expands.

use std::io::{self, BufRead, BufReader, Read};

use crate::{
    Batch, BatchError, Codec, Header,
    record::Place,
    varint::{self, Overlong},
};

/// A record that was passed over.
pub(crate) struct Passed {
    pub place: Place,
    pub has_key: bool,
}

/// The places of a batch's records as a stream: keys, values and headers are passed over.
pub(crate) struct Places<'a> {
    header: Header,
    codec: Codec,
    stream: BufReader<io::Take<Box<dyn Read + 'a>>>,
    limit: u64,
    index: u32,
}

impl<'a> Places<'a> {
    pub fn new(batch: &Batch<'a>, limit: u64) -> Result<Self, BatchError> {
        let codec = batch.header().attributes.codec()?;
        let reader = codec.reader(batch.payload(), limit).map_err(|_| BatchError::Corrupt { codec })?;
        Ok(Self::over(batch, codec, reader, limit))
    }

    /// The same over a stream of the batch's records.
    pub fn over(batch: &Batch<'_>, codec: Codec, records: Box<dyn Read + 'a>, limit: u64) -> Self {
        Self { header: *batch.header(), codec, stream: BufReader::new(records.take(limit)), limit, index: 0 }
    }

    pub fn next(&mut self) -> Result<Option<Passed>, BatchError> {
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

    /// Nothing may follow the last record.
    pub fn end(mut self) -> Result<(), BatchError> {
        match self.stream.fill_buf() {
            Ok([]) => Ok(()),
            Ok(rest) => Err(BatchError::RecordSurplus { surplus: rest.len() as u64 }),
            Err(_) => Err(BatchError::Corrupt { codec: self.codec }),
        }
    }

    fn read(&mut self) -> Result<Passed, Fault> {
        let length = varint::read_i32(|| self.byte())?;
        let mut record = Body { left: u64::try_from(length).map_err(|_| Fault::Record)?, places: self };
        let _attributes = record.byte()?;
        let timestamp_delta = varint::read_i64(|| record.byte())?;
        let offset_delta = record.number()?;
        let has_key = record.pass()?;
        record.pass()?;
        let headers = u32::try_from(record.number()?).map_err(|_| Fault::Record)?;
        for _ in 0..headers {
            if !record.pass()? {
                return Err(Fault::Record);
            }
            record.pass()?;
        }
        if record.left > 0 {
            return Err(Fault::Record);
        }
        let place = Place::new(&self.header, timestamp_delta, offset_delta).ok_or(Fault::Record)?;
        Ok(Passed { place, has_key })
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

/// What is left of one record.
struct Body<'p, 'a> {
    left: u64,
    places: &'p mut Places<'a>,
}

impl Body<'_, '_> {
    fn byte(&mut self) -> Result<u8, Fault> {
        self.left = self.left.checked_sub(1).ok_or(Fault::Record)?;
        self.places.byte()
    }

    fn number(&mut self) -> Result<i32, Fault> {
        varint::read_i32(|| self.byte())
    }

    /// Passes over a length and that many bytes; false if the length stands for none.
    fn pass(&mut self) -> Result<bool, Fault> {
        let length = self.number()?;
        if length == -1 {
            return Ok(false);
        }
        let length = u64::try_from(length).map_err(|_| Fault::Record)?;
        self.left = self.left.checked_sub(length).ok_or(Fault::Record)?;
        self.places.skip(length)?;
        Ok(true)
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
