//! What the fuzz targets do with their input; the targets themselves are three lines each.
//!
//! `cargo +nightly fuzz run requests fuzz/corpus/requests fuzz/seeds/requests`, likewise the others. What a
//! run finds becomes a file under `seeds/`, where ordinary tests run it from then on.

pub mod batches;
pub mod entries;
pub mod wire;
