//! Makes batches that every client and broker takes: for tests, simulation and load tools.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    Attributes, Codec, HEADER_LEN, MAGIC, RecordHeader, edit,
    header::{LENGTH_OVERHEAD, at},
    varint,
};

/// Collects records and closes them into one batch.
///
/// The first record's timestamp becomes the base timestamp; offsets follow each other from the base offset.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    codec: Codec,
    base_offset: i64,
    attributes: i16,
    producer: (i64, i16, i32),
    append_time: Option<i64>,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
    count: i32,
    records: BytesMut,
    scratch: BytesMut,
}

impl BatchBuilder {
    /// An empty batch at offset 0, without a producer id.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            base_offset: 0,
            attributes: 0,
            producer: (-1, -1, -1),
            append_time: None,
            base_timestamp: None,
            max_timestamp: i64::MIN,
            count: 0,
            records: BytesMut::new(),
            scratch: BytesMut::new(),
        }
    }

    /// The offset of the first record.
    pub fn base_offset(mut self, base_offset: i64) -> Self {
        self.base_offset = base_offset;
        self
    }

    /// An idempotent producer and the sequence of its first record here.
    pub fn producer(mut self, id: i64, epoch: i16, sequence: i32) -> Self {
        self.producer = (id, epoch, sequence);
        self
    }

    /// Marks the batch as part of a transaction.
    pub fn transactional(mut self) -> Self {
        self.attributes |= Attributes::TRANSACTIONAL;
        self
    }

    /// Marks the batch as one of control records.
    pub fn control(mut self) -> Self {
        self.attributes |= Attributes::CONTROL;
        self
    }

    /// Gives all records the broker's time, Unix milliseconds.
    pub fn log_append_time(mut self, now_ms: i64) -> Self {
        self.append_time = Some(now_ms);
        self
    }

    /// Appends a record without headers.
    pub fn record(self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        self.record_with_headers(timestamp, key, value, &[])
    }

    /// Appends a record.
    pub fn record_with_headers(
        mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader<'_>],
    ) -> Self {
        let base = *self.base_timestamp.get_or_insert(timestamp);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let body = &mut self.scratch;
        body.clear();
        body.put_u8(0);
        varint::write(body, timestamp.wrapping_sub(base));
        varint::write(body, i64::from(self.count));
        put_nullable(body, key);
        put_nullable(body, value);
        varint::write(body, headers.len() as i64);
        for header in headers {
            put_nullable(body, Some(header.key));
            put_nullable(body, header.value);
        }
        varint::write(&mut self.records, body.len() as i64);
        self.records.extend_from_slice(body);
        self.count += 1;
        self
    }

    /// A batch that says that it holds `count` records of `codec`, and has `payload`, whatever that is: for those who must
    /// refuse it.
    pub fn claiming(count: i32, codec: Codec, payload: &[u8]) -> Bytes {
        Self { count, ..Self::new(codec) }.build_of(payload)
    }

    /// The batch, with its checksum.
    pub fn build(&self) -> Bytes {
        self.build_of(&self.codec.compress(&self.records))
    }

    fn build_of(&self, payload: &[u8]) -> Bytes {
        let mut batch = BytesMut::with_capacity(HEADER_LEN + payload.len());
        batch.put_i64(self.base_offset);
        batch.put_i32((HEADER_LEN - LENGTH_OVERHEAD + payload.len()) as i32);
        batch.put_i32(-1);
        debug_assert_eq!(batch.len(), at::MAGIC, "the fields lie where edits expect them");
        batch.put_i8(MAGIC);
        batch.put_u32(0);
        batch.put_i16(self.attributes | i16::from(self.codec.id()));
        batch.put_i32(self.count - 1);
        batch.put_i64(self.base_timestamp.unwrap_or(-1));
        batch.put_i64(if self.count == 0 { -1 } else { self.max_timestamp });
        let (id, epoch, sequence) = self.producer;
        batch.put_i64(id);
        batch.put_i16(epoch);
        batch.put_i32(sequence);
        batch.put_i32(self.count);
        batch.extend_from_slice(payload);
        match self.append_time {
            Some(now_ms) => edit::stamp_log_append_time(&mut batch, now_ms),
            None => edit::set_checksum(&mut batch),
        }
        batch.freeze()
    }
}

fn put_nullable(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::write(out, -1),
        Some(bytes) => {
            varint::write(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}
