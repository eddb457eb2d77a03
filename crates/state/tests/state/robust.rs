//! Bytes that nobody meant: no panic, and no change where there is an error.

use kafscale_state::entry::{self, Commit, Entry, Extent, ObjectRef, Run};
use kafscale_state::invariants;
use kafscale_state::verdict::{Refused, RunRefused, RunVerdict, Verdict};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::{World, accepted, extent, plain, producer, run};
use crate::model::{Story, small};
use crate::ops::story;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn mutated_frames_do_no_harm(
        ops in story(12),
        flips in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..30),
    ) {
        let mut story = Story::new(small());
        story.play(&ops);
        for (frame, at, byte) in flips {
            let (mut facts, mut entries) = story.frames[frame.index(story.frames.len())].clone();
            if !entries.is_empty() {
                let at = at.index(entries.len());
                entries[at] = byte;
            }
            facts.position = story.state.position() + 1;
            let before = format!("{:?}", story.state);
            match story.state.apply(facts, &entries) {
                Ok(_) => invariants::check(&story.state).unwrap_or_else(|broken| panic!("{broken}")),
                Err(_) => prop_assert_eq!(format!("{:?}", story.state), before),
            }
        }
    }

    #[test]
    fn random_frames_do_no_harm(kind in 0..100u8, body in vec(any::<u8>(), 0..60)) {
        let mut world = World::new();
        world.topic("t", 1, 3);
        let facts = world.facts();
        let _ = world.state.apply(facts, &[&[kind, 1, body.len() as u8][..], &body].concat());
        invariants::check(&world.state).unwrap_or_else(|broken| panic!("{broken}"));
    }
}

fn invalid() -> RunVerdict {
    RunVerdict::Refused(RunRefused::Invalid)
}

#[test]
fn runs_that_contradict_themselves_are_refused_alone() {
    let mut world = World::new();
    let handle = world.topic("t", 1, 1);
    let bad = [
        Run { records: 0, ..plain(1) },
        Run { bytes: 0, ..plain(1) },
        Run { records: (1 << 27) + 1, ..plain(1) },
        Run { records: 4, ..run(0, &[1, 2]) },
        Run { bytes: 31, ..run(0, &[1, 2]) },
        Run { producer: Some(1), ..run(0, &[1]) },
        Run { base_sequence: -1, ..run(0, &[1]) },
        Run { bytes: u32::MAX, ..plain(1) },
    ];
    for bad in bad {
        let runs = vec![plain(1), bad.clone(), plain(1)];
        let verdict = world.commit(vec![producer(1, 0)], vec![extent(handle, runs)]).remove(0);
        assert_eq!(verdict.runs[1], invalid(), "{bad:?}");
        assert!(matches!(verdict.runs[0], RunVerdict::Accepted { .. }), "{bad:?}");
    }
    let strange = [producer(-1, 0), producer(1, -1)];
    assert!(strange.into_iter().all(|p| world.write(handle, p, run(0, &[1])) == invalid()));
    let transactional = entry::Producer { transactional: true, ..producer(1, 0) };
    let refused = RunVerdict::Refused(RunRefused::TransactionsUnsupported);
    assert_eq!(world.write(handle, transactional, run(0, &[1])), refused);
}

#[test]
fn offsets_run_out_before_they_wrap() {
    let mut world = World::new();
    let handle = world.topic("t", 1, 1);
    let full = Run { records: 1 << 27, bytes: 1, ..plain(1) };
    let extent = Extent { partition: handle, max_timestamp: 0, runs: vec![full; 1 << 12] };
    let commit = entry::encode(&[Entry::Commit(Commit {
        object: ObjectRef::ThisFrame,
        producers: vec![],
        extents: vec![extent; 1 << 3],
    })]);
    // 2^27 records a run, 2^15 runs a frame: 2^42 offsets a frame, 2^48 after 64.
    for frame in 0..65 {
        let facts = world.facts();
        let applied = world.state.apply(facts, &commit).expect("it can be read");
        let Verdict::Commit(verdict) = &applied.verdicts[0] else { panic!("{applied:?}") };
        let last = &verdict.extents[7].runs[(1 << 12) - 1];
        // The very last offset cannot be given: the end must be representable as well.
        let exhausted = frame >= 63;
        assert_eq!(*last == RunVerdict::Refused(RunRefused::OffsetsExhausted), exhausted, "frame {frame}: {last:?}");
    }
    invariants::check(&world.state).unwrap_or_else(|broken| panic!("{broken}"));
}

#[test]
fn an_object_is_committed_once() {
    let mut world = World::new();
    let handle = world.topic("t", 1, 1);
    let commit = |object| {
        let extents = vec![extent(handle, vec![plain(1)])];
        Entry::Commit(Commit { object, producers: vec![], extents })
    };
    let applied = world.frame(&[commit(ObjectRef::ThisFrame), commit(ObjectRef::ThisFrame)]);
    assert_eq!(applied.verdicts[1], Verdict::Refused(Refused::ObjectCommitted));
    assert_eq!(applied.touched, [handle]);
    let data = |number| ObjectRef::Data { store: 0, session: 4, number, section_hash: 1 };
    let applied = world.frame(&[commit(data(1)), commit(data(2)), commit(data(1))]);
    assert!(matches!(
        &applied.verdicts[..],
        [Verdict::Commit(_), Verdict::Commit(_), Verdict::Refused(Refused::ObjectCommitted)]
    ));
    let places: Vec<_> =
        world.state.partition(handle).expect("it exists").extents_from(1).map(|extent| extent.place).collect();
    let place = |number| kafscale_state::Place::Data { store: 0, session: 4, number };
    assert_eq!(places, [place(1), place(2)]);
    let verdict = world.commit(vec![], vec![extent(handle, vec![plain(1)])]).remove(0);
    assert_eq!(verdict.runs, [accepted(3)]);
}
