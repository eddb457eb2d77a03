//! Reading a message out of a frame.
//!
//! A [`Decoder`] walks bytes that somebody unknown has sent. What must always hold:
//! - nothing is allocated on the word of a length or a count: every one is compared with the bytes that remain first;
//! - values borrow from the frame;
//! - a refusal names the field and never panics. Nesting is that of the message's types, so the stack's depth is fixed.

use crate::define::Rule;
use crate::wire::Wire;

/// The longest string that Kafka accepts, in bytes.
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// Why bytes are not the message they claim to be. `field` is `Struct.field` in the words of Kafka's schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The value does not fit in what is left of the frame.
    #[error("{field}: needs {needed} bytes where {remaining} remain")]
    Truncated {
        /// Which field.
        field: &'static str,
        /// Bytes that the value needs.
        needed: usize,
        /// Bytes that remain in the frame.
        remaining: usize,
    },
    /// An array announces more elements than there are bytes.
    #[error("{field}: {count} elements announced where {remaining} bytes remain")]
    Count {
        /// Which field.
        field: &'static str,
        /// Elements announced.
        count: usize,
        /// Bytes that remain in the frame.
        remaining: usize,
    },
    /// A length or count below -1.
    #[error("{field}: negative length {length}")]
    NegativeLength {
        /// Which field.
        field: &'static str,
        /// The length as read.
        length: i32,
    },
    /// A string longer than [`STRING_BYTES_MAX`].
    #[error("{field}: a string of {length} bytes is longer than {STRING_BYTES_MAX}")]
    StringTooLong {
        /// Which field.
        field: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// Null in a field (or a version of it) that must have a value.
    #[error("{field}: null where a value is needed")]
    Null {
        /// Which field.
        field: &'static str,
    },
    /// A string that is not UTF-8.
    #[error("{field}: not valid utf-8")]
    Utf8 {
        /// Which field.
        field: &'static str,
    },
    /// A variable-length number beyond 32 bits.
    #[error("{field}: variable-length number beyond 32 bits")]
    Varint {
        /// Which field.
        field: &'static str,
    },
    /// The byte before a nullable struct is neither -1 (null) nor 1 (present).
    #[error("{field}: presence byte {byte}")]
    Presence {
        /// Which field.
        field: &'static str,
        /// The byte as read.
        byte: i8,
    },
    /// A tagged field whose value is shorter than its announced size.
    #[error("{field}: {count} bytes too many in this tagged field")]
    TagSize {
        /// Which field.
        field: &'static str,
        /// Bytes left over inside the tagged field.
        count: usize,
    },
    /// An error code that Kafka does not define.
    #[error("{field}: unknown error code {code}")]
    ErrorCode {
        /// Which field.
        field: &'static str,
        /// The code as read.
        code: i16,
    },
    /// The frame goes on after the message's end.
    #[error("{count} bytes after the end of the message")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// The API exists, but not in this version.
    #[error("{api} is not known in version {version}")]
    Version {
        /// The API's name.
        api: &'static str,
        /// The version asked for.
        version: i16,
    },
}

/// What a length counts, which decides how it is written in the versions that are not flexible.
#[derive(Clone, Copy)]
pub(crate) enum LengthOf {
    /// Two bytes.
    String,
    /// Four bytes.
    BytesOrArray,
}

/// A cursor over the bytes of one message of one version.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
}

impl<'a> Decoder<'a> {
    /// A cursor at the start of `bytes`. `flexible` says whether this version has compact lengths and tagged fields.
    pub fn new(bytes: &'a [u8], version: i16, flexible: bool) -> Self {
        Self { rest: bytes, version, flexible }
    }

    /// The version of the message that is read.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Whether this version has compact lengths and tagged fields.
    pub fn flexible(&self) -> bool {
        self.flexible
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Refuses bytes that nothing has read.
    pub fn end(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes { count }),
        }
    }

    pub(crate) fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(DecodeError::Truncated { field, needed: count, remaining: self.rest.len() });
        };
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn fixed<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(DecodeError::Truncated { field, needed: N, remaining: self.rest.len() });
        };
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn unsigned_varint(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let [byte] = self.fixed(field)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| DecodeError::Varint { field });
            }
        }
        Err(DecodeError::Varint { field })
    }

    /// A length or count as this version writes it; none for null. Not yet compared with what remains.
    pub(crate) fn length(&mut self, of: LengthOf, field: &'static str) -> Result<Option<usize>, DecodeError> {
        if self.flexible {
            return Ok((self.unsigned_varint(field)? as usize).checked_sub(1));
        }
        let length = match of {
            LengthOf::String => i32::from(i16::from_be_bytes(self.fixed(field)?)),
            LengthOf::BytesOrArray => i32::from_be_bytes(self.fixed(field)?),
        };
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(DecodeError::NegativeLength { field, length }),
        }
    }

    /// One untagged field of a struct: its value if this version carries it, else `default`.
    pub(crate) fn field<T: Wire<'a>>(&mut self, rule: &Rule, default: T) -> Result<T, DecodeError> {
        if rule.tag.is_some() || !rule.carried_in(self.version) {
            return Ok(default);
        }
        self.value(rule)
    }

    fn value<T: Wire<'a>>(&mut self, rule: &Rule) -> Result<T, DecodeError> {
        let value = T::decode(self, rule.name)?;
        if value.is_null() && !rule.nullable_in(self.version) {
            return Err(DecodeError::Null { field: rule.name });
        }
        Ok(value)
    }

    /// The tagged fields at the end of a struct: each goes to `known` with a cursor over its value, which answers whether
    /// it knew the tag. Others are passed over.
    pub(crate) fn tagged_fields(
        &mut self,
        field: &'static str,
        mut known: impl FnMut(u32, &mut Decoder<'a>) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        if !self.flexible {
            return Ok(());
        }
        // Each takes two bytes or more, so a giant count ends with the frame.
        for _ in 0..self.unsigned_varint(field)? {
            let tag = self.unsigned_varint(field)?;
            let size = self.unsigned_varint(field)? as usize;
            let mut value = Decoder { rest: self.take(size, field)?, ..*self };
            if known(tag, &mut value)? && !value.rest.is_empty() {
                return Err(DecodeError::TagSize { field, count: value.rest.len() });
            }
        }
        Ok(())
    }

    /// The value of a tagged field, if `tag` in this version is the one that `rule` describes.
    pub(crate) fn tagged_value<T: Wire<'a>>(&mut self, rule: &Rule, tag: u32) -> Result<Option<T>, DecodeError> {
        if rule.tag != Some(tag) || !rule.carried_in(self.version) {
            return Ok(None);
        }
        self.value(rule).map(Some)
    }
}
