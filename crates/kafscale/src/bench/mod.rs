//! `kafscale bench`: measures any Kafka from outside, through the client library of all client commands.
//!
//! The effective settings of the client are part of the report, so that a figure can be repeated; `options` says where
//! they differ from its defaults. The client keeps one batch of a partition under way, so a single producer moves at most
//! one batch a partition in the time of an answer. With `--rate` the load is open-loop: record *n* is due at a time that does not
//! depend on answers, and its latency counts from that time, so that a broker that stalls cannot hide behind a client
//! that waits. Without it the client sends as fast as it may, and the latency is mostly time spent in the client's queue.
//!
//! ```text
//! options  -> produce | consume | e2e -> report
//!               one thread per producer; progress on stderr meanwhile
//! ```

mod consume;
mod e2e;
mod load;
pub mod options;
pub mod payload;
mod produce;
mod progress;
mod report;
mod tally;
mod topic;

use anyhow::Context;

pub use consume::run as consume;
pub use e2e::run as e2e;
pub use produce::run as produce;

/// The tasks of the clients run here; what sends on a schedule has a thread of its own.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")
}
