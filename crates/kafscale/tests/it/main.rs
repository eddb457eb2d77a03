//! The binary as people, scripts and supervisors meet it.

mod bench;
mod command_line;
mod harness;
mod serve;
