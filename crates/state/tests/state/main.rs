//! The state from outside: stories of entries, a model, snapshots.

mod commit;
mod common;
