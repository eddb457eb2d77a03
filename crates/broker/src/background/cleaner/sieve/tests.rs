//! A partition as a plain list of batches, cleaned by the same functions that passes call; and what Kafka promises of it, each
//! by name. [`whatever_happens`] tells stories at random and compares them with a plain map.

use std::collections::{BTreeMap, BTreeSet};

use kafscale_records::{BatchBuilder, Codec, Header, batches};
use proptest::prelude::*;

use super::*;

const RETENTION_MS: i64 = 1_000;

/// Offset, key, value, time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    offset: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    time: i64,
}

/// A batch, as the log has it.
type Stored = Bytes;

#[derive(Default)]
struct Partition {
    stored: Vec<Stored>,
    /// Everything that was ever written, and the header of each batch by its first offset.
    written: Vec<Row>,
    headers: BTreeMap<i64, Header>,
    end: i64,
    now_ms: i64,
    clean_to: i64,
    horizon_ms: Option<i64>,
    /// When a pass first saw each tombstone.
    seen_at: BTreeMap<i64, i64>,
    removed: u64,
}

/// How a pass is made.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// Keys that the table holds.
    keys: u64,
    /// Batches of a step.
    step: usize,
    /// Steps after which it dies.
    steps: usize,
    /// Batches at the end that may not be cleaned yet.
    young: usize,
}

const WHOLE: Way = Way { keys: u64::MAX, step: 3, steps: usize::MAX, young: 0 };

impl Partition {
    fn write(&mut self, codec: Codec, records: &[(&str, Option<&str>)]) {
        let rows: Vec<_> = records.iter().map(|(key, value)| (Some(*key), *value)).collect();
        self.write_any(codec, &rows);
    }

    fn write_any(&mut self, codec: Codec, records: &[(Option<&str>, Option<&str>)]) {
        let mut builder = BatchBuilder::new(codec).base_offset(self.end).producer(7, 1, self.end as i32);
        for (offset, (key, value)) in (self.end..).zip(records) {
            let time = self.now_ms + offset % 3;
            let (key, value) = (key.map(str::as_bytes), value.map(str::as_bytes));
            builder = builder.record(time, key, value);
            let (key, value) = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
            self.written.push(Row { offset, key, value, time });
        }
        let bytes = builder.build();
        self.headers.insert(self.end, *Batch::parse(&bytes).expect("built").header());
        self.stored.push(bytes);
        self.end += records.len() as i64;
    }

    /// One pass; whether it came to its end.
    fn clean(&mut self, way: Way) -> bool {
        let parse = |bytes: &Bytes| *Batch::parse(bytes).expect("stored").header();
        // What was cleaned once is not too young any more.
        let clean = self.stored.iter().take_while(|bytes| parse(bytes).base_offset < self.clean_to).count();
        let cleanable = self.stored.len().saturating_sub(way.young).max(clean);
        let limit = self.stored[..cleanable].last().map_or(0, |last| parse(last).next_offset());
        let limit = limit.max(self.clean_to);
        let mut keys = Keys::new(u64::from(u32::MAX), way.keys.min(limit.unsigned_abs()), [3, 4]);
        let mut until = limit;
        for bytes in &self.stored[..cleanable] {
            let batch = Batch::parse(bytes).expect("stored");
            if batch.header().last_offset() < self.clean_to {
                continue;
            }
            if let Err(first) = note(&mut keys, &batch, self.clean_to) {
                until = first;
                break;
            }
        }
        let (clean_to, now_ms, delete_retention_ms) = (self.clean_to, self.now_ms, RETENTION_MS);
        let mut sieve =
            Sieve { keys: &keys, clean_to, until, now_ms, delete_retention_ms, log_start: 0, is_blind: false };
        let (mut horizon_ms, mut after, mut at) = (None, Vec::new(), 0);
        for _ in 0..way.steps {
            let is_over = self.stored.get(at).is_none_or(|bytes| parse(bytes).base_offset >= until);
            if is_over {
                break;
            }
            let step = &self.stored[at..(at + way.step).min(cleanable)];
            for (index, bytes) in step.iter().enumerate() {
                let batch = Batch::parse(bytes).expect("stored");
                let sifted = sieve.sift(&batch, bytes, index + 1 == step.len());
                self.removed += sifted.removed;
                horizon_ms = [horizon_ms, sifted.horizon_ms].into_iter().flatten().min();
                after.extend(sifted.bytes);
            }
            at += step.len();
        }
        let is_over = self.stored.get(at).is_none_or(|bytes| parse(bytes).base_offset >= until);
        let sifted_to = self.stored.get(at).map_or(self.end, |bytes| parse(bytes).base_offset).min(until);
        let tombstones = self.written.iter().filter(|row| row.value.is_none() && row.offset < sifted_to);
        tombstones.for_each(|row| {
            self.seen_at.entry(row.offset).or_insert(self.now_ms);
        });
        after.extend_from_slice(&self.stored[at..]);
        self.stored = after;
        if is_over {
            (self.clean_to, self.horizon_ms) = (until, horizon_ms);
        }
        is_over
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for bytes in &self.stored {
            let batch = Batch::parse(bytes).expect("stored");
            batch.verify_crc().expect("its checksum fits");
            for record in batch.open(1 << 20).expect("it opens").records() {
                let record = record.expect("a record");
                let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
                rows.push(Row { offset: record.offset, key, value, time: record.timestamp });
            }
        }
        rows
    }

    fn offsets(&self) -> Vec<i64> {
        self.rows().iter().map(|row| row.offset).collect()
    }

    /// Everything that may never be otherwise.
    fn judge(&self) -> Result<(), String> {
        let rows = self.rows();
        let by_offset: BTreeMap<i64, &Row> = self.written.iter().map(|row| (row.offset, row)).collect();
        let mut last = -1;
        for row in &rows {
            let is_as_written = by_offset.get(&row.offset) == Some(&row) && row.offset > last;
            wrong(is_as_written, || format!("order and offsets: {row:?} behind {last}"))?;
            last = row.offset;
        }
        let found: BTreeSet<i64> = rows.iter().map(|row| row.offset).collect();
        let keyed = self.written.iter().filter_map(|row| Some((row.key.clone()?, row)));
        let latest: BTreeMap<Vec<u8>, &Row> = keyed.collect();
        for row in latest.values() {
            let is_there = found.contains(&row.offset);
            let may_go = row.value.is_none()
                && self.seen_at.get(&row.offset).is_some_and(|seen| self.now_ms >= seen + RETENTION_MS);
            wrong(is_there || may_go, || format!("the last of its key is gone: {row:?} at {}", self.now_ms))?;
        }
        let read: BTreeMap<_, _> = rows.iter().map(|row| (row.key.clone(), row.value.clone())).collect();
        for (key, row) in &latest {
            let is_right = read.get(&Some(key.clone())).cloned().flatten() == row.value;
            wrong(is_right, || format!("who reads to the end sees {:?} for {row:?}", read.get(&Some(key.clone()))))?;
        }
        let clean: Vec<_> = rows.iter().filter(|row| row.offset < self.clean_to).map(|row| &row.key).collect();
        let distinct: BTreeSet<_> = clean.iter().collect();
        wrong(distinct.len() == clean.len(), || format!("a key stands twice below {}: {rows:?}", self.clean_to))?;
        self.judge_batches()
    }

    fn judge_batches(&self) -> Result<(), String> {
        for bytes in &self.stored {
            let header = *Batch::parse(bytes).expect("stored").header();
            let Some(written) = self.headers.get(&header.base_offset) else {
                return Err(format!("a batch at {} that nobody wrote", header.base_offset));
            };
            let facts = |it: &Header| {
                (it.last_offset(), it.producer_id, it.producer_epoch, it.base_sequence, it.partition_leader_epoch)
            };
            wrong(facts(&header) == facts(written), || format!("{header:?} was {written:?}"))?;
            let codecs = (header.attributes.codec(), written.attributes.codec());
            wrong(header.record_count == 0 || codecs.0 == codecs.1, || format!("{codecs:?}"))?;
        }
        let last = self.stored.last().map(|bytes| Batch::parse(bytes).expect("stored").header().next_offset());
        wrong(last.unwrap_or(0) == self.end, || format!("a consumer comes to {last:?} and not to {}", self.end))
    }
}

fn wrong(holds: bool, what: impl Fn() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

#[test]
fn the_last_value_of_each_key_stays_and_older_ones_go() {
    let mut log = Partition::default();
    log.write(Codec::None, &[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))]);
    log.write(Codec::Zstd, &[("b", Some("2")), ("c", Some("1"))]);
    log.clean(WHOLE);
    assert_eq!(log.offsets(), [2, 3, 4]);
    // What was clean gives way to what comes later.
    log.write(Codec::Lz4, &[("a", Some("3"))]);
    log.clean(WHOLE);
    assert_eq!(log.offsets(), [3, 4, 5]);
    log.judge().expect("all of it holds");
}

#[test]
fn order_offsets_times_codecs_and_producers_stay() {
    for codec in Codec::ALL {
        let mut log = Partition::default();
        log.write(codec, &[("a", Some("1")), ("b", Some("1")), ("c", None), ("a", Some("2"))]);
        log.write(codec, &[("b", Some("2"))]);
        log.clean(WHOLE);
        assert_eq!(log.offsets(), [2, 3, 4]);
        log.judge().expect("all of it holds");
    }
}

#[test]
fn tombstones_stay_for_delete_retention_ms_from_when_they_were_first_cleaned() {
    let mut log = Partition::default();
    log.write(Codec::Gzip, &[("a", Some("1")), ("a", None), ("b", Some("1"))]);
    log.now_ms = 5_000;
    log.clean(WHOLE);
    assert_eq!((log.offsets(), log.horizon_ms), (vec![1, 2], Some(6_000)), "its time of writing does not matter");
    log.now_ms = 5_999;
    log.clean(WHOLE);
    assert_eq!((log.offsets(), log.horizon_ms), (vec![1, 2], Some(6_000)), "another pass does not put it off");
    log.now_ms = 6_000;
    log.clean(WHOLE);
    assert_eq!((log.offsets(), log.horizon_ms), (vec![2], None));
    log.judge().expect("all of it holds");
}

#[test]
fn a_tombstone_that_is_superseded_goes_like_any_record() {
    let mut log = Partition::default();
    log.write(Codec::None, &[("a", None), ("a", Some("1"))]);
    log.clean(WHOLE);
    assert_eq!((log.offsets(), log.horizon_ms), (vec![1], None));
}

#[test]
fn without_delete_retention_a_tombstone_outlives_the_pass_that_first_sees_it() {
    let mut log = Partition::default();
    log.write(Codec::None, &[("a", None), ("b", Some("1"))]);
    let clean = |log: &Partition, clean_to| {
        let keys = Keys::new(1 << 10, 10, [1, 2]);
        let (until, now_ms) = (2, 9);
        let mut sieve =
            Sieve { keys: &keys, clean_to, until, now_ms, delete_retention_ms: 0, log_start: 0, is_blind: false };
        sieve.sift(&Batch::parse(&log.stored[0]).expect("stored"), &log.stored[0], false)
    };
    let first = clean(&log, 0);
    assert_eq!((first.removed, first.horizon_ms), (0, Some(9)));
    log.stored[0] = first.bytes.expect("it stays");
    assert_eq!(clean(&log, 2).removed, 1);
}

#[test]
fn a_horizon_that_a_client_made_up_does_not_count() {
    for made_up in [0, 4_999, 1 << 40] {
        let mut log = Partition { now_ms: 5_000, ..Partition::default() };
        log.write(Codec::None, &[("a", None), ("b", Some("1"))]);
        let batch = Batch::parse(&log.stored[0]).expect("stored");
        let opened = batch.open(1 << 20).expect("it opens");
        let forged = retain::retain(&batch, &opened, Some(made_up), |_| true).expect("whole").left;
        let Left::Changed(forged) = forged else { panic!("{forged:?}") };
        log.stored[0] = forged;
        log.clean(WHOLE);
        assert_eq!((log.offsets(), log.horizon_ms), (vec![0, 1], Some(6_000)));
    }
}

#[test]
fn a_batch_of_which_nothing_is_left_goes_unless_it_is_the_last() {
    let mut log = Partition::default();
    log.write(Codec::Snappy, &[("a", Some("1"))]);
    log.write(Codec::Snappy, &[("b", Some("1"))]);
    log.write(Codec::Snappy, &[("b", None)]);
    log.clean(WHOLE);
    log.now_ms = RETENTION_MS;
    log.clean(WHOLE);
    assert_eq!((log.offsets(), log.stored.len()), (vec![0], 2));
    log.judge().expect("a consumer comes to the end");
    // It goes when it is the last no longer.
    log.write(Codec::Snappy, &[("c", Some("1"))]);
    log.clean(WHOLE);
    assert_eq!((log.offsets(), log.stored.len()), (vec![0, 3], 2));
}

#[test]
fn records_without_a_key_of_before_go_as_in_kafka() {
    let mut log = Partition::default();
    log.write_any(Codec::None, &[(None, Some("x")), (Some("a"), Some("1")), (Some(""), Some("2"))]);
    log.clean(WHOLE);
    assert_eq!(log.offsets(), [1, 2], "an empty key is one");
}

#[test]
fn what_cannot_be_opened_stays_as_it_is() {
    let mut log = Partition::default();
    log.write(Codec::None, &[("a", Some("1"))]);
    let mut damaged = log.stored[0].to_vec();
    // The codec is not the one that the records were written with.
    damaged[22] |= Codec::Zstd.id();
    let control = BatchBuilder::new(Codec::None).base_offset(1).producer(1, 0, 0).control();
    let control = control.record(0, Some(b"a"), None).build();
    let transactional = BatchBuilder::new(Codec::None).base_offset(2).producer(1, 0, 0).transactional();
    let transactional = transactional.record(0, Some(b"a"), Some(b"2")).build();
    for bytes in [Bytes::from(damaged), control, transactional] {
        let batch = Batch::parse(&bytes).expect("whole");
        let mut keys = Keys::new(1 << 10, 10, [1, 2]);
        assert_eq!((note(&mut keys, &batch, 0), keys.len()), (Ok(()), 0), "it takes the place of nothing");
        assert!(keys.put(b"a", 9));
        let mut sieve = Sieve {
            keys: &keys,
            clean_to: 0,
            until: 10,
            now_ms: 0,
            delete_retention_ms: 0,
            log_start: 0,
            is_blind: false,
        };
        assert!(sieve.sift(&batch, &bytes, false).is_same);
    }
}

/// It may hold the very value that the tombstone deletes, which would be back.
#[test]
fn a_tombstone_stays_as_long_as_something_before_it_cannot_be_opened() {
    let transactional = BatchBuilder::new(Codec::None).producer(1, 0, 0).transactional();
    let transactional = transactional.record(0, Some(b"a"), Some(b"1")).build();
    let mut unopened = BatchBuilder::new(Codec::None).record(0, Some(b"a"), Some(b"1")).build().to_vec();
    unopened[22] |= Codec::Zstd.id();
    for closed in [transactional, Bytes::from(unopened)] {
        let tombstones = |log: &Partition| log.stored[1..].iter().any(holds_tombstone);
        let mut log = Partition { stored: vec![closed], end: 1, ..Partition::default() };
        log.write(Codec::None, &[("a", None), ("b", Some("1"))]);
        for _ in 0..4 {
            assert!(log.clean(WHOLE) && tombstones(&log));
            assert_eq!(log.horizon_ms, None, "nothing comes of another pass, so there is no reason for one");
            log.now_ms += 2 * RETENTION_MS;
        }
        log.stored.remove(0);
        assert!(log.clean(WHOLE) && !tombstones(&log), "it goes once that is gone");
    }
}

fn holds_tombstone(bytes: &Bytes) -> bool {
    let batch = Batch::parse(bytes).expect("stored");
    batch.open(1 << 20).expect("it opens").records().any(|record| record.expect("a record").value.is_none())
}

#[test]
fn a_table_that_is_too_small_takes_more_passes_and_comes_to_the_same() {
    let mut log = Partition::default();
    for round in 0..40 {
        let rows: Vec<String> = (0..25).map(|index| (round * 17 + index * 7) % 300).map(|n| n.to_string()).collect();
        let rows: Vec<(&str, Option<&str>)> = rows.iter().map(|key| (key.as_str(), Some("v"))).collect();
        log.write(Codec::Lz4, &rows);
    }
    let distinct: BTreeSet<_> = log.written.iter().map(|row| row.key.clone()).collect();
    let mut passes = 0;
    while log.clean_to < log.end {
        let before = log.clean_to;
        assert!(log.clean(Way { keys: 20, ..WHOLE }) && log.clean_to > before, "every pass gets on");
        log.judge().expect("all of it holds at every moment");
        passes += 1;
    }
    assert!(passes > 10, "{passes}");
    assert_eq!(log.rows().len(), distinct.len());
}

/// Memory does not grow with the keys. `COMPACTION_KEYS=10000000 cargo test --release --workspace --lib many_keys` takes as many
/// as the goal says.
#[test]
fn many_keys_take_no_more_memory_than_the_table_has() {
    let count: u64 = std::env::var("COMPACTION_KEYS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    const PER_BATCH: u64 = 1_000;
    let mut log = Partition::default();
    // Every key twice, so that half of all has to go.
    for first in (0..2 * count).step_by(PER_BATCH as usize) {
        let mut builder = BatchBuilder::new(Codec::None).base_offset(first as i64);
        for offset in first..first + PER_BATCH {
            builder = builder.record(0, Some(&(offset % count).to_be_bytes()), Some(b"v"));
        }
        log.stored.push(builder.build());
    }
    log.end = 2 * count as i64;
    // A fifth of the keys fits.
    let (table, mut passes) = (count / 5, 0);
    assert!(Keys::new(u64::MAX / 10, table, [1, 2]).bytes() <= table * 27 + 48);
    while log.clean_to < log.end {
        assert!(log.clean(Way { keys: table, step: 64, ..WHOLE }));
        passes += 1;
    }
    assert_eq!(log.removed, count);
    assert!((5..=12).contains(&passes), "{passes}");
    let records: i64 =
        log.stored.iter().flat_map(|bytes| batches(bytes)).flatten().map(|b| i64::from(b.header().record_count)).sum();
    assert_eq!(records, count as i64);
}

#[derive(Debug, Clone)]
enum Deed {
    Write(u8, Vec<(u8, Option<u8>)>),
    Pass(Way),
    Wait(i64),
}

fn deed() -> impl Strategy<Value = Deed> {
    let records = prop::collection::vec((0..12_u8, prop::option::weighted(0.7, any::<u8>())), 1..6);
    let way = (1..12_u64, 1..5_usize, 0..6_usize, 0..3_usize).prop_map(|(keys, step, steps, young)| Way {
        keys: if keys > 9 { u64::MAX } else { keys },
        step,
        steps: if steps == 5 { usize::MAX } else { steps },
        young,
    });
    prop_oneof![
        4 => (0..5_u8, records).prop_map(|(codec, records)| Deed::Write(codec, records)),
        3 => way.prop_map(Deed::Pass),
        1 => (1..1_500_i64).prop_map(Deed::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Random keys, tombstones, codecs and times; passes that come to an end or die on the way, with tables of any size.
    #[test]
    fn whatever_happens(deeds in prop::collection::vec(deed(), 1..30)) {
        let mut log = Partition::default();
        for deed in &deeds {
            match deed {
                Deed::Write(codec, records) => {
                    let text: Vec<_> = records.iter().map(|(key, value)| (key.to_string(), value.map(|v| v.to_string()))).collect();
                    let rows: Vec<_> = text.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
                    log.write(Codec::from_id(*codec).expect("one of five"), &rows);
                }
                Deed::Pass(way) => {
                    log.clean(*way);
                }
                Deed::Wait(ms) => log.now_ms += ms,
            }
            if matches!(deed, Deed::Pass(_)) {
                let judged = log.judge();
                prop_assert!(judged.is_ok(), "{:?} after {:?}", judged, deed);
            }
        }
        // In the end everything is clean, and tombstones go.
        for _ in 0..2 {
            while log.clean_to < log.end {
                log.clean(WHOLE);
            }
            log.now_ms += RETENTION_MS;
            log.clean(WHOLE);
        }
        prop_assert_eq!(log.judge(), Ok(()));
        prop_assert!(log.rows().iter().all(|row| row.value.is_some()), "tombstones are left: {:?}", log.rows());
        prop_assert_eq!(log.horizon_ms, None);
    }
}
