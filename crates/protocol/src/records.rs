//! The record bytes of Produce and Fetch.

use bytes::Bytes;

use crate::decode::{DecodeError, Decoder, LengthOf};
use crate::encode::{EncodeError, Encoder};
use crate::wire::{Nullable, Wire};

/// Record batches, opaque to this crate: a slice of the frame when decoded, shared buffers when built.
///
/// Shared buffers become segments of the frame and are never copied. As a field that is not an `Option` a null reads as
/// empty, and nothing but empty is ever written for it: clients take a null in a Fetch response for an error.
#[derive(Debug, Clone)]
pub enum Records<'a> {
    /// Bytes of a frame.
    Slice(&'a [u8]),
    /// Buffers whose concatenation is the records.
    Shared(Vec<Bytes>),
}

impl<'a> Records<'a> {
    /// No records.
    pub const EMPTY: Self = Self::Slice(&[]);

    /// Bytes in all.
    pub fn len(&self) -> usize {
        match self {
            Self::Slice(slice) => slice.len(),
            Self::Shared(buffers) => buffers.iter().map(Bytes::len).sum(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes as one slice, if they are one: always so after decoding.
    pub fn as_slice(&self) -> Option<&[u8]> {
        match self {
            Self::Slice(slice) => Some(slice),
            Self::Shared(buffers) => match buffers.as_slice() {
                [] => Some(&[]),
                [one] => Some(one),
                _ => None,
            },
        }
    }

    /// The slice of the frame that these records are, if they were decoded.
    pub fn borrowed(&self) -> Option<&'a [u8]> {
        match self {
            Self::Slice(slice) => Some(slice),
            Self::Shared(_) => None,
        }
    }

    fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let (slice, buffers): (&[u8], &[Bytes]) = match self {
            Self::Slice(slice) => (slice, &[]),
            Self::Shared(buffers) => (&[], buffers),
        };
        std::iter::once(slice).chain(buffers.iter().map(|buffer| &buffer[..]))
    }
}

impl Default for Records<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl From<Bytes> for Records<'_> {
    fn from(buffer: Bytes) -> Self {
        Self::Shared(vec![buffer])
    }
}

impl From<Vec<Bytes>> for Records<'_> {
    fn from(buffers: Vec<Bytes>) -> Self {
        Self::Shared(buffers)
    }
}

impl<'a> From<&'a [u8]> for Records<'a> {
    fn from(slice: &'a [u8]) -> Self {
        Self::Slice(slice)
    }
}

/// Equal bytes, however they are cut.
impl PartialEq for Records<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.chunks().flatten().eq(other.chunks().flatten())
    }
}

impl<'a> Wire<'a> for Records<'a> {
    fn decode(from: &mut Decoder<'a>, field: &'static str) -> Result<Self, DecodeError> {
        Ok(Self::decode_nullable(from, field)?.unwrap_or(Self::EMPTY))
    }

    fn encode(&self, to: &mut Encoder, field: &'static str) -> Result<(), EncodeError> {
        to.put_length(LengthOf::BytesOrArray, self.len(), field)?;
        match self {
            Self::Slice(slice) => to.put(slice),
            Self::Shared(buffers) => buffers.iter().for_each(|buffer| to.put_shared(buffer)),
        }
        Ok(())
    }
}

impl<'a> Nullable<'a> for Records<'a> {
    fn decode_nullable(from: &mut Decoder<'a>, field: &'static str) -> Result<Option<Self>, DecodeError> {
        Ok(<&[u8]>::decode_nullable(from, field)?.map(Self::Slice))
    }

    fn encode_null(to: &mut Encoder) {
        to.put_null_length(LengthOf::BytesOrArray);
    }
}
