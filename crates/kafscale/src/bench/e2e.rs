//! `kafscale bench e2e`: the time from when a record is due to when a consumer holds it.
//!
//! Producers and the consumer live in this process, so one monotonic clock serves both. Every value begins with a number
//! of the run and the time at which it was due; records of other runs in the same topic are passed over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    consume::Reader,
    load::{Stamp, Workers},
    options::{Load, Options, STAMP_BYTES},
    progress,
    report::{Frame, Report},
    tally::{self, Tally},
    topic::Age,
};
use crate::{client::catalogue::Part, exit::Failure};

/// After the last answer to a producer, this long without a record means that the rest is missing.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Produces and consumes, and reports what arrived at the consumer.
pub fn run(options: &Options, load: &Load) -> Result<Report, Failure> {
    let mut settings = options.properties.effective(Part::Producer);
    settings.extend(options.properties.effective(Part::Consumer));
    let runtime = super::runtime()?;

    let epoch = Instant::now();
    let workers = Workers::connect(&runtime, options, load, epoch)?;
    let partitions = workers.partitions;
    let sent = workers.tallies.clone();
    let seen = Arc::new(Tally::new(epoch));
    let reader = runtime.block_on(Reader::connect(options, Age::New, Arc::clone(&seen)))?;
    let ends = reader.bounds.iter().map(|(partition, (_, end))| (*partition, *end)).collect();
    runtime.block_on(reader.assign(&ends))?;

    let run: u64 = rand::random();
    let stamp: Stamp = Arc::new(move |due| stamped(run, due));
    let all_sent = Arc::new(AtomicBool::new(false));
    let consumer = {
        let (seen, sent, all_sent) = (Arc::clone(&seen), sent.clone(), Arc::clone(&all_sent));
        runtime.spawn(async move { read(&reader, run, &seen, &sent, &all_sent).await })
    };
    let begin = epoch.elapsed();
    let (threads, all_done) = workers.start(&options.topic, begin, Some(&stamp));
    progress::watch(options.limit, &[&*seen], &all_done);
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a producer's thread failed"))?;
    }
    all_sent.store(true, Ordering::Release);
    runtime.block_on(consumer).map_err(|_| anyhow::anyhow!("the consumer's task failed"))?;

    let acknowledged = tally::total(sent.iter().map(Arc::as_ref));
    let mut totals = tally::total([&*seen]);
    totals.failed = acknowledged.failed;
    totals.errors.extend(acknowledged.errors);
    let time = totals.last_at.saturating_sub(begin);
    let missing = acknowledged.records.saturating_sub(totals.records);
    let frame = Frame { bench: "e2e", topic: options.topic.clone(), partitions, settings };
    let mut report = Report::new(frame, totals, time);
    report.missing = Some(missing);
    Ok(report)
}

/// Reads until everything that was acknowledged is here, or nothing comes any more.
async fn read(reader: &Reader, run: u64, seen: &Tally, sent: &[Arc<Tally>], all_sent: &AtomicBool) {
    let mut last = Duration::ZERO;
    loop {
        for record in reader.poll().await {
            let value = record.value.unwrap_or_default();
            if let Some(due) = due(run, &value) {
                seen.arrived(value.len(), due);
                last = seen.now();
            }
        }
        if !all_sent.load(Ordering::Acquire) {
            last = seen.now();
            continue;
        }
        let acknowledged: u64 = sent.iter().map(|tally| tally.progress().0).sum();
        if seen.progress().0 >= acknowledged || seen.now() > last + SILENCE_MAX {
            return reader.close().await;
        }
    }
}

/// The first bytes of a value: the run, then nanoseconds after the epoch, both big-endian.
fn stamped(run: u64, due: Duration) -> Vec<u8> {
    let nanos = u64::try_from(due.as_nanos()).unwrap_or(u64::MAX);
    let mut stamp = Vec::with_capacity(STAMP_BYTES);
    stamp.extend_from_slice(&run.to_be_bytes());
    stamp.extend_from_slice(&nanos.to_be_bytes());
    stamp
}

/// When a record of this run was due; none for any other record.
fn due(run: u64, value: &[u8]) -> Option<Duration> {
    let (of, rest) = value.split_first_chunk::<8>()?;
    let (nanos, _) = rest.split_first_chunk::<8>()?;
    (u64::from_be_bytes(*of) == run).then(|| Duration::from_nanos(u64::from_be_bytes(*nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_records_of_the_same_run_count() {
        let at = Duration::from_nanos(123_456_789);
        let mut value = stamped(7, at);
        value.extend_from_slice(b"rest");
        assert_eq!(due(7, &value), Some(at));
        assert_eq!(due(8, &value), None);
        assert_eq!(due(7, &value[..STAMP_BYTES - 1]), None);
    }
}
