//! Tools for working on KafScale; nothing of them is shipped.
//!
//! - [`proxy`]: an S3 server made slow and unreliable, to measure against what a cloud does and to test what it does
//!   seldom.
//! - [`quirks`]: what each provider does differently, as rules that run in a test's process and in the proxy.
//! - [`double`]: object stores in memory, for tests that need no real server.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a tool beside the product")]

pub mod double;
pub mod exchange;
pub mod proxy;
pub mod quirks;
