//! The catalogue of everything that is ever said in the log: one file per entry.

mod commit;

pub use commit::{BatchBounds, Commit, Extent, ObjectRef, Producer, Run};
