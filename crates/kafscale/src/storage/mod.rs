//! What `kafscale storage` finds out about a bucket, and how it tells it: findings with advice, what to expect of a broker
//! there, and the measurements over time.

pub mod advice;
pub mod ask;
pub mod bench;
pub mod expect;
pub mod plot;
pub mod prices;
pub mod report;
pub mod rights;
pub mod tested;
