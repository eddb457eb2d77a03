//! The simulation's own randomness: SplitMix64, ten lines, the same on every platform and in every later version, so that
//! a seed in `regressions.txt` means the same schedule for good.

/// A stream of uniform random bits.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x5eed_5eed_5eed_5eed))
    }

    /// An independent stream; what is drawn from it does not move this one.
    pub fn fork(&self, purpose: u64) -> Self {
        Self(mix(self.0 ^ mix(purpose)))
    }

    /// 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform in `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "an empty range has no number");
        self.bits() % bound
    }

    /// Uniform in `range`.
    pub fn within(&mut self, range: std::ops::RangeInclusive<u64>) -> u64 {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    /// Whether something that happens `permille` times in a thousand happens now.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    /// One of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

/// A bijection that scatters every bit: the finaliser of SplitMix64.
pub fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_stream_for_good() {
        let mut rng = Rng::new(1);
        assert_eq!([rng.bits(), rng.bits()], [1_636_172_896_267_924_471, 3_553_748_157_147_465_931]);
    }
}
