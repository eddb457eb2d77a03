//! Latencies as stores have them: log-normal, given by two of their percentiles.

use std::{f64::consts::TAU, time::Duration};

use rand::{Rng, RngExt};

/// How many standard deviations the 99th percentile of a normal distribution lies above its mean.
const Z99: f64 = 2.326_347_874_040_841;

/// A log-normal distribution of latencies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogNormal {
    p50_ms: f64,
    sigma: f64,
}

impl LogNormal {
    /// With this median and 99th percentile in milliseconds; none if the median is 0.
    pub fn new(p50_ms: f64, p99_ms: f64) -> Option<Self> {
        (p50_ms > 0.0).then(|| Self { p50_ms, sigma: (p99_ms.max(p50_ms) / p50_ms).ln() / Z99 })
    }

    /// Draws one.
    pub fn draw(&self, random: &mut impl Rng) -> Duration {
        // Box and Muller; the first number must not be 0.
        let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
        let normal = radius * (TAU * random.random::<f64>()).cos();
        Duration::from_secs_f64(self.p50_ms * (self.sigma * normal).exp() / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn the_percentiles_are_those_asked_for() {
        for (p50, p99) in [(60.0, 250.0), (25.0, 120.0), (10.0, 10.0)] {
            let latency = LogNormal::new(p50, p99).unwrap();
            let mut random = StdRng::seed_from_u64(7);
            let mut drawn: Vec<_> = (0..50_000).map(|_| latency.draw(&mut random).as_secs_f64() * 1e3).collect();
            drawn.sort_by(f64::total_cmp);
            let percentile = |p: usize| drawn[drawn.len() * p / 100];
            assert!((percentile(50) / p50 - 1.0).abs() < 0.02, "{}", percentile(50));
            assert!((percentile(99) / p99 - 1.0).abs() < 0.05, "{}", percentile(99));
            // The first percentile mirrors the 99th on the logarithmic scale.
            assert!((percentile(1) / (p50 * p50 / p99) - 1.0).abs() < 0.05, "{}", percentile(1));
        }
    }

    #[test]
    fn no_median_is_no_latency_and_a_seed_fixes_the_draws() {
        assert_eq!(LogNormal::new(0.0, 100.0), None);
        let latency = LogNormal::new(60.0, 250.0).unwrap();
        let draws = |seed| {
            let mut random = StdRng::seed_from_u64(seed);
            (0..5).map(|_| latency.draw(&mut random)).collect::<Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
    }
}
