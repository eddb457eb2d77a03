//! What surrounds a running broker: addresses, the limit of open files, the lines at the start, signals, and HTTP.

pub mod access;
pub mod addresses;
pub mod files;
pub mod greeting;
pub mod http;
pub mod node;
pub mod places;
pub mod signals;
mod wishes;
