//! Tools for working on KafScale; nothing of them is shipped.
//!
//! - [`proxy`]: an S3 server made slow and unreliable, to measure against what a cloud does and to test what it does
//!   seldom.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a tool beside the product")]

pub mod proxy;
