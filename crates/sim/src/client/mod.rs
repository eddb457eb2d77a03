//! Kafka clients for the stories: they speak the protocol's bytes to the broker's own network code, over wires that take time
//! and break, and they retry as stock clients do.
//!
//! - [`wire`]: streams in memory, in place of sockets;
//! - [`link`]: brokers, connections to them, and whole requests;
//! - [`producer`]: an idempotent or a plain producer with several requests in flight;
//! - [`unanswered`]: a producer with acks=0;
//! - [`consumer`]: a consumer by assignment, with or without a [fetch session](fetch_session);
//! - [`keyed`]: writers and readers of compacted topics;
//! - [`group`]: members of consumer groups;
//! - [`operator`]: somebody who administers a topic and a group's offsets;
//! - [`admin`]: topics, producer ids, ends of partitions, offsets by time.

pub mod admin;
pub mod consumer;
pub mod fetch_session;
pub mod group;
pub mod keyed;
pub mod link;
pub mod operator;
pub mod producer;
pub mod unanswered;
pub mod wire;

use std::sync::Arc;

use kafscale_protocol::Uuid;

use crate::history::Line;

/// One partition, as clients name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The topic's id.
    pub id: Uuid,
    /// Its index.
    pub index: i32,
}

impl Partition {
    /// Its line in the history: a topic that is created again is another line.
    pub fn line(&self) -> Line {
        Line { name: format!("{} {} {}", self.topic, self.id, self.index).into(), first: 0 }
    }
}
