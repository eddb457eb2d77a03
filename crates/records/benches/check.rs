//! What the walk over every record of a produced batch costs, by codec, and what compressing it anew costs on top.
//!
//! `cargo bench -p kafscale-records` walks 256 MiB of records for each line: records of 1 KiB of random capital letters, as Java's
//! producer-perf tool sends, in batches of 16 KiB (what Java's producer has by default) and of 1 MiB (librdkafka's). Seconds are of
//! this thread's CPU where the system tells it; page faults tell of memory that is taken anew, by libraries in C as well.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::{hint::black_box, time::Instant};

use bytes::Bytes;
use kafscale_records::{Batch, BatchBuilder, Codec, Compression, check, recompress};

const RECORD_BYTES: usize = 1 << 10;
const BYTES: usize = 256 << 20;
const LIMIT: u64 = 256 << 20;

fn main() {
    println!("{:<34} {:>10} {:>16}", "", "CPU s/GiB", "page faults each");
    for kib in [16, 1024] {
        let records = kib * 1024 / RECORD_BYTES;
        for codec in Codec::ALL {
            let batch = batch(codec, records);
            let batch = Batch::validate(&batch).expect("built");
            report(&format!("{codec}, {kib} KiB"), records, || {
                black_box(check(&batch, 0, LIMIT).expect("whole"));
            });
        }
        let lz4 = batch(Codec::Lz4, records);
        let lz4 = Batch::validate(&lz4).expect("built");
        for codec in [Codec::Snappy, Codec::Zstd] {
            report(&format!("lz4 to {codec}, {kib} KiB"), records, || {
                let to = Compression { codec, level: None };
                black_box(recompress(&lz4, to, 0, LIMIT, 8 << 20).expect("there is room"));
            });
        }
    }
}

/// A batch of so many records.
fn batch(codec: Codec, records: usize) -> Bytes {
    let mut state = 1_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b'A' + (state >> 33) as u8 % 26
    };
    let value: Vec<u8> = (0..RECORD_BYTES * records).map(|_| letter()).collect();
    let values = value.chunks(RECORD_BYTES);
    values.fold(BatchBuilder::new(codec), |batch, value| batch.record(1_700_000_000_000, None, Some(value))).build()
}

fn report(what: &str, records: usize, mut work: impl FnMut()) {
    let rounds = BYTES / RECORD_BYTES / records;
    work();
    let (faults, watch) = (faults(), Watch::start());
    (0..rounds).for_each(|_| work());
    let seconds = watch.seconds() * (1 << 30) as f64 / BYTES as f64;
    let each = (self::faults() - faults) as f64 / rounds as f64;
    println!("{what:<34} {seconds:>10.2} {each:>16.1}");
}

/// Pages that this process has touched for the first time; 0 where the system does not tell.
fn faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().nth(7).and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// Measures the CPU time of this thread, or else what passes.
struct Watch {
    wall: Instant,
    cpu_ns: Option<u64>,
}

impl Watch {
    fn start() -> Self {
        Self { cpu_ns: Self::cpu_ns(), wall: Instant::now() }
    }

    fn seconds(&self) -> f64 {
        let cpu = Self::cpu_ns().zip(self.cpu_ns).map(|(now, start)| (now - start) as f64 / 1e9);
        cpu.unwrap_or_else(|| self.wall.elapsed().as_secs_f64())
    }

    /// The first number is the time on a CPU in nanoseconds.
    fn cpu_ns() -> Option<u64> {
        std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
    }
}
