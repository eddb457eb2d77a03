//! Kafka's `float64`.

use crate::decode::{DecodeError, Decoder};
use crate::encode::{EncodeError, Encoder};
use crate::wire::Wire;

/// A double as it travels. Equal are equal bits, so that a message equals itself whatever a client has put in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Float64(pub f64);

impl PartialEq for Float64 {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl<'a> Wire<'a> for Float64 {
    fn decode(from: &mut Decoder<'a>, field: &'static str) -> Result<Self, DecodeError> {
        Ok(Self(f64::from_be_bytes(from.fixed(field)?)))
    }

    fn encode(&self, to: &mut Encoder, _field: &'static str) -> Result<(), EncodeError> {
        to.put(&self.0.to_be_bytes());
        Ok(())
    }
}
