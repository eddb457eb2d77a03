//! What can be done with a store while no broker answers: reading it, checking it, bringing it back.
//!
//! | Module | What it does |
//! |---|---|
//! | [`bucket`] | the stores of a cluster, asked patiently and within bounds |
//! | [`frames`] | the frames that are left of a log, in the log or in archives, in order |
//! | [`known`] | the state at a position: newest snapshot that is whole, then the frames behind it |
//! | [`tile`] | where a partition's records lie, by the names of objects |
//! | [`chunks`] | the batches of a tile, in bounded pieces, checked, with their offsets |
//! | [`segment`] | one segment's file, checked in bounded pieces |
//! | [`records`] | the records of tiles, one after the other |
//! | [`fsck`] | the store against what its log says |
//! | [`recover`] | the store as a whole again, in a new life of its log |
//! | [`backup`] | copies of stores |
//! | [`import`] | segments of others as topics |
//! | [`object`] | what one object says of itself, whatever kind it is |
//!
//! Everything that comes from a store is untrusted: bounded before it is held, refused with its name and the reason. Nothing
//! here is linked into the path of a running broker, and what only reads may run beside one.

pub mod backup;
pub mod bucket;
pub mod chunks;
mod error;
pub mod frames;
pub mod fsck;
pub mod import;
pub mod known;
pub mod object;
pub mod records;
pub mod recover;
pub mod segment;
pub mod tile;

pub use bucket::{Bucket, Side};
pub use error::Error;
pub use known::{Cut, Known, Until};
