//! How fast the state applies commits, what it takes in memory, and what a snapshot costs.
//!
//! `cargo bench -p kafscale-state` runs the full size (100,000 partitions, 2M extents), `-- --small` a tenth of it. The
//! goal is a million extents a second on one core. Rates are of CPU time where the system tells it (Linux), so that a busy
//! machine does not move them; memory is the growth of the resident set.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use kafscale_state::entry::{self, Commit, Entry, Extent, ObjectRef, PidBlock, Producer, Run, TopicCreated};
use kafscale_state::{FrameFacts, Handle, Keep, State, slot, snapshot};

const PARTITIONS_PER_TOPIC: u32 = 100;
const RECORDS: u32 = 10;
const BYTES: u32 = 1_000;

fn main() {
    let small = std::env::args().any(|arg| arg == "--small");
    let (topics, rounds) = if small { (100, 20) } else { (1_000, 20) };
    let mut bench = Bench::new(topics);
    bench.dense(rounds);
    bench.sparse(if small { 200 } else { 2_000 });
    bench.memory();
    bench.retention();
    bench.snapshot();
}

struct Bench {
    state: State,
    /// All partitions in the order of a payload.
    partitions: Vec<Handle>,
    /// Rounds in which every partition was written; the next sequence of all producers.
    sequence: i32,
    resident_before: u64,
    resident_empty: u64,
}

impl Bench {
    fn new(topics: u32) -> Self {
        let resident_before = resident();
        let mut bench = Self {
            state: State::new(),
            partitions: (0..topics * PARTITIONS_PER_TOPIC).collect(),
            sequence: 0,
            resident_before,
            resident_empty: 0,
        };
        bench.partitions.sort_by_key(|handle| (slot(*handle), *handle));
        bench.apply(&[Entry::PidBlock(PidBlock { count: topics })]);
        for number in 0..topics {
            let name = format!("topic-{number}");
            let (id, partitions) = (u128::from(number) + 1, PARTITIONS_PER_TOPIC);
            let created = TopicCreated { namespace: String::new(), name, id, partitions, settings: Default::default() };
            bench.apply(&[Entry::TopicCreated(created)]);
        }
        bench.resident_empty = resident();
        bench
    }

    fn apply(&mut self, entries: &[Entry]) -> Duration {
        self.apply_bytes(&entry::encode(entries))
    }

    fn apply_bytes(&mut self, entries: &[u8]) -> Duration {
        let position = self.state.position() + 1;
        let facts = FrameFacts { position, session: 1, cluster_time_ms: position as i64, payload_at: 144 };
        let start = Watch::start();
        black_box(self.state.apply(facts, entries).expect("it can be applied"));
        start.elapsed()
    }

    /// One run of the topic's own producer, or none, for each of the partitions.
    fn commit(&self, partitions: &[Handle], idempotent: bool) -> Vec<u8> {
        let topics = self.state.topic_count() as i64;
        let producers = (0..topics).map(|id| Producer { id, epoch: 0, transactional: false }).collect();
        let extent = |partition: &Handle| {
            let producer = idempotent.then_some(partition / PARTITIONS_PER_TOPIC);
            let base_sequence = if idempotent { self.sequence } else { -1 };
            let run = Run { producer, base_sequence, records: RECORDS, bytes: BYTES, batches: Vec::new() };
            Extent {
                partition: *partition,
                max_timestamp: 1_700_000_000_000 + i64::from(self.sequence),
                runs: vec![run],
            }
        };
        let extents = partitions.iter().map(extent).collect();
        entry::encode(&[Entry::Commit(Commit { object: ObjectRef::ThisFrame, producers, extents })]).to_vec()
    }

    /// Every partition in every frame.
    fn dense(&mut self, rounds: u32) {
        let (mut took, mut bytes) = (Duration::ZERO, 0);
        for _ in 0..rounds {
            let frame = self.commit(&self.partitions, true);
            bytes += frame.len();
            took += self.apply_bytes(&frame);
            self.sequence += RECORDS as i32;
        }
        let extents = self.partitions.len() as u64 * u64::from(rounds);
        report("dense: extents applied a second", extents as f64 / took.as_secs_f64());
        report("dense: frame bytes per extent", bytes as f64 / extents as f64);
    }

    /// A hundredth of the partitions in a frame, without producers.
    fn sparse(&mut self, rounds: u32) {
        let mut took = Duration::ZERO;
        let per_frame = self.partitions.len() / 100;
        for round in 0..rounds as usize {
            // Any fixed pattern without locality does.
            let mut chosen: Vec<Handle> = (0..per_frame)
                .map(|index| self.partitions[(index * 7_919 + round * 104_729) % self.partitions.len()])
                .collect();
            chosen.sort_by_key(|handle| (slot(*handle), *handle));
            let frame = self.commit(&chosen, false);
            took += self.apply_bytes(&frame);
        }
        let extents = u64::from(rounds) * per_frame as u64;
        report("sparse: extents applied a second", extents as f64 / took.as_secs_f64());
    }

    fn memory(&self) {
        let extents = self.state.backlog().used;
        let partitions = self.partitions.len() as f64;
        report("extents", extents as f64);
        report("resident bytes per empty partition", (self.resident_empty - self.resident_before) as f64 / partitions);
        let grown = resident().saturating_sub(self.resident_empty) as f64;
        report("resident bytes per extent, one producer per partition included", grown / extents as f64);
    }

    /// A look at every partition, of which nothing is due.
    fn retention(&self) {
        let week = Some(7 * 24 * 60 * 60 * 1_000);
        for (rule, keep) in [
            ("age", Keep { age_ms: week, bytes: None }),
            ("age and bytes, which are kept", Keep { age_ms: week, bytes: Some(1 << 30) }),
            ("bytes, all but the last due", Keep { age_ms: None, bytes: Some(u64::from(BYTES)) }),
        ] {
            let start = Watch::start();
            let views = self.partitions.iter().filter_map(|handle| self.state.partition(*handle));
            let due = views.filter(|view| view.retained_from(keep, 1_700_000_000_000) > view.log_start_offset());
            black_box(due.count());
            let what = format!("retention by {rule}: milliseconds for all partitions");
            report(&what, start.elapsed().as_secs_f64() * 1e3);
        }
    }

    fn snapshot(&mut self) {
        let extents = self.state.backlog().used as f64;
        let start = Instant::now();
        let clone = self.state.clone();
        report("clone: microseconds", start.elapsed().as_secs_f64() * 1e6);
        let start = Watch::start();
        let bytes: Vec<u8> = snapshot::encode(&clone).flatten().collect();
        report("snapshot: extents encoded a second", extents / start.elapsed().as_secs_f64());
        report("snapshot: slowest step in microseconds", slowest_step(&clone).as_secs_f64() * 1e6);
        report("snapshot: bytes per extent", bytes.len() as f64 / extents);
        let start = Watch::start();
        let decoded = snapshot::decode(&bytes).expect("an own snapshot can be read");
        report("snapshot: extents decoded a second", extents / start.elapsed().as_secs_f64());
        assert_eq!(decoded.digest(), self.state.digest());
        drop(decoded);
        self.beside_a_clone(clone);
    }

    /// The first frame after a clone copies what it touches; the second does not.
    fn beside_a_clone(&mut self, clone: State) {
        let mut frames = Vec::new();
        for _ in 0..2 {
            frames.push(self.commit(&self.partitions, true));
            self.sequence += RECORDS as i32;
        }
        let took: Vec<f64> = frames.iter().map(|frame| self.apply_bytes(frame).as_secs_f64()).collect();
        report("dense frame after a clone, as a multiple of the next", took[0] / took[1]);
        drop(clone);
    }
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

    fn elapsed(&self) -> Duration {
        let cpu = Self::cpu_ns().zip(self.cpu_ns).map(|(now, start)| Duration::from_nanos(now - start));
        cpu.unwrap_or_else(|| self.wall.elapsed())
    }

    /// The first number is the time on a CPU in nanoseconds.
    fn cpu_ns() -> Option<u64> {
        std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
    }
}

/// The longest of a snapshot's steps; of each the best of five, since the machine may interrupt any.
fn slowest_step(state: &State) -> Duration {
    let passes = (0..5).map(|_| {
        let mut parts = snapshot::encode(state);
        std::iter::from_fn(|| {
            let start = Instant::now();
            black_box(parts.next()?);
            Some(start.elapsed())
        })
        .collect::<Vec<_>>()
    });
    let best = passes.reduce(|best, pass| best.into_iter().zip(pass).map(|(a, b)| a.min(b)).collect());
    best.unwrap_or_default().into_iter().max().unwrap_or_default()
}

fn report(what: &str, value: f64) {
    println!("{what:<70} {value:>14.1}");
}

/// Bytes of memory that this process holds; 0 where the system does not tell.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4_096
}
