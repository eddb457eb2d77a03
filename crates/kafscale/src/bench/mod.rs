//! `kafscale bench`: measures any Kafka from outside, through librdkafka.
//!
//! The client keeps its default settings unless the command line changes them, and the effective ones are part of the
//! report, so that a figure can be repeated. With `--rate` the load is open-loop: record *n* is due at a time that does not
//! depend on answers, and its latency counts from that time, so that a broker that stalls cannot hide behind a client
//! that waits. Without it the client sends as fast as it may, and the latency is mostly time spent in the client's queue.
//!
//! ```text
//! options  -> produce | consume | e2e -> report
//!               one thread per producer; progress on stderr meanwhile
//! ```

mod client;
mod consume;
mod e2e;
mod load;
pub mod options;
mod payload;
mod produce;
mod progress;
mod report;
mod tally;

pub use consume::run as consume;
pub use e2e::run as e2e;
pub use produce::run as produce;
