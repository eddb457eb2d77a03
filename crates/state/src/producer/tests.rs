use super::*;

const FACTS: Facts = Facts { now_ms: 1_000, expiration_ms: 100, may_be_forgotten: false };

fn first(base_sequence: i32, records: u32) -> ProducerState {
    ProducerState::first(0, WindowRun { base_offset: 1_000, base_sequence, records }, 1, 1_000)
}

/// Runs of ten records whose offsets lie a hundred apart.
fn runs(count: i64) -> ProducerState {
    let mut state = first(0, 10);
    for run in 1..count {
        state.extend(1_000 + run * 100, 10, 1, 1_000);
    }
    state
}

fn claim(base_sequence: i32, records: u32) -> Claim {
    Claim { epoch: 0, base_sequence, records }
}

fn judged(state: &ProducerState, base_sequence: i32, records: u32) -> Judgement {
    judge(Some(state), FACTS, claim(base_sequence, records))
}

fn at(records: u32, base_offset: i64) -> Piece {
    Piece { records, base_offset: Some(base_offset) }
}

fn forgotten(records: u32) -> Piece {
    Piece { records, base_offset: None }
}

const OUT_OF_ORDER: Judgement = Judgement::Refused(Refused::OutOfOrderSequenceNumber);
const DUPLICATE: Judgement = Judgement::Refused(Refused::DuplicateSequenceNumber);

#[test]
fn a_producer_takes_80_bytes() {
    assert_eq!(size_of::<ProducerState>(), 80);
}

#[test]
fn without_state_a_sequence_starts_at_0_unless_it_may_be_forgotten() {
    let forgotten = Facts { may_be_forgotten: true, ..FACTS };
    assert_eq!(judge(None, FACTS, claim(0, 1)), Judgement::Next);
    assert_eq!(judge(None, FACTS, claim(1, 1)), OUT_OF_ORDER);
    assert_eq!(judge(None, forgotten, claim(1, 1)), Judgement::Next);
}

#[test]
fn an_expired_producer_counts_as_forgotten() {
    let state = first(0, 10);
    let at = |now_ms| judge(Some(&state), Facts { now_ms, ..FACTS }, claim(70, 1));
    assert_eq!(at(1_100), OUT_OF_ORDER);
    assert_eq!(at(1_101), Judgement::Next);
}

#[test]
fn epochs_come_before_sequences() {
    let state = first(0, 10);
    let epoch = |epoch, base_sequence| judge(Some(&state), FACTS, Claim { epoch, base_sequence, records: 1 });
    assert_eq!(epoch(0, 10), Judgement::Next);
    assert_eq!(epoch(1, 0), Judgement::Next);
    assert_eq!(epoch(1, 10), OUT_OF_ORDER);
    let newer = ProducerState::first(3, WindowRun { base_offset: 0, base_sequence: 0, records: 1 }, 1, 1_000);
    assert_eq!(judge(Some(&newer), FACTS, claim(0, 1)), Judgement::Refused(Refused::InvalidProducerEpoch));
    assert_eq!(judge(Some(&newer), FACTS, claim(1, 1)), Judgement::Refused(Refused::InvalidProducerEpoch));
}

#[test]
fn retries_are_found_by_range() {
    let state = runs(5);
    assert_eq!(judged(&state, 50, 3), Judgement::Next);
    assert_eq!(judged(&state, 51, 3), OUT_OF_ORDER);
    assert_eq!(judged(&state, 40, 10), Judgement::Known(vec![at(10, 1_400)]));
    assert_eq!(judged(&state, 3, 4), Judgement::Known(vec![at(4, 1_003)]));
    assert_eq!(judged(&state, 8, 14), Judgement::Known(vec![at(2, 1_008), at(10, 1_100), at(2, 1_200)]));
    assert_eq!(judged(&state, 45, 9), Judgement::PrefixKnown { known: 5, pieces: vec![at(5, 1_405)] });
}

#[test]
fn the_sixth_run_pushes_the_first_out() {
    let state = runs(6);
    assert_eq!(state.window().count(), WINDOW_RUNS);
    assert_eq!(judged(&state, 0, 10), DUPLICATE);
    assert_eq!(judged(&state, 5, 10), Judgement::Known(vec![forgotten(5), at(5, 1_100)]));
    // What is new must not pass for a duplicate because it begins with what is forgotten.
    let pieces = vec![forgotten(10), at(10, 1_100), at(10, 1_200), at(10, 1_300), at(10, 1_400), at(10, 1_500)];
    assert_eq!(judged(&state, 0, 61), Judgement::PrefixKnown { known: 60, pieces });
}

#[test]
fn adjacent_runs_stretch_the_window() {
    let mut state = first(0, 10);
    for run in 1..100 {
        state.extend(1_000 + run * 10, 10, 1, 1_000);
    }
    assert_eq!(state.window().count(), 1);
    assert_eq!(judged(&state, 0, 10), Judgement::Known(vec![at(10, 1_000)]));
}

#[test]
fn a_run_does_not_stretch_beyond_its_bound() {
    let mut state = first(0, RUN_RECORDS_MAX);
    for run in 1..9 {
        state.extend(1_000 + run * i64::from(RUN_RECORDS_MAX), RUN_RECORDS_MAX, 1, 1_000);
    }
    assert_eq!(state.window().map(|run| run.records).collect::<Vec<_>>(), [RUN_RECORDS_MAX; WINDOW_RUNS]);
    // Nine times 2^27: the first is further back than half of the circle.
    assert_eq!(judged(&state, 0, 1), OUT_OF_ORDER);
    assert_eq!(judged(&state, 1 << 27, 1), DUPLICATE);
}

#[test]
fn sequences_wrap_as_in_kafka() {
    assert_eq!(sequence_after(i32::MAX, 1), 0);
    assert_eq!(sequence_after(i32::MAX - 2, 5), 2);
    assert_eq!(sequence_after(7, 0), 7);
    let state = first(i32::MAX - 4, 10);
    assert_eq!((state.next_sequence(), state.last_sequence(), state.last_offset()), (5, 4, 1_009));
    assert_eq!(judged(&state, 5, 1), Judgement::Next);
    assert_eq!(judged(&state, 0, 2), Judgement::Known(vec![at(2, 1_005)]));
    assert_eq!(judged(&state, i32::MAX, 2), Judgement::Known(vec![at(2, 1_004)]));
    // Before the first sequence that it knows: never seen.
    assert_eq!(judged(&state, i32::MAX - 5, 1), OUT_OF_ORDER);
}

#[test]
fn great_offsets_are_kept() {
    let base_offset = (1 << 48) - 20;
    let state = ProducerState::first(0, WindowRun { base_offset, base_sequence: 0, records: 5 }, 1, 1_000);
    assert_eq!(state.last_offset(), base_offset + 4);
}
