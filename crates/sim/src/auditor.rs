//! The judge: reads a [`History`], knows nothing of how it came about, and names what may not be.
//!
//! The rules are those of Jepsen's Kafka workload, put for one line (a partition, or the log):
//!
//! - **inconsistent**: one place showed two values.
//! - **lost**: an acknowledged value is not at its place in the final reading, or that has a hole.
//! - **duplicate**: a value stands at more places than its promise allows.
//! - **phantom**: a value that nobody sent, or that was refused, or that was seen before it was sent.
//! - **order**: an append that ended before another began stands behind it, or a client's own order is turned round.
//! - **gap**: a read skipped places, or did not begin where it was asked to.
//! - **stale**: an answer claims an end, or an absence, older than the request.
//! - **early**: a place was gone before it was old enough to go.
//! - **time**: a question for a time was answered with another record than the first that fits.
//! - **ghost**: an append that began after its line's deletion was acknowledged.
//! - **stuck**: an operation never ended although everything was healed.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Appended, Dated, Expiry, Found, History, Op, Place, Promise, Tick, Times, Value, What};

/// What the history held, for runs that must show that something happened at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Appends acknowledged.
    pub acknowledged: u64,
    /// Of those, sent more than once.
    pub acknowledged_after_retry: u64,
    /// Appends that may have happened.
    pub unknown: u64,
    /// Of those, found in the final reading all the same.
    pub unknown_but_there: u64,
    /// Appends refused.
    pub refused: u64,
    /// Values read before the final reading.
    pub values_read: u64,
    /// Answers that told an end.
    pub ends: u64,
    /// Answers that told a place by its time.
    pub times: u64,
}

/// Judges a whole history: the tally, or everything that is wrong with it.
pub fn audit(history: &History) -> Result<Tally, Vec<String>> {
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    let deletions = history.deletions();
    for (line, ops) in history.lines() {
        let mut case = Case::open(&ops, line.first, history.expiry(&line));
        case.places();
        case.senders();
        match deletions.get(&line) {
            Some(deleted_at) => case.ghosts(*deleted_at),
            None => case.final_reading(),
        }
        case.early(&history.times(&line));
        case.order();
        case.reads();
        if !deletions.contains_key(&line) {
            case.ends();
            case.times(&history.times(&line));
        }
        case.pending();
        case.count(&mut tally);
        wrong.extend(case.wrong.into_iter().map(|text| format!("{}: {text}", line.name)));
    }
    if wrong.is_empty() { Ok(tally) } else { Err(wrong) }
}

/// One append, as the rules need it.
struct Sent<'a> {
    client: u64,
    start: Tick,
    end: Option<Tick>,
    values: &'a [Value],
    promise: Promise,
    attempts: u32,
    answer: Appended,
}

struct Case<'a> {
    ops: &'a [Op],
    first: Place,
    /// What may go, if anything may.
    expiry: Option<Expiry>,
    sent: Vec<Sent<'a>>,
    /// Everything that was ever seen at a place, by reads and acknowledgements.
    seen: BTreeMap<Place, Option<Value>>,
    /// Where the final reading (or else any) found each value.
    found_at: BTreeMap<Value, BTreeSet<Place>>,
    wrong: Vec<String>,
}

impl<'a> Case<'a> {
    fn open(ops: &'a [Op], first: Place, expiry: Option<Expiry>) -> Self {
        let sent = ops.iter().filter_map(|op| match &op.what {
            What::Append { values, promise, attempts, answer } => Some(Sent {
                client: op.client,
                start: op.start,
                end: op.end,
                values,
                promise: *promise,
                attempts: *attempts,
                answer: *answer,
            }),
            _ => None,
        });
        let sent = sent.collect();
        Self { ops, first, expiry, sent, seen: BTreeMap::new(), found_at: BTreeMap::new(), wrong: Vec::new() }
    }

    /// The first place that must still be there: what lies below was told to be gone.
    fn start(&self) -> Place {
        let told = self.expiry.iter().flat_map(|expiry| &expiry.starts).map(|(start, _)| *start).max();
        told.unwrap_or(self.first).max(self.first)
    }

    /// Nothing is gone before it is old enough.
    fn early(&mut self, times: &Times) {
        let Some(Expiry { age_ms, starts }) = &self.expiry else { return };
        for (start, now_ms) in starts {
            let newest = |times: &BTreeSet<i64>| times.last().copied().unwrap_or(i64::MIN);
            let young = times.range(..*start).find(|(_, times)| newest(times).saturating_add(*age_ms) >= *now_ms);
            if let Some((at, times)) = young {
                let text =
                    format!("early: {at} of {times:?} was gone at {now_ms}, but may go {age_ms} ms after its time");
                self.wrong.push(text);
            }
        }
    }

    fn values_read(&self) -> impl Iterator<Item = (&'a Op, &'a [(Place, Option<Value>)])> + use<'a> {
        self.ops.iter().filter_map(|op| match &op.what {
            What::Read { answer: Found::Values(values), .. } => Some((op, values.as_slice())),
            _ => None,
        })
    }

    /// A place never shows two values, whoever shows them.
    fn places(&mut self) {
        let read = self.values_read().flat_map(|(_, values)| values.iter().copied());
        let acknowledged = self.sent.iter().flat_map(|sent| match sent.answer {
            Appended::At(base) => sent.values.iter().zip(base..).map(|(value, at)| (at, Some(*value))).collect(),
            _ => Vec::new(),
        });
        let all: Vec<_> = read.chain(acknowledged).collect();
        for (at, value) in all {
            let before = *self.seen.entry(at).or_insert(value);
            if before != value {
                self.wrong.push(format!("inconsistent: {before:?} and {value:?} at {at}"));
            }
            if let Some(value) = value {
                self.found_at.entry(value).or_default().insert(at);
            }
        }
    }

    /// Every value seen was sent, not refused, sent before it was seen, and stands as often as promised.
    fn senders(&mut self) {
        let mut senders: BTreeMap<Value, &Sent> = BTreeMap::new();
        for sent in &self.sent {
            senders.extend(sent.values.iter().map(|value| (*value, sent)));
        }
        let mut wrong = Vec::new();
        for (value, places) in &self.found_at {
            let Some(sent) = senders.get(value) else {
                wrong.push(format!("phantom: {value} at {places:?} was never sent"));
                continue;
            };
            if sent.answer == Appended::Refused {
                wrong.push(format!("phantom: {value} at {places:?} was refused"));
            }
            let allowed = match sent.promise {
                Promise::ExactlyOnce | Promise::AtMostOnce => 1,
                Promise::AtLeastOnce => sent.attempts.max(1) as usize,
            };
            if places.len() > allowed {
                wrong.push(format!("duplicate: {value} at {places:?}, allowed {allowed}"));
            }
        }
        for (op, values) in self.values_read() {
            for value in values.iter().filter_map(|(_, value)| *value) {
                let early = senders.get(&value).is_some_and(|sent| op.end.is_some_and(|end| end < sent.start));
                if early {
                    wrong.push(format!("phantom: {value} was read before it was sent"));
                }
            }
        }
        self.wrong.extend(wrong);
    }

    /// What was acknowledged, or ever seen, is in the final reading, which has no holes.
    fn final_reading(&mut self) {
        let finals = self.ops.iter().filter_map(|op| match &op.what {
            What::Read { answer: Found::Values(values), is_final: true, .. } => Some(values),
            _ => None,
        });
        let last: BTreeMap<Place, Option<Value>> = finals.flatten().copied().collect();
        let first = self.start();
        let end = last.last_key_value().map_or(first, |(at, _)| at + 1);
        if let Some(hole) = (first..end).find(|at| !last.contains_key(at)) {
            self.wrong.push(format!("lost: the final reading has nothing at {hole}, but ends at {end}"));
        }
        for sent in &self.sent {
            let Appended::At(base) = sent.answer else {
                let lost = sent.values.iter().find(|value| !self.found_at.contains_key(value));
                if let (Appended::Somewhere, Some(value), None) = (sent.answer, lost, &self.expiry) {
                    self.wrong.push(format!("lost: {value} was acknowledged, and is nowhere"));
                }
                continue;
            };
            for (value, at) in sent.values.iter().zip(base..).filter(|(_, at)| *at >= first) {
                if last.get(&at) != Some(&Some(*value)) {
                    let instead = last.get(&at);
                    let text = format!("lost: {value} was acknowledged at {at}, where finally is {instead:?}");
                    self.wrong.push(text);
                }
            }
        }
        for (at, value) in self.seen.range(first..) {
            if last.get(at) != Some(value) {
                self.wrong.push(format!("lost: {value:?} was seen at {at}, finally there is {:?}", last.get(at)));
            }
        }
    }

    /// Nothing is appended to what was deleted before.
    fn ghosts(&mut self, deleted_at: Tick) {
        for sent in self.sent.iter().filter(|sent| sent.start > deleted_at) {
            if let Appended::At(_) | Appended::Somewhere = sent.answer {
                self.wrong.push(format!("ghost: {:?} was acknowledged after the deletion", sent.values));
            }
        }
    }

    /// Appends that did not overlap stand in the order of time, and exactly-once clients in their own.
    fn order(&mut self) {
        let placed = |sent: &Sent| match sent.answer {
            Appended::At(base) => Some((base, base + sent.values.len() as u64)),
            _ => None,
        };
        let mut ended: Vec<(Tick, Place)> =
            self.sent.iter().filter_map(|sent| Some((sent.end?, placed(sent)?.1))).collect();
        ended.sort_unstable();
        let mut begun: Vec<(Tick, Place)> =
            self.sent.iter().filter_map(|sent| Some((sent.start, placed(sent)?.0))).collect();
        begun.sort_unstable();
        let (mut ended, mut end) = (ended.into_iter().peekable(), self.first);
        for (start, base) in begun {
            while let Some((_, earlier)) = ended.next_if(|(tick, _)| *tick < start) {
                end = end.max(earlier);
            }
            // A retry that a duplicate check answers may name a place that an earlier attempt took; it cannot lie before
            // the end of what had been acknowledged before the client asked for the first time.
            if base < end {
                self.wrong.push(format!("order: an append begun when the end was {end} was put at {base}"));
            }
        }
        let mut last: BTreeMap<u64, (Value, Place)> = BTreeMap::new();
        for sent in self.sent.iter().filter(|sent| sent.promise != Promise::AtLeastOnce) {
            for value in sent.values {
                let Some(at) = self.found_at.get(value).and_then(BTreeSet::first) else { continue };
                if let Some((before, place)) = last.insert(sent.client, (*value, *at)).filter(|(_, place)| place >= at)
                {
                    let client = sent.client;
                    let text = format!("order: client {client} sent {before} (at {place}) before {value} (at {at})");
                    self.wrong.push(text);
                }
            }
        }
    }

    /// A read gives places without a gap from where it was asked to begin.
    fn reads(&mut self) {
        let mut wrong = Vec::new();
        for op in self.ops {
            let What::Read { from, answer: Found::Values(values), .. } = &op.what else { continue };
            if let Some(((at, _), expected)) = values.iter().zip(*from..).find(|((at, _), expected)| at != expected) {
                wrong.push(format!("gap: a read from {from} gave {at} where {expected} belongs"));
            }
        }
        self.wrong.extend(wrong);
    }

    /// No answer claims an end or an absence older than the request, nor an end that never was.
    fn ends(&mut self) {
        let known = self.known_ends();
        let really = self.seen.last_key_value().map_or(self.first, |(at, _)| at + 1);
        for op in self.ops {
            let end = known.before(op.start);
            match &op.what {
                What::End { answer: Some(told) } if *told < end => {
                    self.wrong.push(format!("stale: told the end {told} when it was {end} before the question"));
                }
                What::End { answer: Some(told) } if *told > really && self.expiry.is_none() => {
                    self.wrong.push(format!("phantom: told the end {told}, and it never was beyond {really}"));
                }
                What::Read { from, answer: Found::OutOfRange, .. } if (self.start()..=end).contains(from) => {
                    self.wrong.push(format!("stale: {from} called out of range when the end was {end}"));
                }
                _ => {}
            }
        }
    }

    /// What could be known of the line's end at every moment.
    fn known_ends(&self) -> KnownEnds {
        let mut evidence: Vec<(Tick, Place)> = Vec::new();
        for op in self.ops {
            let Some(tick) = op.end else { continue };
            let end = match &op.what {
                What::Append { answer: Appended::At(base), values, .. } => Some(base + values.len() as u64),
                What::Read { answer: Found::Values(values), .. } => values.last().map(|(at, _)| at + 1),
                What::End { answer } => *answer,
                _ => None,
            };
            // Only what somebody could have been told of counts: a fill or a take-over frame is nobody's.
            let told = end.and_then(|end| self.seen.range(..end).rfind(|(_, value)| value.is_some()));
            evidence.extend(told.map(|(at, _)| (tick, at + 1)));
        }
        evidence.sort_unstable();
        let mut end = self.first;
        evidence.iter_mut().for_each(|(_, told)| {
            end = end.max(*told);
            *told = end;
        });
        KnownEnds { first: self.first, evidence }
    }

    /// A time that is asked for gives the first place that fits, of a prefix of the line that holds at least what was known
    /// before the question.
    fn times(&mut self, times: &Times) {
        let known = self.known_ends();
        let ambiguous = times.iter().filter(|(_, times)| times.len() > 1);
        self.wrong.extend(ambiguous.map(|(at, times)| format!("inconsistent: times {times:?} at {at}")));
        let time_at: BTreeMap<Place, i64> =
            times.iter().filter_map(|(at, times)| Some((*at, *times.first()?))).collect();
        for op in self.ops {
            let What::Time { at_or_after, answer } = op.what else { continue };
            let end = known.before(op.start);
            let beats = |time: i64, than: i64| at_or_after.map_or(time > than, |wanted| time >= wanted);
            let wrong = match answer {
                Dated::Unknown => None,
                Dated::Nowhere => {
                    let missed = time_at.range(..end).find(|(_, time)| beats(**time, i64::MIN));
                    missed
                        .map(|(at, time)| format!("stale: no place for {at_or_after:?}, but {at} has the time {time}"))
                }
                Dated::At(at, time)
                    if time_at.get(&at) != Some(&time) || at_or_after.is_some_and(|from| time < from) =>
                {
                    Some(format!("time: {at_or_after:?} gave {at} at {time}, which has {:?}", time_at.get(&at)))
                }
                Dated::At(at, time) => {
                    let is_better = |(other, its): &(&Place, &i64)| match at_or_after {
                        Some(_) => **other < at && beats(**its, time),
                        None => beats(**its, time) || (**its == time && **other < at),
                    };
                    let better = time_at.range(..end.max(at)).find(is_better);
                    better.map(|better| format!("time: {at_or_after:?} gave {at} at {time}, better is {better:?}"))
                }
            };
            self.wrong.extend(wrong);
        }
    }

    fn pending(&mut self) {
        for op in self.ops.iter().filter(|op| op.end.is_none()) {
            self.wrong.push(format!("stuck: {:?} of client {} never ended", op.what, op.client));
        }
    }

    fn count(&self, tally: &mut Tally) {
        for sent in &self.sent {
            match sent.answer {
                Appended::At(_) | Appended::Somewhere => {
                    tally.acknowledged += 1;
                    tally.acknowledged_after_retry += u64::from(sent.attempts > 1);
                }
                Appended::Refused => tally.refused += 1,
                Appended::Unknown => {
                    tally.unknown += 1;
                    let there = sent.values.iter().any(|value| self.found_at.contains_key(value));
                    tally.unknown_but_there += u64::from(there);
                }
            }
        }
        for op in self.ops {
            match &op.what {
                What::Read { answer: Found::Values(values), is_final: false, .. } => {
                    tally.values_read += values.len() as u64;
                }
                What::End { answer: Some(_) } => tally.ends += 1,
                What::Time { answer: Dated::At(..), .. } => tally.times += 1,
                _ => {}
            }
        }
    }
}

/// How far a line was known to reach, by moments: places never shrink.
struct KnownEnds {
    first: Place,
    evidence: Vec<(Tick, Place)>,
}

impl KnownEnds {
    /// The end that somebody had been told of before this moment.
    fn before(&self, tick: Tick) -> Place {
        let count = self.evidence.partition_point(|(told, _)| *told < tick);
        count.checked_sub(1).map_or(self.first, |last| self.evidence[last].1)
    }
}

#[cfg(test)]
mod tests;
