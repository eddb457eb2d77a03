//! What is seen on stderr while a run goes on: a bar where that is a terminal, and otherwise a plain line every few
//! seconds, so that the log of a long run tells that it goes on.

use std::{
    io::IsTerminal,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{options::Limit, tally::Tally};
use crate::logging;

/// How often the bar is drawn.
const BAR_INTERVAL: Duration = Duration::from_millis(250);
/// How often a plain line is written.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Tells how far the run is until every sender of `done` is gone.
pub fn watch(limit: Limit, tallies: &[&Tally], done: &Receiver<()>) {
    let progress = || tallies.iter().map(|tally| tally.progress()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    if std::io::stderr().is_terminal() {
        let bar = bar(limit);
        every(BAR_INTERVAL, done, progress, |records, line| {
            bar.set_position(records);
            bar.set_message(line);
        });
        bar.finish_and_clear();
    } else {
        every(LINE_INTERVAL, done, progress, |_, line| logging::say("INFO", &line));
    }
}

fn bar(limit: Limit) -> ProgressBar {
    let (bar, style) = match limit.records {
        Some(records) => (ProgressBar::new(records), "{elapsed_precise} {wide_bar} {percent}% {msg}"),
        None => (ProgressBar::new_spinner(), "{elapsed_precise} {spinner} {msg}"),
    };
    bar.with_style(ProgressStyle::with_template(style).expect("the template is a constant"))
}

/// Shows the records so far, and a line with what came since the last look.
fn every(
    interval: Duration,
    done: &Receiver<()>,
    progress: impl Fn() -> (u64, u64),
    mut show: impl FnMut(u64, String),
) {
    let (mut last, mut last_at) = ((0, 0), Instant::now());
    while done.recv_timeout(interval) != Err(RecvTimeoutError::Disconnected) {
        let so_far = progress();
        let seconds = last_at.elapsed().as_secs_f64();
        let records = so_far.0.saturating_sub(last.0) as f64 / seconds;
        let mib = so_far.1.saturating_sub(last.1) as f64 / seconds / f64::from(1 << 20);
        (last, last_at) = (so_far, Instant::now());
        show(so_far.0, format!("{} records, {records:.0} records/s, {mib:.1} MiB/s", so_far.0));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_line_tells_how_far_the_run_is() {
        let (sender, done) = mpsc::channel();
        let mut sender = Some(sender);
        let mut shown = Vec::new();
        every(
            Duration::from_millis(1),
            &done,
            || (7, 7 << 20),
            |records, line| {
                shown.push((records, line));
                sender.take();
            },
        );
        assert!(shown.iter().all(|(records, line)| *records == 7 && line.starts_with("7 records, ")), "{shown:?}");
        assert!(!shown.is_empty());
    }
}
