//! The crate from outside: whole frames, hostile bytes, allocations, and the seeds of the fuzz targets.

mod allocation;
mod corpus;
mod frames;
mod hostile;
mod seeds;
