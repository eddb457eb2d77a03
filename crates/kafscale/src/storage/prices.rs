//! The price table of the profiles, for people and for programs that compute a bill.

use kafscale_store::profile::{Profile, Provider};
use serde::Serialize;

use crate::output::Row;

/// What one provider charges: list prices in US dollars.
#[derive(Debug, Serialize)]
pub struct Prices {
    /// The profile's name.
    pub profile: &'static str,
    /// Requests.
    pub usd_per_1000: Requests,
    /// A GB for a month.
    pub usd_per_gb_month: f64,
    /// A GB that leaves the provider's network.
    pub usd_per_gb_out: f64,
    /// Days for which an object is billed however early it is deleted.
    pub storage_days_min: u32,
}

/// What a thousand requests of each kind cost.
#[derive(Debug, Serialize)]
pub struct Requests {
    /// Writes.
    pub puts: f64,
    /// Reads.
    pub gets: f64,
    /// Pages of listings.
    pub lists: f64,
    /// Deletions.
    pub deletes: f64,
}

/// Of every provider, in the order of the documentation.
pub fn all() -> Vec<Prices> {
    Provider::ALL.map(|provider| Prices::of(provider.profile())).into()
}

impl Prices {
    fn of(profile: &Profile) -> Self {
        let prices = &profile.prices;
        let usd = |millionths: u64| millionths as f64 / 1e6;
        Self {
            profile: profile.provider.as_str(),
            usd_per_1000: Requests {
                puts: usd(prices.puts_1000),
                gets: usd(prices.gets_1000),
                lists: usd(prices.lists_1000),
                deletes: usd(prices.deletes_1000),
            },
            usd_per_gb_month: usd(prices.gb_month),
            usd_per_gb_out: usd(prices.egress_gb),
            storage_days_min: profile.storage_days_min,
        }
    }
}

impl Row for Prices {
    const HEADINGS: &'static [&'static str] =
        &["PROFILE", "1000 PUT", "1000 GET", "1000 LIST", "1000 DELETE", "GB, MONTH", "GB, OUT", "DAYS AT LEAST"];

    fn cells(&self) -> Vec<String> {
        let Requests { puts, gets, lists, deletes } = self.usd_per_1000;
        let prices = [puts, gets, lists, deletes].map(|usd| format!("{usd:.5}"));
        let [month, out] = [self.usd_per_gb_month, self.usd_per_gb_out].map(|usd| format!("{usd:.4}"));
        let rest = [month, out, self.storage_days_min.to_string()];
        [vec![self.profile.to_owned()], prices.to_vec(), rest.to_vec()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_puts_at_aws_cost_five_dollars() {
        let all = all();
        let aws = all.iter().find(|prices| prices.profile == "aws").expect("it is there");
        assert_eq!((aws.usd_per_1000.puts * 1_000.0, aws.storage_days_min), (5.0, 0));
        assert_eq!((aws.cells()[1].as_str(), aws.cells()[6].as_str()), ("0.00500", "0.0900"));
        assert_eq!(all.iter().filter(|prices| prices.storage_days_min > 0).count(), 1);
    }
}
