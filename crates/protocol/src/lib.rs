//! The Kafka protocol on the wire: one declarative definition per API, decoding into views that borrow from the frame,
//! encoding into a head plus shared segments for vectored writes.
//!
//! This crate is the hot path and the security perimeter at once: no byte from outside can make it panic, recurse without
//! bound, or allocate more than a small constant. It knows frames and messages, and nothing about brokers, topics or the
//! inside of record batches. It does no I/O.
//!
//! ```
//! use kafscale_protocol::messages::list_offsets::{Request, Response};
//! use kafscale_protocol::{Body, RequestHeader, encode_request, encode_response};
//!
//! let frame = encode_request(7, 1, Some("me"), &Request::default())?.to_bytes();
//! let (header, body) = RequestHeader::read(&frame[4..])?;
//! let request = Request::read(header.api_version, body)?;
//! assert!(request.topics.is_empty());
//! let answer = encode_response(header.api_version, header.correlation_id, &Response::default())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A new API is a file under `messages/` and a row in the catalogue, `messages/mod.rs`.

mod array;
mod decode;
mod define;
mod encode;
mod error_code;
mod float64;
mod header;
pub mod messages;
mod records;
mod uuid;
mod wire;

pub use array::{Array, Iter};
pub use decode::{DecodeError, Decoder, STRING_BYTES_MAX};
pub use encode::{EncodeError, Encoded, Encoder};
pub use error_code::ErrorCode;
pub use float64::Float64;
pub use header::{RequestHeader, encode_request, encode_response, read_response_header};
pub use messages::{AnyRequest, AnyResponse, Api, ApiKey, Body, RequestBody, ResponseBody};
pub use records::Records;
pub use uuid::Uuid;
pub use wire::{Nullable, Wire};

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod sample;
