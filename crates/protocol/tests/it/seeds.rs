//! The golden bodies as seeds.

use std::sync::LazyLock;

use kafscale_protocol::*;

/// A body that Apache Kafka wrote.
#[derive(Debug)]
pub struct Seed {
    pub api: ApiKey,
    pub request: bool,
    pub version: i16,
    pub body: Vec<u8>,
}

/// Every golden body.
pub fn seeds() -> &'static [Seed] {
    static SEEDS: LazyLock<Vec<Seed>> =
        LazyLock::new(|| include_str!("../golden/kafka.txt").lines().map(seed).collect());
    &SEEDS
}

fn seed(line: &str) -> Seed {
    let words: Vec<_> = line.splitn(5, ' ').collect();
    let api = ApiKey::ALL.iter().copied().find(|api| api.facts().name == words[0]).unwrap();
    let hex = words[3].as_bytes().chunks(2).map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap());
    Seed { api, request: words[1] == "Request", version: words[2].parse().unwrap(), body: hex.collect() }
}
