//! A whole broker on a store in memory, driven through its sessions as a socket would drive it.

mod common;
mod connections;
mod describe;
mod faults;
mod fetch;
mod hostile;
mod idempotence;
mod incompatibilities;
mod list_offsets;
mod produce;
mod scripted;
mod sockets;
mod topics;
mod versions;
