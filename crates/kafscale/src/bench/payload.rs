//! Values that no codec can make smaller.

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Bytes before the pattern repeats: more than any batch, and more than the window of the codecs.
const PATTERN_BYTES: usize = 4 << 20;
/// From one value to the next the window moves so far: odd, so that values start everywhere in the pattern.
const STEP: usize = 4_099;

/// Pseudo-random values of one length; the same seed gives the same values.
pub struct Payload {
    pattern: Bytes,
    length: usize,
    at: usize,
}

impl Payload {
    /// Values of `length` bytes.
    pub fn new(length: usize, seed: u64) -> Self {
        let mut pattern = vec![0; PATTERN_BYTES + length];
        StdRng::seed_from_u64(seed).fill_bytes(&mut pattern);
        Self { pattern: pattern.into(), length, at: 0 }
    }

    /// The next value, by reference into the pattern.
    pub fn next(&mut self) -> Bytes {
        self.at = (self.at + STEP.max(self.length)) % PATTERN_BYTES;
        self.pattern.slice(self.at..self.at + self.length)
    }

    /// The next value with its first bytes replaced by `stamp`, which must not be longer than it.
    pub fn next_stamped(&mut self, stamp: &[u8]) -> Bytes {
        let plain = self.next();
        [stamp, &plain[stamp.len()..]].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_batch_do_not_compress() {
        let mut payload = Payload::new(1000, 7);
        let batch: Vec<u8> = (0..1000).flat_map(|_| payload.next().to_vec()).collect();
        let mut pairs: Vec<&[u8]> = batch.chunks_exact(8).collect();
        pairs.sort_unstable();
        pairs.dedup();
        assert_eq!(pairs.len(), batch.len() / 8, "no eight bytes come twice");
    }

    #[test]
    fn a_stamp_replaces_the_first_bytes() {
        let (mut plain, mut stamped) = (Payload::new(20, 7), Payload::new(20, 7));
        let expected = plain.next();
        let value = stamped.next_stamped(b"stamp");
        assert_eq!(&value[..5], b"stamp");
        assert_eq!(value[5..], expected[5..]);
    }
}
