//! The binary as people, scripts and supervisors meet it.

#![allow(clippy::disallowed_methods, reason = "it runs the process from outside, in real time")]

mod bench;
mod command_line;
mod harness;
mod serve;
