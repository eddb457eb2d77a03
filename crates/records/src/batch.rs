//! One batch as a view over its bytes, and a row of batches.

use crc_fast::crc32_iscsi;

use crate::{
    BatchError, HEADER_LEN, Header, Opened,
    header::{CRC_START, MAGIC},
};

/// A batch: its decoded header and exactly its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch<'a> {
    header: Header,
    bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Reads the batch that `bytes` begins with. Checks the message format and that all its bytes are there; neither the
    /// checksum nor what the fields mean.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = Header::parse(bytes)?;
        let have = bytes.len() as u64;
        let size = usize::try_from(header.size()).unwrap_or(usize::MAX);
        let bytes = bytes.get(..size).ok_or(BatchError::Truncated { need: header.size(), have })?;
        Ok(Self { header, bytes })
    }

    /// Judges what a client sent for one partition: one whole batch of message format 2, unharmed, whose fields fit
    /// together. The records themselves are not opened.
    ///
    /// Without a producer id, epoch and sequence are not looked at: several clients leave them 0. The timestamp type is left to
    /// the caller, because it depends on the topic.
    pub fn validate(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let batch = Self::parse(bytes)?;
        let surplus = (bytes.len() - batch.bytes.len()) as u64;
        if surplus != 0 {
            return Err(BatchError::Surplus { surplus });
        }
        batch.verify_crc()?;
        batch.header.check_produced()?;
        Ok(batch)
    }

    /// Compares the checksum with the bytes.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = checksum(self.bytes);
        if computed == self.header.crc { Ok(()) } else { Err(BatchError::Crc { stated: self.header.crc, computed }) }
    }

    /// The decoded header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The whole batch.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records as they are, perhaps compressed.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..]
    }

    /// The records, decompressed if need be into at most `limit` bytes.
    pub fn open(&self, limit: usize) -> Result<Opened<'a>, BatchError> {
        Opened::new(self.header, self.payload(), limit)
    }
}

/// CRC-32C of a whole batch, from the attributes on.
///
/// `crc32_iscsi` picks the widest carry-less multiplication that the processor has at run time (over 70 GB/s from 1 KB on
/// where there is AVX-512), and skips the general entry point's choice of algorithm.
pub(crate) fn checksum(batch: &[u8]) -> u32 {
    crc32_iscsi(&batch[CRC_START..])
}

impl Header {
    /// The rules for a batch from a client, except those that need its bytes.
    fn check_produced(&self) -> Result<(), BatchError> {
        debug_assert_eq!(self.magic, MAGIC, "parse lets no other through");
        self.attributes.codec()?;
        if self.attributes.is_control() {
            return Err(BatchError::Control);
        }
        if self.record_count <= 0 || self.last_offset_delta != self.record_count - 1 {
            return Err(BatchError::Count { count: self.record_count, last_offset_delta: self.last_offset_delta });
        }
        let fits = match self.producer_id {
            -1 => !self.attributes.is_transactional(),
            id => id >= 0 && self.producer_epoch >= 0 && self.base_sequence >= 0,
        };
        if !fits {
            return Err(BatchError::Producer {
                id: self.producer_id,
                epoch: self.producer_epoch,
                sequence: self.base_sequence,
            });
        }
        Ok(())
    }
}

/// The batches that follow each other in `bytes`. Ends after the last one, or with the first error.
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { rest: bytes }
}

/// See [`batches`].
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let next = Batch::parse(self.rest);
        self.rest = match &next {
            Ok(batch) => &self.rest[batch.bytes.len()..],
            Err(_) => &[],
        };
        Some(next)
    }
}

#[cfg(test)]
mod tests;
