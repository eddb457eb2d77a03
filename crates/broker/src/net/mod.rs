//! Sockets: listening, framing, the memory budget of requests, and one task per connection.
//!
//! This is the only part of the broker that knows TCP. What a request means is `api`'s business: a connection hands whole
//! frames to an [`api::Session`](crate::api::Session) and writes the answers in the order of the requests.

mod budget;
mod connection;
mod frames;
mod listener;
mod watch;

pub use budget::{Budget, Reservation};
pub use connection::{End, serve};
pub use frames::{FrameError, Source};
pub use listener::{Listener, listen};
pub use watch::{HALF_FRAME_LIMIT, IDLE_LIMIT, SHORT_MEMORY_LIMIT, SLOW_FRAME_PATIENCE, SLOW_FRAME_RATE};
