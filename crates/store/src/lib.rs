//! Object storage behind one narrow trait: write-once create, ranged get, list after, delete many.
//!
//! [`Store`] is the contract; `conformance` is the suite that every implementation and every real server runs. A store
//! here does one attempt per call: deadlines and repeats belong to the callers, because only they know whether a repeat is
//! safe. [`Hedged`] alone asks twice, and only for reads. Whether a write took effect may be *unknown*; that is an outcome
//! of its own, never folded into failure.
//!
//! Features: `testing` has the conformance suite and the file system that crashes; `planted-bugs` the switches that prove
//! tests.

pub mod azure;
mod body;
mod cloud;
mod contract;
mod diagnosed;
pub mod directory;
pub mod gcs;
pub mod health;
pub mod hedge;
mod hedged;
mod masked;
mod memory;
mod name;
mod observe;
mod observed;
mod paced;
pub mod probe;
pub mod profile;
pub mod s3;
mod secret;
mod settings;
mod start_line;
mod url;
mod waiting;

#[cfg(feature = "testing")]
pub mod conformance;
#[cfg(feature = "planted-bugs")]
pub mod planted;

pub use azure::AzureSettings;
pub use body::Body;
pub use cloud::{CloudStore, Encryption, NotOffered, TlsSettings, TransportError, Writing};
pub use contract::{
    CreateError, DeleteError, Facts, Listed, ReadError, ReadRange, ReplaceError, Store, StoreDate, Throttled,
};
pub use diagnosed::Diagnosed;
pub use directory::DirectoryStore;
pub use gcs::GcsSettings;
pub use health::{Condition, Health};
pub use hedged::Hedged;
pub use masked::masked;
pub use memory::MemoryStore;
pub use name::{BadName, NAME_BYTES_MAX};
pub use observe::{NoObserver, Observer, Operation, Outcome, Request};
pub use observed::Observed;
pub use paced::{PaceFigures, Paced, Rates};
pub use s3::S3Settings;
pub use secret::Secret;
pub use settings::StoreSettings;
pub use start_line::Racer;
pub use url::{BadLocation, Location, OpenError, open, open_read_only};
pub use waiting::Waiting;
