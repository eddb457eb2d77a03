//! Headers of requests and responses, and whole frames.
//!
//! A header is read from any frame of at least eight bytes, whatever API and version it claims: a client must get an answer
//! to an ApiVersions request of a version from the future.

use crate::decode::{DecodeError, Decoder};
use crate::encode::{EncodeError, Encoded, Encoder};
use crate::messages::{ApiKey, RequestBody, ResponseBody};
use crate::wire::{Nullable, Wire};

/// The header of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestHeader<'a> {
    /// The API's key; perhaps not one that is served.
    pub api_key: i16,
    /// The version of the body; perhaps not one that is served.
    pub api_version: i16,
    /// Comes back in the response.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<&'a str>,
}

impl<'a> RequestHeader<'a> {
    /// Splits a frame (without its length) into header and body.
    ///
    /// Of an API or version that is not served only the first three fields are certain: where the rest does not look like
    /// today's headers, the client id is none and the body empty, which is no error.
    pub fn read(frame: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let mut from = Decoder::new(frame, 0, false);
        let mut header = Self {
            api_key: Wire::decode(&mut from, "RequestHeader.api_key")?,
            api_version: Wire::decode(&mut from, "RequestHeader.api_version")?,
            correlation_id: Wire::decode(&mut from, "RequestHeader.correlation_id")?,
            client_id: None,
        };
        let served = header.api().is_some_and(|api| api.facts().serves(header.api_version));
        match header.read_tail(&mut from) {
            Ok(client_id) => header.client_id = client_id,
            Err(error) if served => return Err(error),
            Err(_) => return Ok((header, &[])),
        }
        Ok((header, from.rest()))
    }

    /// The API, if it is served.
    pub fn api(&self) -> Option<ApiKey> {
        ApiKey::from_code(self.api_key)
    }

    fn read_tail(&self, from: &mut Decoder<'a>) -> Result<Option<&'a str>, DecodeError> {
        // Even flexible headers have the client id in the old form.
        let client_id = Nullable::decode_nullable(from, "RequestHeader.client_id")?;
        if self.api().is_some_and(|api| api.flexible(self.api_version)) {
            skip_tagged_fields(from, "RequestHeader.tagged_fields")?;
        }
        Ok(client_id)
    }
}

/// Passes over the tagged fields of a header; none of them is known.
fn skip_tagged_fields(from: &mut Decoder<'_>, field: &'static str) -> Result<(), DecodeError> {
    let mut flexible = Decoder::new(from.rest(), from.version(), true);
    flexible.tagged_fields(field, |_, _| Ok(false))?;
    *from = Decoder::new(flexible.rest(), from.version(), false);
    Ok(())
}

/// A whole request frame.
pub fn encode_request<'a, R: RequestBody<'a>>(
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    body: &R,
) -> Result<Encoded, EncodeError> {
    let flexible = R::API.flexible(version);
    let mut header = Encoder::new(version, false);
    R::API.code().encode(&mut header, "RequestHeader.api_key")?;
    version.encode(&mut header, "RequestHeader.api_version")?;
    correlation_id.encode(&mut header, "RequestHeader.correlation_id")?;
    client_id.encode(&mut header, "RequestHeader.client_id")?;
    finish(header, flexible, flexible, |to| body.write(to))
}

/// A whole response frame.
pub fn encode_response<'a, R: ResponseBody<'a>>(
    version: i16,
    correlation_id: i32,
    body: &R,
) -> Result<Encoded, EncodeError> {
    let mut header = Encoder::new(version, false);
    correlation_id.encode(&mut header, "ResponseHeader.correlation_id")?;
    finish(header, R::API.flexible_response_header(version), R::API.flexible(version), |to| body.write(to))
}

fn finish(
    mut frame: Encoder,
    flexible_header: bool,
    flexible_body: bool,
    body: impl FnOnce(&mut Encoder) -> Result<(), EncodeError>,
) -> Result<Encoded, EncodeError> {
    if flexible_header {
        frame.put_unsigned_varint(0);
    }
    frame.set_flexible(flexible_body);
    body(&mut frame)?;
    frame.finish()
}

/// Splits a response frame (without its length) into correlation id and body.
pub fn read_response_header(api: ApiKey, version: i16, frame: &[u8]) -> Result<(i32, &[u8]), DecodeError> {
    let mut from = Decoder::new(frame, version, false);
    let correlation_id = Wire::decode(&mut from, "ResponseHeader.correlation_id")?;
    if api.flexible_response_header(version) {
        skip_tagged_fields(&mut from, "ResponseHeader.tagged_fields")?;
    }
    Ok((correlation_id, from.rest()))
}
