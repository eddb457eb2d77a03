//! The binary as people, scripts and supervisors meet it.

#![allow(clippy::disallowed_methods, reason = "it runs the process from outside, in real time")]

mod bench;
mod bucket;
mod client;
mod command_line;
mod faults;
mod harness;
mod offline;
mod serve;
mod stores;
