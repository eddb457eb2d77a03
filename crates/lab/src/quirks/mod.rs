//! What providers of object storage do differently, as one table of rules over their HTTP answers.
//!
//! ```text
//! broker -> S3 client -> [Quirks: match a rule, act] -> double in memory        (in-process, virtual clock)
//! broker ------- kafscale-lab proxy --quirks PROFILE -> real server             (over sockets)
//! ```
//!
//! A [`Rule`] matches requests and says what becomes of them: refused with the provider's own words, carried out and then
//! not answered, answered differently, limited in rate, or shown an old listing. [`profile`] has the rules of each
//! provider. Both ways of use run the same [`Quirks`]; neither ever edits a request, so signatures stay valid. What was
//! asked is kept ([`Seen`]), because many quirks are about requests that must never be sent.

mod layer;
mod profiles;
mod rule;
mod seen;
mod wire;

pub use layer::{Outcome, Quirks};
pub use profiles::{NAMES, profile};
pub use rule::{After, Nth, Rule, Scope, Then, error, on, rule};
pub use seen::{Seen, never_sent};
pub use wire::Wire;
