//! Writing a message as a frame.
//!
//! An [`Encoder`] gathers all small bytes of a frame in one buffer, and remembers where shared record bytes belong between
//! them; [`Encoded`] is the result for a vectored write. Record bytes are never copied. Tagged fields at their default are
//! never written: old clients stumble over them.

use bytes::Bytes;

use crate::decode::{LengthOf, STRING_BYTES_MAX};
use crate::define::Rule;
use crate::wire::Wire;

/// Why a message cannot be written in a version. `field` is `Struct.field` in the words of Kafka's schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The field has a value that this version cannot carry and that must not be lost.
    #[error("{field}: version {version} cannot carry a value")]
    NotCarried {
        /// Which field.
        field: &'static str,
        /// The version to write.
        version: i16,
    },
    /// Null in a field (or a version of it) that must have a value.
    #[error("{field}: null where a value is needed")]
    Null {
        /// Which field.
        field: &'static str,
    },
    /// A string above Kafka's limit, or more than 2^31-1 bytes or elements.
    #[error("{field}: length {length} is too long")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// Its length in bytes or elements.
        length: usize,
    },
    /// The whole frame is above 2^31-1 bytes.
    #[error("a frame of {length} bytes is too long")]
    FrameTooLong {
        /// Its length in bytes.
        length: usize,
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

/// A whole frame, its four bytes of length included, as parts to be written one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The bytes in order. Parts that are not records share one buffer.
    pub parts: Vec<Bytes>,
    /// Bytes of all parts.
    pub len: usize,
}

impl Encoded {
    /// The frame as one buffer, copied when it has several parts: for tests and tools.
    pub fn to_bytes(&self) -> Bytes {
        match self.parts.as_slice() {
            [one] => one.clone(),
            parts => parts.concat().into(),
        }
    }
}

/// Writes one frame of one version.
#[derive(Debug)]
pub struct Encoder {
    /// All bytes that are not shared, the frame's length first.
    head: Vec<u8>,
    /// Shared bytes, each with the place in `head` before which it belongs.
    shared: Vec<(usize, Bytes)>,
    shared_bytes: usize,
    version: i16,
    flexible: bool,
}

/// Bytes of the length before each frame.
const LENGTH_PREFIX_BYTES: usize = 4;

impl Encoder {
    /// An empty frame. `flexible` says whether this version of the body has compact lengths and tagged fields.
    pub fn new(version: i16, flexible: bool) -> Self {
        let mut head = Vec::with_capacity(256);
        head.extend_from_slice(&[0; LENGTH_PREFIX_BYTES]);
        Self { head, shared: Vec::new(), shared_bytes: 0, version, flexible }
    }

    /// The version that is written.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Whether this version has compact lengths and tagged fields.
    pub fn flexible(&self) -> bool {
        self.flexible
    }

    /// Says whether what follows has compact lengths and tagged fields: the body may have them where its header has not.
    pub(crate) fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// Closes the frame.
    pub fn finish(mut self) -> Result<Encoded, EncodeError> {
        let len = self.head.len() + self.shared_bytes;
        let Ok(after_prefix) = i32::try_from(len - LENGTH_PREFIX_BYTES) else {
            return Err(EncodeError::FrameTooLong { length: len });
        };
        self.head[..LENGTH_PREFIX_BYTES].copy_from_slice(&after_prefix.to_be_bytes());
        let mut head = Bytes::from(self.head);
        let mut parts = Vec::with_capacity(2 * self.shared.len() + 1);
        let mut taken = 0;
        for (place, bytes) in self.shared {
            if place > taken {
                parts.push(head.split_to(place - taken));
                taken = place;
            }
            parts.push(bytes);
        }
        if !head.is_empty() {
            parts.push(head);
        }
        Ok(Encoded { parts, len })
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.head.extend_from_slice(bytes);
    }

    /// Puts shared bytes here without copying them.
    pub(crate) fn put_shared(&mut self, bytes: &Bytes) {
        if !bytes.is_empty() {
            self.shared_bytes += bytes.len();
            self.shared.push((self.head.len(), bytes.clone()));
        }
    }

    pub(crate) fn put_unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.head.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.head.push(value as u8);
    }

    pub(crate) fn put_length(&mut self, of: LengthOf, length: usize, field: &'static str) -> Result<(), EncodeError> {
        let max = match of {
            LengthOf::String => STRING_BYTES_MAX,
            // One below the format's limit, because the compact form writes the length plus one.
            LengthOf::BytesOrArray => i32::MAX as usize - 1,
        };
        if length > max {
            return Err(EncodeError::TooLong { field, length });
        }
        match of {
            _ if self.flexible => self.put_unsigned_varint(length as u32 + 1),
            LengthOf::String => self.put(&(length as i16).to_be_bytes()),
            LengthOf::BytesOrArray => self.put(&(length as i32).to_be_bytes()),
        }
        Ok(())
    }

    pub(crate) fn put_null_length(&mut self, of: LengthOf) {
        match of {
            _ if self.flexible => self.put(&[0]),
            LengthOf::String => self.put(&(-1i16).to_be_bytes()),
            LengthOf::BytesOrArray => self.put(&(-1i32).to_be_bytes()),
        }
    }

    /// One untagged field of a struct; also the check that nothing is lost that this version cannot carry.
    pub(crate) fn field<'a, T: Wire<'a>>(&mut self, rule: &Rule, value: &T, default: T) -> Result<(), EncodeError> {
        if !rule.carried_in(self.version) {
            if !rule.ignorable && *value != default {
                return Err(EncodeError::NotCarried { field: rule.name, version: self.version });
            }
            return Ok(());
        }
        if rule.tag.is_some() {
            return Ok(());
        }
        self.value(rule, value)
    }

    fn value<'a, T: Wire<'a>>(&mut self, rule: &Rule, value: &T) -> Result<(), EncodeError> {
        if value.is_null() && !rule.nullable_in(self.version) {
            return Err(EncodeError::Null { field: rule.name });
        }
        value.encode(self, rule.name)
    }

    /// Whether this field must be written among the tagged ones.
    pub(crate) fn tags<'a, T: Wire<'a>>(&self, rule: &Rule, value: &T, default: T) -> bool {
        rule.tag.is_some() && rule.carried_in(self.version) && *value != default
    }

    /// One tagged field: tag, size, value. The size is known only afterwards, so it is rotated into its place; record bytes
    /// never occur in tagged fields, so no shared bytes are moved.
    pub(crate) fn tagged_field<'a, T: Wire<'a>>(&mut self, rule: &Rule, value: &T) -> Result<(), EncodeError> {
        let Some(tag) = rule.tag else { return Ok(()) };
        self.put_unsigned_varint(tag);
        let start = self.head.len();
        self.value(rule, value)?;
        let size = self.head.len() - start;
        let Ok(size_field) = u32::try_from(size) else {
            return Err(EncodeError::TooLong { field: rule.name, length: size });
        };
        self.put_unsigned_varint(size_field);
        self.head[start..].rotate_left(size);
        Ok(())
    }
}
