//! The state from outside: stories of entries, a model, snapshots.

mod commit;
mod common;
mod model;
mod ops;
mod snapshot;
