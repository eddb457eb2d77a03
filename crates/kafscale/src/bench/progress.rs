//! The line on stderr while a run goes on. It is drawn only where stderr is a terminal.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{options::Limit, tally::Tally};

/// How often the line is drawn.
const INTERVAL: Duration = Duration::from_millis(250);

/// Draws until every sender of `done` is gone.
pub fn watch(limit: Limit, tallies: &[&Tally], done: &Receiver<()>) {
    let bar = match limit.records {
        Some(records) => ProgressBar::new(records),
        None => ProgressBar::new_spinner(),
    };
    let style = match limit.records {
        Some(_) => "{elapsed_precise} {wide_bar} {percent}% {msg}",
        None => "{elapsed_precise} {spinner} {msg}",
    };
    bar.set_style(ProgressStyle::with_template(style).expect("the template is a constant"));
    let (mut last, mut last_at) = ((0, 0), Instant::now());
    while done.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Disconnected) {
        let so_far = tallies.iter().map(|tally| tally.progress()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        let seconds = last_at.elapsed().as_secs_f64();
        let records = so_far.0.saturating_sub(last.0) as f64 / seconds;
        let mib = so_far.1.saturating_sub(last.1) as f64 / seconds / f64::from(1 << 20);
        (last, last_at) = (so_far, Instant::now());
        bar.set_position(so_far.0);
        bar.set_message(format!("{} records, {records:.0} records/s, {mib:.1} MiB/s", so_far.0));
    }
    bar.finish_and_clear();
}
