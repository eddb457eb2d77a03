use kafscale_state::{
    Verdict,
    entry::{Entry, RecordsDeleted, SegmentClaimed, SegmentPublished},
};

use super::{super::testing::Made, *};

#[test]
fn what_was_merged_is_cleaned_and_what_was_flushed_is_left_alone() {
    let mut made = Made::new(&[]);
    assert_eq!((made.work(), compacted(&made.state, 0)), (None, vec![0]));
    made.write(100);
    assert_eq!(made.work(), None, "nothing is merged");
    made.merge();
    made.write(100);
    assert_eq!(made.range(), Some((0, 10)));
    made.clean(10, None);
    assert_eq!(made.work(), None, "all of it is clean");
    made.say(Entry::RecordsDeleted(RecordsDeleted { starts: vec![(0, 15)] }));
    made.merge();
    assert_eq!(made.range(), Some((15, 20)), "what is deleted needs no cleaning");
}

#[test]
fn what_was_flushed_is_cleaned_where_kafka_would_have_closed_its_segment() {
    for (settings, closed_ms) in [
        (&[("segment.ms", "500")][..], 500),
        (&[("segment.ms", "500"), ("max.compaction.lag.ms", "100")], 100),
        (&[("segment.ms", "500"), ("min.compaction.lag.ms", "700")], 700),
    ] {
        let mut made = Made::new(settings);
        made.write(100);
        made.write(100);
        let again_ms = made.now_ms + closed_ms;
        made.now_ms += closed_ms - 1;
        assert_eq!(made.outlook(), Outlook::Idle { again_ms: Some(again_ms) }, "{settings:?}");
        made.now_ms += 1;
        assert_eq!(made.range(), Some((0, 20)), "{settings:?}");
        let tiles = tiles(&made.state, made.at, 0, 0, 20, 1_000).expect("both");
        assert_eq!((tiles.first, tiles.end), (0, 20));
    }
}

#[test]
fn min_cleanable_dirty_ratio_is_a_part_of_all_bytes() {
    let mut made = Made::new(&[("min.cleanable.dirty.ratio", "0.3")]);
    made.merged(100);
    made.clean(10, None);
    made.merged(42);
    assert_eq!(made.work(), None, "42 of 142");
    made.merged(1);
    assert_eq!(made.range(), Some((10, 30)), "43 of 143");
    made.set("min.cleanable.dirty.ratio", "0.9");
    assert_eq!(made.work(), None);
}

#[test]
fn min_compaction_lag_ms_keeps_young_records_out() {
    let mut made = Made::new(&[("min.compaction.lag.ms", "500")]);
    made.merged(100);
    made.now_ms += 400;
    made.merged(100);
    assert_eq!(made.work(), None);
    made.now_ms += 100;
    assert_eq!(made.range(), Some((0, 10)));
    made.now_ms += 400;
    assert_eq!(made.range(), Some((0, 20)));
}

#[test]
fn max_compaction_lag_ms_makes_a_few_records_urgent() {
    let mut made = Made::new(&[("max.compaction.lag.ms", "500"), ("min.cleanable.dirty.ratio", "1")]);
    made.merged(100);
    made.now_ms += 499;
    assert_eq!(made.work(), None);
    made.now_ms += 1;
    assert!(made.work().is_some_and(|work| work.urgency > 1.0));
    made.clean(10, None);
    // What comes after a pass is looked at within the time after that pass, whatever its records say of their age.
    made.merged(1);
    made.now_ms += 500;
    assert_eq!(made.range(), Some((10, 20)));
    made.clean(20, None);
    made.now_ms += 5_000;
    assert_eq!(made.work(), None, "nothing is dirty");
}

#[test]
fn a_delete_horizon_that_has_come_is_a_reason() {
    let mut made = Made::new(&[]);
    made.merged(100);
    made.clean(10, Some(2_000));
    made.now_ms = 1_999;
    assert_eq!(made.work(), None);
    made.now_ms = 2_000;
    assert_eq!(made.range(), Some((10, 10)));
    made.clean(10, None);
    assert_eq!(made.work(), None);
}

#[test]
fn only_compacted_topics_are_compacted_in_either_direction() {
    let mut made = Made::new(&[]);
    made.merged(100);
    made.set("cleanup.policy", "delete");
    assert_eq!((made.work(), compacted(&made.state, 0)), (None, vec![]));
    assert_eq!(tiles(&made.state, 0, 0, 0, 10, 1 << 20), None, "nor does a pass go on");
    made.set("cleanup.policy", "compact,delete");
    assert_eq!((made.range(), compacted(&made.state, 0)), (Some((0, 10)), vec![0]));
}

#[test]
fn segments_of_before_are_moved_first_and_a_claim_is_left_to_itself() {
    let mut made = Made::new(&[]);
    made.merged(100);
    made.set("cleanup.policy", "delete");
    made.say(Entry::SegmentClaimed(SegmentClaimed { partition: 0, first: 0, end: 10, created_ms: 0, algorithm: 1 }));
    made.set("cleanup.policy", "compact");
    assert_eq!((made.work(), tiles(&made.state, 0, 0, 0, 10, 1 << 20)), (None, None), "it is claimed");
    let claim = made.state.partition(0).and_then(|view| view.claim()).expect("it stands").position;
    let published = SegmentPublished { partition: 0, claim, bytes: 200, crc: 0, records: 10, max_timestamp: 0 };
    assert_eq!(made.say(Entry::SegmentPublished(published)), Verdict::Done);
    made.merged(10);
    assert_eq!(made.work().map(|work| work.job), Some(Job::Unsegment));
}

#[test]
fn steps_are_bounded_and_go_as_far_as_keys_are_noted() {
    let mut made = Made::new(&[]);
    (0..4).for_each(|_| made.merged(100));
    let step = |at, until, bytes| tiles(&made.state, 0, 0, at, until, bytes).map(|tiles| (tiles.first, tiles.end));
    assert_eq!(step(0, 40, 250), Some((0, 20)));
    assert_eq!(step(20, 40, 250), Some((20, 40)));
    assert_eq!(step(0, 40, 1), Some((0, 10)), "one at least");
    assert_eq!(step(0, 15, 1 << 20), Some((0, 20)), "the extent that the keys end in belongs to it");
}
