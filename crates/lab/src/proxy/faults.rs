//! The faults that a request may meet.

use anyhow::ensure;
use hyper::Method;
use rand::{Rng, RngExt};
use serde::Serialize;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// 503 SlowDown, not carried out.
    #[serde(rename = "error_503")]
    Error503,
    /// Carried out, then the connection is cut.
    AppliedUnanswered,
    /// Carried out, then 503 SlowDown.
    #[serde(rename = "applied_503")]
    Applied503,
    /// Nothing happens until the client gives up.
    Hang,
    /// Carried out, then nothing until the client gives up.
    AppliedHang,
}

/// Probabilities of the faults.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    pub error_503: f64,
    pub applied_unanswered: f64,
    pub applied_503: f64,
    pub hang: f64,
    pub applied_hang: f64,
}

impl Rates {
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let mut sum = 0.0;
        for (fault, rate) in self.each() {
            ensure!((0.0..=1.0).contains(&rate), "the rate of {fault:?} is no probability");
            sum += rate;
        }
        ensure!(sum <= 1.0, "the rates add up to more than 1");
        Ok(())
    }

    fn each(&self) -> [(Fault, f64); 5] {
        [
            (Fault::Error503, self.error_503),
            (Fault::AppliedUnanswered, self.applied_unanswered),
            (Fault::Applied503, self.applied_503),
            (Fault::Hang, self.hang),
            (Fault::AppliedHang, self.applied_hang),
        ]
    }

    /// Draws what this request meets. What is carried out and then goes wrong happens to writes alone: a read that was
    /// carried out is a read that was not answered.
    pub(crate) fn draw(&self, method: &Method, random: &mut impl Rng) -> Option<Fault> {
        let mut left = random.random::<f64>();
        for (fault, rate) in self.each() {
            if left < rate {
                let applies = matches!(fault, Fault::Error503 | Fault::Hang) || writes(method);
                return applies.then_some(fault);
            }
            left -= rate;
        }
        None
    }
}

/// Whether requests of this method change the store.
pub(crate) fn writes(method: &Method) -> bool {
    matches!(*method, Method::PUT | Method::POST | Method::DELETE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn faults_come_as_often_as_asked_for() {
        let rates =
            Rates { error_503: 0.05, applied_unanswered: 0.03, applied_503: 0.02, hang: 0.01, applied_hang: 0.04 };
        rates.check().unwrap();
        let mut random = StdRng::seed_from_u64(3);
        let mut seen: BTreeMap<_, f64> = BTreeMap::new();
        for _ in 0..100_000 {
            *seen.entry(rates.draw(&Method::PUT, &mut random)).or_default() += 1.0 / 100_000.0;
        }
        for (fault, rate) in rates.each() {
            assert!((seen[&Some(fault)] - rate).abs() < 0.003, "{fault:?} {seen:?}");
        }
        let read = (0..10_000).filter_map(|_| rates.draw(&Method::GET, &mut random));
        assert!(read.into_iter().all(|fault| matches!(fault, Fault::Error503 | Fault::Hang)));
    }
}
