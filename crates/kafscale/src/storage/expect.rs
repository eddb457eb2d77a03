//! What a broker on a store with these latencies and prices does: produce latency, requests, and their price.
//!
//! A record that comes while a write is under way waits for the rest of that write and then for its own. The figures follow
//! from that and from how often each dial lets a write begin; `docs/benchmarks.md` has what was measured. They are
//! for constant load: a broker without clients sends no request.

use std::time::Duration;

use kafscale_broker::{
    Latency,
    write::{FLUSH_INTERVAL, Pace},
};
use kafscale_store::{probe::Percentiles, profile::Prices};
use serde::Serialize;

/// Seconds of a month.
const MONTH_S: f64 = 2_629_800.0;
/// The share of the time in which *fast* has as many writes under way as it may.
const FAST_SHARE: f64 = 0.8;
/// Requests for a GiB that consumers read in order from the bucket, as measured soon after it was written; a third of that
/// once it is merged.
const GETS_PER_GIB: u64 = 1_000;

/// What to expect at one position of the dial.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Expectation {
    /// The position of the dial.
    pub latency: &'static str,
    /// Half of all records are acknowledged within this time, about.
    pub produce_p50_ms: u64,
    /// 99 of 100 records are, about; nothing where too few writes were measured for that.
    pub produce_p99_ms: Option<u64>,
    /// Then: records that meet the slowest write of those measured are, about.
    pub produce_slowest_ms: Option<u64>,
    /// Writes in a second.
    pub puts_per_second: f64,
    /// What they cost in a month, in US dollars.
    pub puts_usd_per_month: f64,
}

/// What consumers that read from the bucket, not from the broker's memory, cost there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reading {
    /// Requests for a GiB, at most about.
    pub gets_per_gib: u64,
    /// What they cost, in US dollars.
    pub usd_per_gib: f64,
}

impl Reading {
    /// At these prices.
    pub fn of(prices: &Prices) -> Self {
        let usd = GETS_PER_GIB as f64 / 1e3 * prices.gets_1000 as f64 / 1e6;
        Self { gets_per_gib: GETS_PER_GIB, usd_per_gib: (usd * 1e5).round() / 1e5 }
    }
}

/// At each position, from the latencies of small writes.
pub fn expect(put: &Percentiles, prices: &Prices) -> [Expectation; 3] {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let (p50, p99, mean) = (ms(put.p50), ms(put.p99), ms(put.mean).max(0.1));
    let pace = |latency| Pace::new(latency, prices.puts_1000 > 0, put.mean);
    let (balanced, fast, timer) = (pace(Latency::Balanced), pace(Latency::Fast), ms(FLUSH_INTERVAL));
    let is_p99 = put.p99_of_enough().is_some();
    let at = |latency, produce_p50: f64, produce_slow: f64, puts_per_second: f64| Expectation {
        latency,
        produce_p50_ms: rounded(produce_p50),
        produce_p99_ms: is_p99.then(|| rounded(produce_slow)),
        produce_slowest_ms: (!is_p99).then(|| rounded(produce_slow)),
        puts_per_second: (puts_per_second * 10.0).round() / 10.0,
        puts_usd_per_month: (puts_per_second * MONTH_S / 1e3 * prices.puts_1000 as f64 / 1e6).round(),
    };
    let one_after_the_other = (1e3 / mean).min(balanced.tokens_per_second);
    let side_by_side = (fast.early_depth as f64 * FAST_SHARE * 1e3 / mean).min(fast.tokens_per_second);
    // Half a round of the timer or of the write before, then the write itself.
    [
        at("economical", timer / 2.0 + mean, timer + p99 * 0.7, 1e3 / timer),
        at("balanced", p50 + mean * 0.7, p99 + mean, one_after_the_other),
        at("fast", p50 + mean * 0.6, p99 + mean * 0.5, side_by_side),
    ]
}

/// To one or two digits: more would claim what nobody knows.
fn rounded(ms: f64) -> u64 {
    let step = if ms < 20.0 { 1.0 } else { 10.0 };
    ((ms / step).round() * step) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percentiles(p50: u64, p99: u64, mean: u64) -> Percentiles {
        let ms = Duration::from_millis;
        Percentiles { count: 100, p50: ms(p50), p99: ms(p99), max: ms(p99), mean: ms(mean) }
    }

    fn prices(puts_1000: u64) -> Prices {
        Prices {
            puts_1000,
            gets_1000: 400,
            lists_1000: 0,
            deletes_1000: 0,
            gb_month: 0,
            egress_gb: 0,
            classes: ["A", "B"],
        }
    }

    #[test]
    fn a_usual_bucket_is_as_it_was_measured() {
        let [economical, balanced, fast] = expect(&percentiles(60, 250, 72), &prices(5_000));
        assert_eq!((economical.produce_p50_ms, economical.puts_per_second), (200, 4.0));
        assert_eq!(economical.puts_usd_per_month, 53.0);
        assert_eq!((balanced.produce_p50_ms, balanced.produce_p99_ms), (110, Some(320)));
        assert_eq!((balanced.puts_per_second, balanced.puts_usd_per_month), (13.9, 183.0));
        assert!(fast.produce_p50_ms <= balanced.produce_p50_ms && fast.puts_per_second > 40.0);
    }

    #[test]
    fn a_few_writes_have_a_slowest_one_and_no_p99() {
        let few = Percentiles { count: 7, ..percentiles(60, 250, 72) };
        let [_, balanced, _] = expect(&few, &prices(5_000));
        assert_eq!((balanced.produce_p99_ms, balanced.produce_slowest_ms), (None, Some(320)));
    }

    #[test]
    fn reading_from_the_bucket_has_a_price() {
        assert_eq!(Reading::of(&prices(0)), Reading { gets_per_gib: 1_000, usd_per_gib: 0.0004 });
    }

    #[test]
    fn free_requests_cost_nothing_and_are_not_held_back() {
        let [_, balanced, _] = expect(&percentiles(2, 5, 2), &prices(0));
        assert_eq!((balanced.puts_per_second, balanced.puts_usd_per_month), (400.0, 0.0));
    }
}
