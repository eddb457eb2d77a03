//! What the fuzz targets do with their input; the targets themselves are three lines each.
//!
//! `tests/fuzz.sh 60 requests` runs one for a minute; the seeds of `requests` and `responses` are the golden messages of
//! `kafscale-protocol`. What a run finds becomes an ordinary test, of `batches` a file under `seeds/`.

pub mod batches;
pub mod entries;
pub mod segments;
pub mod wire;
