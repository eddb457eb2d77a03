//! The work of `kafscale top`: what a cluster does, seen through the Kafka API alone.
//!
//! ```text
//! sample (a look at topics, offsets, groups) ─▶ rates (two looks) ─▶ view (what is shown, keys) ─▶ screen
//! ```

mod rates;
mod sample;
mod screen;
mod view;

use std::time::Duration;

use crate::{
    client::Session,
    exit::Failure,
    output::{self, Format},
};
use rates::Rates;
use sample::Sample;

/// Two looks this far apart, printed.
pub async fn once(session: &Session, interval: Duration, format: Format) -> Result<(), Failure> {
    let before = Sample::take(session).await?;
    tokio::time::sleep(interval).await;
    let rates = Rates::between(&before, &Sample::take(session).await?);
    if format == Format::Json {
        return output::json(&rates);
    }
    output::line(&rates.summary())?;
    output::rows(format, &rates.topics)?;
    if !rates.groups.is_empty() {
        output::line("")?;
        output::rows(format, &rates.groups)?;
    }
    Ok(())
}

pub use screen::run as live;
