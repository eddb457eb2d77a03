//! The metadata log: frames at dense positions 1, 2, 3 ..., written by appends that succeed, are fenced, or stay pending
//! until their outcome is definite.
//!
//! This crate knows frames, not entries: a frame's entries are opaque bytes here and mean something only to
//! `kafscale-state`. [`Log`] is the contract, `conformance` the suite that every engine runs. Engines: [`memory`] and
//! [`lone`] (the store log of a broker that is alone on its store: frame and flush are one object). [`data`] is the object
//! of a flush whose log lives in another store.
//!
//! Features: `testing` has the conformance suite; `planted-bugs` the switches that prove the tests.

#[cfg(feature = "testing")]
pub mod conformance;
pub mod data;
pub mod frame;
pub mod lone;
pub mod memory;
pub mod planted;

mod contract;

pub use contract::{AppendError, BarrierError, Draft, Frames, Log, Position, Progress, TrimError};
pub use frame::Frame;
