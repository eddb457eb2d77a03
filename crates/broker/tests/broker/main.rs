//! A whole broker on a store in memory, driven through its sessions as a socket would drive it.

mod administration;
mod apart;
mod common;
mod connections;
mod consumer_groups;
mod describe;
mod faults;
mod fetch;
mod groups;
mod health;
mod hostile;
mod idempotence;
mod incompatibilities;
mod list_offsets;
mod listing;
mod merging;
mod pace;
mod partitions;
mod produce;
mod retention;
mod scripted;
mod settings;
mod sockets;
mod telemetry;
mod topics;
mod versions;
