//! How badly a store behaves: one rate per class of fault, drawn per seed.
//!
//! A *swarm* draw switches each class on or off by itself, so that some seeds combine rare things that a uniform mixture
//! would drown in noise. Chaos comes first; [`Weather::calm`] follows, because liveness can only be judged after healing.

use std::time::Duration;

use crate::rng::Rng;

/// Rates in permille of calls, and latencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// Refused before anything was done (503).
    pub unavailable: u64,
    /// A write is applied and its answer is lost.
    pub lost_answer: u64,
    /// A write is not applied, and nobody can tell.
    pub lost_request: u64,
    /// A write is answered as unknown and lands up to `late_max` later: the zombie PUT.
    pub late: u64,
    /// The call never ends; a write was applied or not.
    pub hang: u64,
    /// A create is answered `AlreadyExists` although nothing is there (S3's 409).
    pub conflict: u64,
    /// The call takes 2 to 40 s and then succeeds.
    pub spike: u64,
    /// Median latency of a write.
    pub write: Duration,
    /// Median latency of a read.
    pub read: Duration,
    /// How late a late write may land.
    pub late_max: Duration,
}

impl Weather {
    /// No faults; latencies of an object store.
    pub fn calm() -> Self {
        Self {
            unavailable: 0,
            lost_answer: 0,
            lost_request: 0,
            late: 0,
            hang: 0,
            conflict: 0,
            spike: 0,
            write: Duration::from_millis(60),
            read: Duration::from_millis(25),
            late_max: Duration::from_secs(150),
        }
    }

    /// Faults of this seed: each class on or off, its rate drawn.
    pub fn swarm(rng: &mut Rng) -> Self {
        let mut rate = |most: u64| if rng.chance(500) { rng.within(1..=most) } else { 0 };
        let mut weather = Self {
            unavailable: rate(150),
            lost_answer: rate(100),
            lost_request: rate(100),
            late: rate(60),
            hang: rate(40),
            conflict: rate(60),
            spike: rate(60),
            ..Self::calm()
        };
        if rng.chance(300) {
            (weather.write, weather.read) = (Duration::from_millis(1), Duration::from_micros(200));
        }
        weather
    }

    /// What becomes of the next write.
    pub(crate) fn write_fate(&self, rng: &mut Rng) -> Fate {
        let rates = [
            (self.unavailable, Fate::Unavailable),
            (self.lost_answer, Fate::LostAnswer),
            (self.lost_request, Fate::LostRequest),
            (self.late, Fate::Late),
            (self.hang, Fate::Hang),
            (self.conflict, Fate::Conflict),
            (self.spike, Fate::Spike),
        ];
        drawn(rng, &rates)
    }

    /// What becomes of the next read.
    pub(crate) fn read_fate(&self, rng: &mut Rng) -> Fate {
        drawn(rng, &[(self.unavailable, Fate::Unavailable), (self.hang, Fate::Hang), (self.spike, Fate::Spike)])
    }
}

fn drawn(rng: &mut Rng, rates: &[(u64, Fate)]) -> Fate {
    let mut draw = rng.below(1000);
    for (rate, fate) in rates {
        if draw < *rate {
            return *fate;
        }
        draw -= rate;
    }
    Fate::Honest
}

/// What becomes of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Honest,
    Unavailable,
    LostAnswer,
    LostRequest,
    Late,
    Hang,
    Conflict,
    Spike,
}

/// Latency around `median` with the long tail of an object store: the 99th percentile is 4.2 times the median.
pub(crate) fn latency(rng: &mut Rng, median: Duration) -> Duration {
    // Quantiles of a log-normal with sigma 0.61, as (permille, percent of the median).
    const QUANTILES: [(u64, u64); 10] = [
        (0, 20),
        (10, 24),
        (100, 46),
        (250, 66),
        (500, 100),
        (750, 151),
        (900, 219),
        (990, 417),
        (999, 665),
        (1000, 1500),
    ];
    let draw = rng.below(1000);
    let above = QUANTILES.iter().position(|(at, _)| *at > draw).expect("the last quantile is above every draw");
    let ((low, from), (high, to)) = (QUANTILES[above - 1], QUANTILES[above]);
    let percent = from + (to - from) * (draw - low) / (high - low);
    median * u32::try_from(percent).expect("small") / 100
}
