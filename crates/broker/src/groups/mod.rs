//! Consumer groups: the coordinator.
//!
//! ```text
//!  join, sync, heartbeat, leave ──▶ Coordinator ─ table of Groups ─▶ answers
//!                                      │   ▲ timers                 (joins and syncs wait in their members)
//!                     GroupSaved       ▼   │ verdict
//!                                    Writer ──▶ log ──▶ state
//!                     OffsetsSaved     ▲
//!  commit ──▶ Commits (25 ms) ─────────┘
//! ```
//!
//! Members, timers and waiting joins live in memory; heartbeats never reach the log. A group is saved once when a
//! rebalance ends, a KIP-848 group whenever an epoch or a member's state changes, and the assignments are handed out only
//! after apply took it. A broker that starts goes on from what was
//! saved, without a rebalance: members get a fresh session timeout. The rules are those of Apache Kafka's group
//! coordinator (KIP-134, 345, 389, 394, 814, 848).
//!
//! What must always hold:
//! 1. Nobody hears of an assignment or of a committed offset before the entry was applied here.
//! 2. A member commits only under the group's current generation, or its own epoch (an older one counts for what the member has
//!    held since): the coordinator checks it early, apply decides.
//! 3. A save names the revision that it follows. If another coordinator saved in between, this one forgets what it knows
//!    of the group and loads it anew.
//! 4. What clients can make this hold is weighed and bounded.

pub mod classic;
mod commits;
pub mod consumer;
mod coordinator;
mod error;
mod group;
mod migration;
mod offsets;
mod removed;
mod retention;
mod saving;
pub mod subscription;
mod views;

pub use commits::Commit;
pub use coordinator::Coordinator;
pub use error::{Error, OffsetError};
pub use group::Group;
pub use kafscale_state::group::slot_of;
pub use views::{Described, DescribedConsumers, DescribedMember, Listed};

use std::time::Duration;

/// A replica that was not seen to be current for so long does not coordinate. So long a broker that was taken over may still
/// have told a member that it lives, so its successor waits longer for it by that.
const STALE: Duration = Duration::from_secs(5);
/// A member that joins for the first time and is not answered for so long is let go: nobody can see that its client is
/// gone. Kafka's `group.new.member.join.timeout.ms`.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(300);
/// What all groups may weigh in memory: ids, metadata for every protocol, and assignments, in bytes.
const WEIGHT_MAX: u64 = 256 << 20;
/// What one of them may.
const WEIGHT_EACH_MAX: u64 = 16 << 20;
