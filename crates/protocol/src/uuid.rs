//! Topic ids.

use std::fmt;

use crate::decode::{DecodeError, Decoder};
use crate::encode::{EncodeError, Encoder};
use crate::wire::Wire;

/// A 16-byte id, as topics have it. All zero means "none".
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// No id.
    pub const ZERO: Self = Self([0; 16]);

    /// Whether this is no id.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

/// URL-safe base64 without padding, as Kafka's tools print topic ids.
impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits = u128::from_be_bytes(self.0);
        // 22 digits carry 132 bits: the last one holds the two lowest bits, followed by four zeros.
        for digit in 0..22u32 {
            let value = if digit == 21 { bits << 4 } else { bits >> (122 - 6 * digit) };
            write!(f, "{}", char::from(DIGITS[(value & 0x3f) as usize]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'a> Wire<'a> for Uuid {
    fn decode(from: &mut Decoder<'a>, field: &'static str) -> Result<Self, DecodeError> {
        from.fixed(field).map(Self)
    }

    fn encode(&self, to: &mut Encoder, _field: &'static str) -> Result<(), EncodeError> {
        to.put(&self.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_kafkas_tools_do() {
        // The pairs come from org.apache.kafka.common.Uuid.
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Uuid(std::array::from_fn(|i| i as u8)).to_string(), "AAECAwQFBgcICQoLDA0ODw");
        assert_eq!(Uuid([0xff; 16]).to_string(), "_____________________w");
    }
}
