//! The broker: everything between the sockets and the store of one KafScale process.
//!
//! | Module | What it owns |
//! |---|---|
//! | [`net`] | sockets, framing, the memory budget of requests |
//! | [`api`] | what each Kafka API means, one file each |
//! | [`config`] | settings that clients see and change: what they may be, which value is in force |
//! | [`write`] | batches and entries on their way into the log |
//! | [`read`] | records on their way out: cache, loading, fetch sessions, time look-ups |
//! | [`replica`] | this broker's copy of the state and its applier |
//! | [`snapshot`] | snapshots of the state, and what may be trimmed after them |
//! | `background` | merging, segments, and the deletion of what nothing refers to |
//! | [`telemetry`] | metrics that clients push |
//! | `listing` | catching up before all topics or brokers are listed |
//! | `backlog` | what is done as the room for extents fills up |
//! | [`stores`] | where things are kept: one store, or the log in one of its own |
//! | `patient` | asking the store again during a start |
//! | [`broker`] | one broker from start to drain |
//!
//! No correctness decision here rests on local time, and nothing outside `net` touches a socket or a thread: the rest
//! runs under the simulation as it is.

pub mod api;
mod background;
mod backlog;
pub mod broker;
mod client_metrics;
pub mod cluster;
pub mod config;
pub mod groups;
mod history;
mod listing;
pub mod metrics;
pub mod net;
mod patient;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub mod read;
pub mod replica;
pub mod settings;
pub mod snapshot;
pub mod stores;
pub mod telemetry;
mod trial;
pub mod write;

pub use broker::{Broker, Ended, StartError};
pub use settings::{GroupSettings, Latency, LifeSettings, MigrationPolicy, Settings};
pub use stores::Stores;

/// Numbers one connection within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);
