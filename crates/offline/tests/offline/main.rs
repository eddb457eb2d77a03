//! Tools against stores that whole brokers have written, on a virtual clock.

#[allow(dead_code, reason = "the broker's own tests use all of it")]
#[path = "../../../broker/tests/broker/common.rs"]
mod common;
mod copies;
mod damage;
mod deleted_keys;
mod imports;
mod places;
mod recovery;
