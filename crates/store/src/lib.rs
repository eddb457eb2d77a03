//! Object storage behind one narrow trait: write-once create, ranged get, list after, delete many.
//!
//! [`Store`] is the contract; `conformance` is the suite that every implementation and every real server runs. A store
//! here does one attempt per call: deadlines, repeats and hedging belong to the callers, because only they know whether a
//! repeat is safe. Whether a write took effect may be *unknown*; that is an outcome of its own, never folded into failure.

mod body;
mod contract;

pub use body::Body;
pub use contract::{CreateError, DeleteError, Facts, Listed, ReadError, ReadRange, ReplaceError, Store, StoreDate};
