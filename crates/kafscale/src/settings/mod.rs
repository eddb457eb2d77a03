//! The settings of `kafscale serve`: one definition, four sources.
//!
//! `catalogue.rs` lists every setting once. From that list come the flags and their help, the `KAFSCALE_*` variables, the
//! keys of the TOML file, `kafscale config` and `docs/settings.md`. The order is flag, variable, file, default. Names that
//! nobody knows are errors and never ignored: a typing error must not run a broker on a default.

mod catalogue;
mod conflicts;
mod define;
mod file;
pub mod flags;
pub mod nearest;
pub mod print;
mod resolve;
pub mod value;

pub use catalogue::Settings;
pub use resolve::{Effective, Error, Origin, Resolved, from_process, of_file};
pub use value::{Address, Latency, LogFormat, MigrationPolicy};
