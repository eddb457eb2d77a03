//! The broker.
pub mod read;
