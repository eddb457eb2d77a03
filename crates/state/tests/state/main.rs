//! The state from outside: stories of entries, a model, snapshots.

mod commit;
mod common;
mod consumer_groups;
mod group_model;
mod groups;
mod life;
mod model;
mod ops;
#[cfg(feature = "planted-bugs")]
mod planted;
mod retention;
mod robust;
mod sessions;
mod snapshot;
mod topics;
