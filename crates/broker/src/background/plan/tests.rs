use kafscale_state::{
    FrameFacts, Merged, Place, Verdict,
    entry::{self, Commit, Entry, Extent as Written, ObjectRef, RecordsDeleted, Run, SegmentClaimed, TopicCreated},
};

use super::*;
use crate::background::segments::{self, Wanted};

const WISH: Wish = Wish { level: 1, bytes_max: 1_000, fat_bytes: 400, node_id: 0 };

/// A state that is made frame by frame.
struct Made(State);

impl Made {
    fn new() -> Self {
        Self(State::new())
    }

    fn say(&mut self, entry: Entry) -> Verdict {
        let position = self.0.position() + 1;
        let facts = FrameFacts { position, session: 1, cluster_time_ms: 1_000, payload_at: 0 };
        self.0.apply(facts, &entry::encode(&[entry])).expect("it can be applied").verdicts.remove(0)
    }

    fn topic(&mut self, name: &str, policy: &str) -> Handle {
        let settings = [("cleanup.policy".to_owned(), policy.to_owned())].into();
        let id = u128::from(self.0.position()) + 1;
        let created = TopicCreated { namespace: String::new(), name: name.into(), id, partitions: 1, settings };
        match self.say(Entry::TopicCreated(created)) {
            Verdict::TopicCreated { handles } => handles.first,
            other => panic!("{other:?}"),
        }
    }

    /// One record of so many bytes in each of these partitions.
    fn write(&mut self, partitions: &[(Handle, u32)]) {
        self.write_many(partitions, 1);
    }

    fn write_many(&mut self, partitions: &[(Handle, u32)], records: u32) {
        self.write_runs(partitions, records, 1);
    }

    fn write_runs(&mut self, partitions: &[(Handle, u32)], records: u32, runs: usize) {
        let extent = |(partition, bytes): &(Handle, u32)| {
            let run = Run { producer: None, base_sequence: -1, records, bytes: *bytes, batches: vec![] };
            Written { partition: *partition, max_timestamp: 5, runs: vec![run; runs] }
        };
        let extents = partitions.iter().map(extent).collect();
        self.say(Entry::Commit(Commit { object: ObjectRef::ThisFrame, producers: vec![], extents }));
    }

    fn plan(&self, candidates: &[(Handle, bool)], wish: &Wish) -> (Vec<(Handle, i64, i64)>, Vec<Handle>) {
        let (parts, idle) = plan(&self.0, candidates.iter().copied(), wish);
        (parts.iter().map(|part| (part.partition, part.first, part.end())).collect(), idle)
    }

    /// Merges everything that a plan chooses.
    fn merge(&mut self, partition: Handle, level: u8) {
        let (parts, _) = plan(&self.0, [(partition, true)].into_iter(), &Wish { level, ..WISH });
        let swaps = parts.iter().map(|part| entry::Swap {
            partition: part.partition,
            first: part.first,
            sources: part.sources,
            position: 0,
            extents: vec![entry::SwapExtent { end: part.end(), bytes: part.bytes() as u32, max_timestamp: 5 }],
        });
        let object = Merged { store: 0, level, session: 1, number: self.0.position(), nonce: 0 };
        let verdict = self.say(Entry::Merged(entry::Merged { object, swaps: swaps.collect() }));
        assert_eq!(verdict, Verdict::Merged(vec![Ok(())]));
    }
}

#[test]
fn what_was_flushed_moves_and_what_was_merged_stays() {
    let mut made = Made::new();
    let (a, b) = (made.topic("a", "delete"), made.topic("b", "delete"));
    (0..3).for_each(|_| made.write(&[(a, 50), (b, 10)]));
    let both = [(b, false), (a, false)];
    assert_eq!(made.plan(&both, &WISH), (vec![(a, 0, 3), (b, 0, 3)], vec![]));
    made.merge(a, 1);
    assert_eq!(made.plan(&both, &WISH), (vec![(b, 0, 3)], vec![a]));
    made.write(&[(a, 50)]);
    assert_eq!(made.plan(&both, &WISH).0, [(a, 3, 4), (b, 0, 3)]);
    // The next level takes what the first has made as well.
    assert_eq!(made.plan(&both, &Wish { level: 2, ..WISH }).0, [(a, 0, 4), (b, 0, 3)]);
    assert_eq!(made.plan(&[(77, false)], &WISH), (vec![], vec![77]));
}

#[test]
fn an_object_is_bounded_and_takes_one_part_at_least() {
    let mut made = Made::new();
    let topics: Vec<Handle> = (0..4).map(|index| made.topic(&format!("t{index}"), "delete")).collect();
    for topic in &topics {
        made.write(&[(*topic, 350)]);
    }
    let candidates: Vec<_> = topics.iter().map(|handle| (*handle, false)).collect();
    assert_eq!(made.plan(&candidates, &WISH).0.len(), 2, "a third does not fit");
    (0..4).for_each(|_| made.write(&[(topics[0], 350)]));
    let alone = made.plan(&[(topics[0], true)], &WISH).0;
    assert_eq!(alone, [(topics[0], 0, 2)], "the oldest as far as they fit");
    let tiny = Wish { bytes_max: 10, ..WISH };
    assert_eq!(made.plan(&[(topics[0], true)], &tiny).0, [(topics[0], 0, 1)]);
}

#[test]
fn fat_partitions_wait_for_a_segment_unless_they_are_compacted_or_have_waited() {
    let mut made = Made::new();
    let (fat, compacted) = (made.topic("fat", "delete"), made.topic("compacted", "compact"));
    made.write(&[(fat, 400), (compacted, 400)]);
    assert_eq!(made.plan(&[(fat, false), (compacted, false)], &WISH).0, [(compacted, 0, 1)]);
    assert_eq!(made.plan(&[(fat, true)], &WISH).0, [(fat, 0, 1)]);
}

const SEGMENT: segments::Wish = segments::Wish { bytes: 100, is_older: false, is_old: false, small_bytes: 50 };

#[test]
fn a_segment_is_due_when_it_is_full_or_old() {
    let mut made = Made::new();
    let a = made.topic("a", "delete");
    let wanted = |made: &Made, handle, wish| segments::wanted(&made.0, handle, wish);
    let of = |first, end, bytes| Some(Wanted { partition: a, first, end, bytes });
    made.write(&[(a, 40)]);
    let (older, old) =
        (segments::Wish { is_older: true, ..SEGMENT }, segments::Wish { is_older: true, is_old: true, ..SEGMENT });
    assert_eq!(wanted(&made, a, &SEGMENT), None);
    assert_eq!(wanted(&made, a, &older), None, "too little");
    assert_eq!(wanted(&made, a, &old), of(0, 1, 40));
    made.write(&[(a, 40)]);
    assert_eq!(wanted(&made, a, &older), of(0, 2, 80));
    made.write(&[(a, 40)]);
    assert_eq!(wanted(&made, a, &SEGMENT), of(0, 2, 80), "the third does not fit");
    made.say(Entry::RecordsDeleted(RecordsDeleted { starts: vec![(a, 1)] }));
    assert_eq!(wanted(&made, a, &old), of(1, 3, 80), "what is deleted is left out");
}

/// Compressed, a hundred million records may take a few bytes; a claim of more than the format counts could not be executed.
#[test]
fn a_segment_has_no_more_records_than_its_format_counts() {
    let mut made = Made::new();
    let a = made.topic("a", "delete");
    (0..20).for_each(|_| made.write_many(&[(a, 1)], 1 << 27));
    let old = segments::Wish { is_older: true, is_old: true, ..SEGMENT };
    let wanted = segments::wanted(&made.0, a, &old);
    assert_eq!(wanted, Some(Wanted { partition: a, first: 0, end: 15 << 27, bytes: 15 }));
}

/// No flush has so many any more; what is left of one that had is merged, which takes it apart.
#[test]
fn a_flush_of_more_records_than_the_format_counts_is_no_segment_until_it_is_merged() {
    let mut made = Made::new();
    let (a, b) = (made.topic("a", "delete"), made.topic("b", "delete"));
    let old = segments::Wish { is_older: true, is_old: true, ..SEGMENT };
    made.write_many(&[(b, 5)], 1);
    made.write_runs(&[(a, 1), (b, 1)], 1 << 27, 16);
    assert_eq!(segments::wanted(&made.0, a, &old), None);
    assert_eq!(segments::wanted(&made.0, b, &old), Some(Wanted { partition: b, first: 0, end: 1, bytes: 5 }));
    assert_eq!(made.plan(&[(a, true)], &WISH).0, [(a, 0, 16 << 27)]);
    made.merge(a, 1);
    assert!(segments::wanted(&made.0, a, &old).is_some(), "of merged records it is not told by their offsets");
}

#[test]
fn what_is_claimed_is_left_to_its_claim() {
    let mut made = Made::new();
    let a = made.topic("a", "delete");
    (0..3).for_each(|_| made.write(&[(a, 40)]));
    let claim = SegmentClaimed { partition: a, first: 0, end: 2, created_ms: 0, algorithm: 1 };
    assert_eq!(made.say(Entry::SegmentClaimed(claim)), Verdict::Done);
    assert_eq!(made.plan(&[(a, false)], &WISH).0, [(a, 2, 3)]);
    assert_eq!(segments::wanted(&made.0, a, &SEGMENT), None);
    assert!(segments::job(&made.0, a).is_some());
    let places: Vec<Place> =
        made.0.partition(a).into_iter().flat_map(|view| view.unsegmented()).map(|e| e.place).collect();
    assert_eq!(places.len(), 3);
}
