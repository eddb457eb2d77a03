//! What requests mean: one file per Kafka API, or per family of APIs that are answered alike.
//!
//! A [`Session`] is one connection's side of the broker without its socket: whole request frames go in, encoded answers
//! come out; the simulation drives it exactly as `net` does. [`dispatch`](session) is the table of all APIs that are
//! served. Handlers decode from the frame, ask the replica, and answer; an answer that claims an end or an absence first
//! waits for [`Broker::barrier`](crate::Broker::barrier).

mod acls;
mod alter_configs;
mod api_versions;
mod call;
mod config_resource;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delegation_tokens;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod error_codes;
mod features;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod log_dirs;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod operations;
mod produce;
mod quotas;
mod reassignments;
mod scram;
mod session;
mod sync_group;
mod telemetry;
mod topic_creation;
mod unregister_broker;

pub use call::{Answer, Call, Hold, Refusal};
pub use session::Session;

/// The leader epoch of every partition for ever: there are no leaders, so no epoch ever ends.
const LEADER_EPOCH: i32 = 0;

/// Topics, keys or resources that one request may name: an answer has more bytes for each than the request. More closes
/// the connection.
const NAMED_MAX: usize = 100_000;

/// A partition as requests name it.
fn find_partition<'a>(
    state: &'a kafscale_state::State,
    topic: &str,
    index: i32,
) -> Option<kafscale_state::PartitionView<'a>> {
    let index = u32::try_from(index).ok()?;
    state.topic(topic)?.handle(index).and_then(|handle| state.partition(handle))
}
