//! Kafka record batches, format version 2, as views over bytes.
//!
//! A batch stays what it is from the producer's socket to the consumer's: one slice. This crate reads its header,
//! judges it ([`Batch::validate`], [`check`]), changes the few fields that a broker owns ([`edit`]), and opens it only where a question
//! is about single records ([`Batch::open`], [`search`]) or some of them go ([`retain`]). Only base offset and leader epoch lie before the range of the
//! CRC, so these two can be changed without touching the checksum.
//!
//! Nothing here does I/O, keeps state or panics on any input; everything decompressed is bounded by the caller. (What is kept
//! is memory alone: contexts of the Zstandard library, for the next batch.)
//! [`BatchBuilder`] makes valid batches for tests, simulation and load tools.

mod batch;
mod builder;
mod check;
mod codec;
mod compress;
pub mod edit;
mod error;
mod header;
mod places;
mod record;
pub mod retain;
pub mod search;
mod varint;

pub use batch::{Batch, Batches, batches};
pub use builder::BatchBuilder;
pub use check::check;
pub use codec::Codec;
pub use compress::{Compression, recompress};
pub use error::BatchError;
pub use header::{Attributes, HEADER_LEN, Header, MAGIC, TimestampType};
pub use record::{Opened, Record, RecordHeader, RecordHeaders, Records};
