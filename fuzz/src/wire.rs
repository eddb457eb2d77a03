//! What the targets for requests and responses do with their input. The tests of `kafscale-protocol` include this file and
//! run it over `seeds/`.

use kafscale_protocol::{AnyRequest, AnyResponse, ApiKey, DecodeError, Encoder, RequestHeader};

/// A request: the first byte picks the API (its key, where it is one), the second the version, the rest is the body.
pub fn request(input: &[u8]) -> Option<Result<(), DecodeError>> {
    let _ = RequestHeader::read(input);
    split(input).map(|(api, version, body)| read_write_read(api, true, version, body))
}

/// A response, with the same first bytes.
pub fn response(input: &[u8]) -> Option<Result<(), DecodeError>> {
    split(input).map(|(api, version, body)| read_write_read(api, false, version, body))
}

fn split(input: &[u8]) -> Option<(ApiKey, i16, &[u8])> {
    let [api, version, body @ ..] = input else { return None };
    let any = || ApiKey::ALL[usize::from(*api) % ApiKey::ALL.len()];
    let api = ApiKey::from_code(i16::from(*api)).unwrap_or_else(any);
    let facts = api.facts();
    let version = facts.min + i16::from(*version) % (facts.max - facts.min + 1);
    Some((api, version, body))
}

/// Decodes a body; when it is a message, writes it again and asks that the same message comes back.
pub fn read_write_read(api: ApiKey, request: bool, version: i16, body: &[u8]) -> Result<(), DecodeError> {
    let mut to = Encoder::new(version, api.flexible(version));
    if request {
        let value = AnyRequest::read(api, version, body)?;
        value.write(&mut to).expect("what was read can be written");
        let bytes = to.finish().unwrap().to_bytes();
        assert_eq!(AnyRequest::read(api, version, &bytes[4..]).as_ref(), Ok(&value));
    } else {
        let value = AnyResponse::read(api, version, body)?;
        value.write(&mut to).expect("what was read can be written");
        let bytes = to.finish().unwrap().to_bytes();
        assert_eq!(AnyResponse::read(api, version, &bytes[4..]).as_ref(), Ok(&value));
    }
    Ok(())
}
