//! The types that fields of messages have, each written as Kafka writes it.
//!
//! | Kafka | here | | Kafka | here |
//! |---|---|---|---|---|
//! | `bool`, `int8` ... `int64` | `bool`, `i8` ... `i64` | | `[]T` | [`Array<'a, T>`](crate::Array) |
//! | `uint16` | `u16` | | `float64` | [`Float64`](crate::Float64) |
//! | `string` | `&'a str` | | `uuid` | [`Uuid`](crate::Uuid) |
//! | `bytes` | `&'a [u8]` | | `records` | [`Records<'a>`](crate::Records) |
//! | nullable T | `Option<T>` | | error codes | [`ErrorCode`](crate::ErrorCode) |

use std::fmt::Debug;

use crate::decode::{DecodeError, Decoder, LengthOf, STRING_BYTES_MAX};
use crate::encode::{EncodeError, Encoder};

/// A value that can stand in a message. `'a` is the life of the frame that it borrows from.
pub trait Wire<'a>: Sized + Clone + Debug + PartialEq + 'a {
    /// Reads the value; `field` is its name in errors.
    fn decode(from: &mut Decoder<'a>, field: &'static str) -> Result<Self, DecodeError>;

    /// Writes the value; `field` is its name in errors.
    fn encode(&self, to: &mut Encoder, field: &'static str) -> Result<(), EncodeError>;

    /// Whether this is null.
    fn is_null(&self) -> bool {
        false
    }
}

/// A type whose encoding has a place for null, so that `Option` of it can stand in a message.
pub trait Nullable<'a>: Wire<'a> {
    /// Reads the value or null.
    fn decode_nullable(from: &mut Decoder<'a>, field: &'static str) -> Result<Option<Self>, DecodeError>;

    /// Writes null.
    fn encode_null(to: &mut Encoder);

    /// Writes a value where null could have stood.
    fn encode_present(&self, to: &mut Encoder, field: &'static str) -> Result<(), EncodeError> {
        self.encode(to, field)
    }
}

impl<'a, T: Nullable<'a>> Wire<'a> for Option<T> {
    fn decode(from: &mut Decoder<'a>, field: &'static str) -> Result<Self, DecodeError> {
        T::decode_nullable(from, field)
    }

    fn encode(&self, to: &mut Encoder, field: &'static str) -> Result<(), EncodeError> {
        match self {
            Some(value) => value.encode_present(to, field),
            None => {
                T::encode_null(to);
                Ok(())
            }
        }
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl<'a> Wire<'a> for $type {
            fn decode(from: &mut Decoder<'a>, field: &'static str) -> Result<Self, DecodeError> {
                Ok(Self::from_be_bytes(from.fixed(field)?))
            }

            fn encode(&self, to: &mut Encoder, _field: &'static str) -> Result<(), EncodeError> {
                to.put(&self.to_be_bytes());
                Ok(())
            }
        }
    )*};
}

integers!(i8, i16, u16, i32, i64);

impl<'a> Wire<'a> for bool {
    fn decode(from: &mut Decoder<'a>, field: &'static str) -> Result<Self, DecodeError> {
        Ok(from.fixed::<1>(field)? != [0])
    }

    fn encode(&self, to: &mut Encoder, _field: &'static str) -> Result<(), EncodeError> {
        to.put(&[u8::from(*self)]);
        Ok(())
    }
}

impl<'a> Wire<'a> for &'a str {
    fn decode(from: &mut Decoder<'a>, field: &'static str) -> Result<Self, DecodeError> {
        Self::decode_nullable(from, field)?.ok_or(DecodeError::Null { field })
    }

    fn encode(&self, to: &mut Encoder, field: &'static str) -> Result<(), EncodeError> {
        to.put_length(LengthOf::String, self.len(), field)?;
        to.put(self.as_bytes());
        Ok(())
    }
}

impl<'a> Nullable<'a> for &'a str {
    fn decode_nullable(from: &mut Decoder<'a>, field: &'static str) -> Result<Option<Self>, DecodeError> {
        let Some(length) = from.length(LengthOf::String, field)? else { return Ok(None) };
        if length > STRING_BYTES_MAX {
            return Err(DecodeError::StringTooLong { field, length });
        }
        let text = std::str::from_utf8(from.take(length, field)?).map_err(|_| DecodeError::Utf8 { field })?;
        Ok(Some(text))
    }

    fn encode_null(to: &mut Encoder) {
        to.put_null_length(LengthOf::String);
    }
}

impl<'a> Wire<'a> for &'a [u8] {
    fn decode(from: &mut Decoder<'a>, field: &'static str) -> Result<Self, DecodeError> {
        Self::decode_nullable(from, field)?.ok_or(DecodeError::Null { field })
    }

    fn encode(&self, to: &mut Encoder, field: &'static str) -> Result<(), EncodeError> {
        to.put_length(LengthOf::BytesOrArray, self.len(), field)?;
        to.put(self);
        Ok(())
    }
}

impl<'a> Nullable<'a> for &'a [u8] {
    fn decode_nullable(from: &mut Decoder<'a>, field: &'static str) -> Result<Option<Self>, DecodeError> {
        let Some(length) = from.length(LengthOf::BytesOrArray, field)? else { return Ok(None) };
        from.take(length, field).map(Some)
    }

    fn encode_null(to: &mut Encoder) {
        to.put_null_length(LengthOf::BytesOrArray);
    }
}
