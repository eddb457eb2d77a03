//! The write path: batches and entries become a few objects, and are answered by what apply said of them.
//!
//! ```text
//! api ── produce/submit ──▶ [ judge ── buffer ] ── flush task ──▶ outlet ──▶ log.append ──▶ store
//!                                 ▲                                                          │
//!                                 └──────────── landed(verdicts) ◀── applier ◀───── frames ──┘
//! ```
//!
//! The outlet puts records and entries into one frame, or, where the log lives in another store, the records into an object
//! first.
//!
//! What must always hold:
//! 1. Nobody hears of success before the frame was applied here, which it is only once its position is definite.
//! 2. The order of calls to [`Writer::produce`] is the order of one producer's batches in the log.
//! 3. Entries ride with the data: there is never an object for one entry while another waits.
//! 4. A batch is judged against what is applied plus what is pending. A retry of a pending batch waits with it; one that
//!    is ahead of the known sequence is held for up to a second.

mod buffer;
mod core;
mod error;
mod flight;
mod flush;
mod intake;
mod objects;
mod outlet;
mod pending;
mod producer_ids;
mod quiet;
mod reply;
#[cfg(test)]
mod tests;
mod writer;

pub use buffer::Append;
pub use core::{Judge, Judged, STALL};
pub use error::Error;
pub use flight::{Flight, Written};
pub use flush::{FLUSH_INTERVAL, FLUSH_INTERVAL_MAX, Pace, Reason};
pub use intake::StateJudge;
pub use objects::{ObjectFigures, Objects, Owner};
pub use outlet::Outlet;
pub use pending::Waiting;
pub use producer_ids::ProducerIds;
pub use reply::{Appended, BatchResult, Outcome, Reply, replies};
pub use writer::{EntryError, Writer};

/// Bytes to which the records of a batch may decompress; one with more is not taken in.
pub const DECOMPRESSED_MAX: u64 = 256 << 20;
