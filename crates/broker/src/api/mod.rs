//! What requests mean: one file per Kafka API.
//!
//! A [`Session`] is one connection's side of the broker without its socket: whole request frames go in, encoded answers
//! come out; the simulation drives it exactly as `net` does. [`dispatch`](session) is the table of all APIs that are
//! served. Handlers decode from the frame, ask the replica, and answer; an answer that claims an end or an absence first
//! waits for [`Broker::barrier`](crate::Broker::barrier).

mod api_versions;
mod call;
mod create_topics;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_topic_partitions;
mod error_codes;
mod fetch;
mod find_coordinator;
mod init_producer_id;
mod list_offsets;
mod metadata;
mod offset_for_leader_epoch;
mod operations;
mod produce;
mod session;
mod topic_creation;

pub use call::{Answer, Call, Hold, Refusal};
pub use session::Session;

/// The leader epoch of every partition for ever: there are no leaders, so no epoch ever ends.
const LEADER_EPOCH: i32 = 0;

/// Topics, keys or resources that one request may name: an answer has more bytes for each than the request. More closes
/// the connection.
const NAMED_MAX: usize = 100_000;
