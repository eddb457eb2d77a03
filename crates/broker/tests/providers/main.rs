//! A whole broker over the real clients of S3, Google and Azure, on what each provider does differently: nothing
//! acknowledged is lost, and the broker is healthy again.
//!
//! Below the client stand the rules of `kafscale_lab::quirks` and a bucket in memory, all on a virtual clock. Each test
//! is named after a provider and a behaviour. What providers refuse and we never send is asserted on the requests that
//! were made ([`harness::Bucket::asked_nothing_odd`]), after every story.

#![allow(clippy::disallowed_methods, reason = "tests tell stories on a virtual clock")]

#[allow(dead_code, reason = "shared with the other tests of this crate, which use all of it")]
#[path = "../broker/common.rs"]
mod common;

mod any;
mod aws;
mod azure;
mod b2;
mod ceph;
mod deletion;
mod gcs;
mod gcs_native;
mod harness;
mod matrix;
mod minio;
mod others;
mod probed;
mod r2;
mod refused;
mod sockets;
