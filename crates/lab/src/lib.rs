//! Tools for working on KafScale; nothing of them is shipped.
//!
//! - [`proxy`]: an S3 server made slow and unreliable, to measure against what a cloud does and to test what it does
//!   seldom.

pub mod proxy;
