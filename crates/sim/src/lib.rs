//! Ring 1 of the simulation: the very code that `kafscale serve` runs, in a deterministic world. (Ring 0, apply against a
//! model, is among the tests of `kafscale-state`.)
//!
//! [`executor`] is time, tasks and crashes; [`store`] an object store under bad [`weather`]; [`history`] what clients saw,
//! and [`auditor`] the judge, which knows nothing of how the history came about. [`scenario`] is the catalogue of stories.
//! Members of groups have a history and an auditor of their own: [`group_history`], [`group_auditor`].
//! So have compacted topics: [`ledger`].
//! A run is a pure function of (scenario, seed): `SEEDS=7 cargo test -p kafscale-sim` or
//! `cargo run -p kafscale-sim --release -- --scenario NAME --seeds 7..8` replay it.
//!
//! Not simulated: races between threads, kernel sockets and TLS, a real store's own defects.

mod alarms;
pub mod auditor;
pub mod below;
pub mod client;
pub mod executor;
pub mod group_auditor;
pub mod group_history;
pub mod history;
pub mod ledger;
pub mod registers;
pub mod rng;
pub mod scenario;
pub mod slow_disk;
pub mod store;
pub mod weather;
