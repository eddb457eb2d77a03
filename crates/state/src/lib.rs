//! The state: a pure function of the log.
//!
//! [`State::apply`] takes a frame's entries and answers each with a verdict. No I/O, clock, randomness, floats or hash-order
//! iteration in this crate, and nothing that may do so among its dependencies.

pub mod entry;

/// A partition's dense number, given by apply and never reused.
pub type Handle = u32;
