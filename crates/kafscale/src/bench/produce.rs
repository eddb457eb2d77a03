//! `kafscale bench produce`.

use std::{sync::Arc, time::Instant};

use super::{
    load::Workers,
    options::{Load, Options},
    progress,
    report::{Frame, Report},
    tally::{self, Tally},
};
use crate::{client::catalogue::Part, exit::Failure};

/// Produces and reports; the time runs from the first record to the last answer.
pub fn run(options: &Options, load: &Load) -> Result<Report, Failure> {
    let settings = options.properties.effective(Part::Producer);
    let runtime = super::runtime()?;
    let epoch = Instant::now();
    let workers = Workers::connect(&runtime, options, load, epoch)?;
    let partitions = workers.partitions;
    let tallies = workers.tallies.clone();
    let tallies: Vec<&Tally> = tallies.iter().map(Arc::as_ref).collect();

    let begin = epoch.elapsed();
    let (threads, all_done) = workers.start(&options.topic, begin, None);
    progress::watch(options.limit, &tallies, &all_done);
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a producer's thread failed"))?;
    }
    let totals = tally::total(tallies);
    let time = totals.last_at.saturating_sub(begin);
    Ok(Report::new(Frame { bench: "produce", topic: options.topic.clone(), partitions, settings }, totals, time))
}
